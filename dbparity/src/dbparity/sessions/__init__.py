"""Sessions as in production: what serves whom, what is stale, what is left open."""
