"""Notes with an owner."""
