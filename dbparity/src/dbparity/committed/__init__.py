"""Assertions on what is really committed, asked through a connection that neither test nor application shares."""

from dbparity.committed.assertions import Committed
from dbparity.committed.entities import UnknownNameError
from dbparity.committed.rows import BusyTableError, Row

__all__ = ["BusyTableError", "Committed", "Row", "UnknownNameError"]
