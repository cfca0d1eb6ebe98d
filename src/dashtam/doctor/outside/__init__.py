"""Checks from outside: one file an area, each with its `CHECKS`."""
