"""Dashtam: a self-hosted authentication service that proves itself wherever it runs."""

__version__ = "0.1.0"
