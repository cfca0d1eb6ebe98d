"""A shop with a stock."""
