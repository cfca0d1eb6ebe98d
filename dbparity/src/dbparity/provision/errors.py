"""What all failures to provide a database have in common: their message is meant for people, as it stands."""

from __future__ import annotations


class ProvisionError(RuntimeError):
    """A database is not, or cannot be made, what the tests need."""


class DatabaseRefusedError(ProvisionError):
    """The server, or the system, would not make, copy or drop a database; the message says what to do."""
