"""Where files live that outlast a run: one folder a user, private to them.

SQLite's templates and kept clones are files, and a file has no server that could say who holds it. So whoever
uses one holds a shared lock on a small SQLite database named after it; the system lets go of the lock when
the process ends, however it ends.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from dbparity.provision.errors import DatabaseRefusedError

HOME = "DBPARITY_HOME"
PRIVATE = 0o700
WAIT_SECONDS = 10.0


class WorkspaceError(DatabaseRefusedError):
    """The folder for templates and kept clones is not ours to use."""


def workspace() -> Path:
    """The folder of the user who runs this, made on first use: $DBPARITY_HOME, or one among temporary files."""
    said = os.environ.get(HOME)
    folder = Path(said) if said else Path(tempfile.gettempdir()) / f"dbparity-of-{_user()}"
    folder.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    if folder.is_symlink() or (hasattr(folder, "owner") and folder.stat().st_mode & 0o022):
        msg = f"{folder} can be written by others: remove it, or set {HOME} to a folder of your own."
        raise WorkspaceError(msg)
    return folder


class FileHold:
    """A shared hold on a name, until it is closed or its process ends."""

    def __init__(self, key: str) -> None:
        self._connection = _connected(key, WAIT_SECONDS)
        self._connection.execute("BEGIN")
        self._connection.execute("SELECT name FROM sqlite_master").fetchall()

    def close(self) -> None:
        """Let go."""
        self._connection.close()


def is_held(key: str) -> bool:
    """Whether a living process holds this name."""
    if not _path(key).exists():
        return False
    with closing(_connected(key, 0)) as connection:
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            return True
    return False


def forget(key: str) -> None:
    """Remove the file behind a hold that nobody needs any more."""
    _path(key).unlink(missing_ok=True)


def _connected(key: str, timeout: float) -> sqlite3.Connection:
    return sqlite3.connect(_path(key), timeout=timeout, isolation_level=None, check_same_thread=False)


def _path(key: str) -> Path:
    folder = workspace() / "held"
    folder.mkdir(mode=PRIVATE, exist_ok=True)
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.lock"


def _user() -> str:
    try:
        return "".join(each for each in getpass.getuser() if each.isalnum() or each in "-_") or "nobody"
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        return "nobody"
