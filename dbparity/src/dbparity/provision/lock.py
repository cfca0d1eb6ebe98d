"""One builder at a time: a lock on a database's schema for all workers, checkouts and machines that share it.

On PostgreSQL it is an advisory lock in the database itself, on a connection of its own; on SQLite a locked file
beside the database. Either ends with its holder, also when that one is killed, and neither is waited for without
a deadline.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.engine import URL, make_url

from dbparity.observer import Observer
from dbparity.provision.errors import ProvisionError
from dbparity.provision.held import HeldConnection
from dbparity.provision.party import COLUMNS, Holder, Party
from dbparity.provision.patience import Deadline, Patience, Say, silent
from dbparity.targets import identity_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

KEY_SPACE = 0x64627079
"""The first half of every advisory key of ours; it spells "dbpy"."""
SCHEMA_KEY = 1

_HOLDERS = text(f"""
SELECT l.objid, {COLUMNS} FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = CAST(CAST(:space AS text) AS oid)
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY a.backend_start
""")  # noqa: S608 - column names from above


class LockHeldError(ProvisionError):
    """Somebody held a lock beyond the deadline; the message names them and says what to do."""


@contextmanager
def schema_lock(
    database: Observer | URL | str,
    *,
    party: Party | None = None,
    key: int = SCHEMA_KEY,
    wait_seconds: float = Patience.lock,
    on_wait: Say = silent,
) -> Iterator[None]:
    """Hold the right to change this database's schema; LockHeldError when it cannot be had in time.

    Not to be taken twice by one process: it would wait for itself. A database in memory needs none.
    """
    url = database.url if isinstance(database, Observer) else make_url(database)
    party = party or Party()
    lock: AdvisoryLock | FileLock
    if identity_of(url).is_memory:
        yield
        return
    if url.get_backend_name() == "sqlite":
        lock = FileLock(lock_file(url, "schema" if key == SCHEMA_KEY else str(key)), party)
    else:
        lock = AdvisoryLock(url, key, party)
    try:
        _wait(lock, str(identity_of(url)), Deadline(wait_seconds, on_wait))
        yield
    finally:
        lock.release()


def _wait(lock: AdvisoryLock | FileLock, place: str, deadline: Deadline) -> None:
    while not lock.try_acquire():
        if deadline.over:
            msg = (
                f"The schema of {place} is being built by somebody else, and was not free within"
                f" {deadline.seconds:g} s.\nHeld by {lock.holder()}.\n"
                f"{lock.remedy()} and start again."
            )
            raise LockHeldError(msg)
        if deadline.due:
            deadline.tell(f"waiting for another builder of {place}: {lock.holder()}")
        deadline.pause()


class AdvisoryLock:
    """A PostgreSQL advisory lock; the database it is in is part of its key."""

    def __init__(self, url: URL, key: int, party: Party) -> None:
        self._party = party
        self._key = key
        self._held = HeldConnection(url, party.application("builds"))

    def try_acquire(self) -> bool:
        """Take it if it is free."""
        asked = f"SELECT pg_try_advisory_lock({KEY_SPACE}, {self._key}) {self._party.comment()}"
        return bool(self._held.call(lambda connection: connection.exec_driver_sql(asked).scalar()))

    def holder(self) -> str:
        """Who has it now."""
        holders = self._held.call(lambda connection: holders_in(connection, KEY_SPACE))
        return (
            "; ".join(str(each) for key, each in holders if key == self._key)
            or "somebody who has just let go"
        )

    def remedy(self) -> str:
        """What lets it go."""
        holders = self._held.call(lambda connection: holders_in(connection, KEY_SPACE))
        pids = [each.pid for key, each in holders if key == self._key]
        return (
            "Let it finish, or end it ("
            + " ".join(f"SELECT pg_terminate_backend({pid});" for pid in pids)
            + ")"
        )

    def release(self) -> None:
        """Let go, or stop asking."""
        self._held.close()


def holders_in(connection: Connection, space: int) -> list[tuple[int, Holder]]:
    """Who holds which advisory locks of this key space in the connection's database."""
    rows = connection.execute(_HOLDERS, {"space": str(space)})
    return [(int(row[0]), Holder.of(row[1:])) for row in rows]


def lock_file(url: URL, purpose: str) -> Path:
    """The file beside a SQLite database that stands for a lock on it."""
    return Path(f"{identity_of(url).database}.dbparity-{purpose}")


class FileLock:
    """A file that is locked, and says by whom. It is there while somebody holds it, and no longer."""

    def __init__(self, path: Path, party: Party) -> None:
        self.path = path
        self._party = party
        self._file = -1

    def try_acquire(self) -> bool:
        """Take it if it is free."""
        opened = os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.path.samestat(os.fstat(opened), self.path.stat())
        except (BlockingIOError, FileNotFoundError):
            mine = False
        if not mine:  # locked, or removed by its last holder between our opening and our locking
            os.close(opened)
            return False
        self._file = opened
        os.ftruncate(opened, 0)
        os.pwrite(opened, self._party.json().encode(), 0)
        return True

    def holder(self) -> str:
        """Who has it now."""
        with suppress(OSError):
            party = Party.read(self.path.read_text("utf-8"))
            if party is not None:
                return str(party)
        return "somebody who has just let go"

    def remedy(self) -> str:
        """What lets it go."""
        return "Let it finish, or end that process"

    def release(self) -> None:
        """Let go, if it was had."""
        if self._file >= 0:
            self.path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1
