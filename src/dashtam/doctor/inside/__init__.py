"""Checks from inside: one file an area, each with its `CHECKS`."""
