"""Real databases for tests; nothing here is needed at run time."""
