"""What an unexpected exception means to the client: nothing (we try again), busy, not ready, or broken."""

import socket
import sqlite3
from enum import Enum, auto

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from dashtam.core.db import CommitUnknownError
from dashtam.core.keys import KeysUnusableError


class Fault(Enum):
    """Kinds of failure, by what is done about them."""

    REPEATABLE = auto()
    """Rolled back for certain, and likely to succeed again: conflicts, connections lost before commit."""
    UNKNOWN = auto()
    """Lost during commit: it may have happened, so it is neither repeated nor denied."""
    BUSY = auto()
    """No connection, no lock or no time; it may be better soon."""
    NOT_READY = auto()
    """The database is not one that this version can work on."""
    BROKEN = auto()
    """A mistake of ours."""


# PostgreSQL's Appendix A. A class is its first two characters.
_REPEATABLE = frozenset({"40001", "40P01"})  # serialization_failure, deadlock_detected
_BUSY = frozenset({"55P03", "57014", "57P01", "57P02", "57P03", "25P03"})
_BUSY_CLASSES = frozenset({"08", "53"})  # connection exception, insufficient resources
_NOT_READY = frozenset({"42P01", "42703", "3F000", "3D000", "42501", "28P01", "28000"})
_SQLITE_NOT_READY = ("no such table", "no such column", "has no column named", "unable to open database file")
_STALE_PLAN = "InvalidCachedStatementError"  # the schema was migrated beneath a running server
_PRIMARY = 0xFF  # SQLite's extended result codes hold the primary one in their low byte


def judge(error: BaseException) -> Fault:
    """The kind of this failure."""
    if isinstance(error, CommitUnknownError):
        return Fault.UNKNOWN
    if isinstance(error, KeysUnusableError):
        return Fault.NOT_READY
    if isinstance(error, DBAPIError):
        return Fault.REPEATABLE if error.connection_invalidated else _of_database(error.orig)
    if isinstance(getattr(error, "sqlstate", None), str):
        return _of_database(error)  # raised by the driver while connecting, where SQLAlchemy does not wrap it
    if isinstance(error, PoolTimeoutError | ConnectionError | TimeoutError | socket.gaierror):
        return Fault.BUSY
    return Fault.BROKEN


def _of_database(error: BaseException | None) -> Fault:
    if isinstance(error, sqlite3.Error):
        return _of_sqlite(error)
    sqlstate = str(getattr(error, "sqlstate", None) or "")
    if sqlstate in _REPEATABLE or type(error).__name__ == _STALE_PLAN:
        return Fault.REPEATABLE
    if sqlstate in _BUSY or sqlstate[:2] in _BUSY_CLASSES:
        return Fault.BUSY
    return Fault.NOT_READY if sqlstate in _NOT_READY else Fault.BROKEN


def _of_sqlite(error: sqlite3.Error) -> Fault:
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL}:
        return Fault.BUSY
    words = str(error)
    return Fault.NOT_READY if any(sign in words for sign in _SQLITE_NOT_READY) else Fault.BROKEN
