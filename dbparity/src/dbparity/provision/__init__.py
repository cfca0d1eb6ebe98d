"""Databases for tests: their schema built once and proven, their names, their clones, their end."""
