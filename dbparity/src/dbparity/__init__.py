"""dbparity: your tests see the database that you think they see."""

__version__ = "0.1.0"
