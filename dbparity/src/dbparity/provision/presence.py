"""Two test runs on one database: a run-long mark, by which a later run learns of an earlier one.

On PostgreSQL it is a shared advisory lock whose key is the run; on SQLite a locked file that tells of it. All
workers of a run share it. It ends with its holders, also when they are killed.
"""

from __future__ import annotations

import fcntl
import os
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sqlalchemy.engine import URL, make_url

from dbparity.config import InUse
from dbparity.provision.errors import ProvisionError
from dbparity.provision.held import HeldConnection, UnreachableError
from dbparity.provision.lock import KEY_SPACE, FileLock, holders_in, lock_file
from dbparity.provision.party import Party
from dbparity.provision.patience import Deadline, Patience, Say, silent
from dbparity.targets import identity_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

RUN_SPACE = 0x64627072
"""The first half of the keys of runs; it spells "dbpr"."""
DOOR_KEY = 2
"""In the space of locks: held for the moment in which somebody looks and enters."""
DOOR_SECONDS = 30.0


class DatabaseInUseError(ProvisionError):
    """Another test run works on this database; the message says which one and what to do."""


@dataclass(frozen=True)
class Decision:
    """What a run may do with the database."""

    entered: bool
    """It is marked as this run's. If not: take a clone, for it is another's."""
    others: tuple[str, ...] = ()
    """Who else was met, at the last look."""


class _Mark(Protocol):
    def enter(self) -> list[str] | None:
        """Enter if no other run is there; return who is, or None while somebody else is at the door."""

    def close(self) -> None: ...


class Presence:
    """The mark of this run on one database."""

    def __init__(
        self,
        url: URL | str,
        party: Party,
        policy: InUse,
        *,
        wait_seconds: float = Patience.run,
        say: Say = silent,
    ) -> None:
        self.url = make_url(url)
        self.party = party
        self.policy = policy
        self._wait_seconds = wait_seconds
        self._say = say
        self._mark: _Mark | None = None

    def enter(self) -> Decision:
        """Mark the database as this run's, or do as the policy says; DatabaseInUseError if that is to stop."""
        if identity_of(self.url).is_memory:
            return Decision(entered=True)
        try:
            mark: _Mark = (
                _FileMark(self.url, self.party) if self._is_file else _ServerMark(self.url, self.party)
            )
        except UnreachableError:  # nobody is there, and the gate says what is wrong: see `ensure_database`
            return Decision(entered=True)
        try:
            others = self._entered(mark)
        except BaseException:
            mark.close()
            raise
        if others:
            mark.close()
        else:
            self._mark = mark
        return Decision(not others, tuple(others))

    def leave(self) -> None:
        """Take the mark away."""
        if self._mark is not None:
            self._mark.close()
            self._mark = None

    @property
    def _is_file(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    def _entered(self, mark: _Mark) -> list[str]:
        """Enter, and return nobody; or return who is there, where that means to take a clone."""
        deadline = Deadline(self._wait_seconds if self.policy is InUse.WAIT else 0.0, self._say)
        while True:
            others = self._met(mark)
            if not others or self.policy is InUse.CLONE:
                return others
            if deadline.over:
                raise DatabaseInUseError(self._told(others, deadline))
            deadline.tell(f"waiting for another test run on {identity_of(self.url)}: {'; '.join(others)}")
            deadline.pause()

    def _met(self, mark: _Mark) -> list[str]:
        """Wait for whoever is at the door, which takes a moment, and enter or see who is there."""
        door = Deadline(DOOR_SECONDS, step=0.02)
        while (others := mark.enter()) is None:
            if door.over:
                msg = f"Somebody has been about to enter {identity_of(self.url)} for {DOOR_SECONDS:.0f} s: start again."
                raise DatabaseInUseError(msg)
            door.pause()
        return others

    def _told(self, others: list[str], deadline: Deadline) -> str:
        lines = [f"Another test run works on {identity_of(self.url)}:", *(f"  {each}" for each in others)]
        if self.policy is InUse.WAIT:
            lines.append(f"It was waited for {deadline.seconds:g} s.")
        lines.append(
            'Let it finish, give this run another database_url, or say in_use = "clone" in [tool.dbparity].'
        )
        return "\n".join(lines)


def _lock_key(run: str) -> int:
    """The second half of the key of a run's mark."""
    return zlib.crc32(run.encode()) >> 1


class _ServerMark:
    """A shared advisory lock on a connection of its own."""

    def __init__(self, url: URL, party: Party) -> None:
        self._key = _lock_key(party.run)
        self._comment = party.comment()
        self._held = HeldConnection(url, party.application("tests"))

    def enter(self) -> list[str] | None:
        return self._held.call(self._look_and_enter)

    def _look_and_enter(self, connection: Connection) -> list[str] | None:
        def ask(function: str) -> bool:
            return bool(connection.exec_driver_sql(f"SELECT {function} {self._comment}").scalar())

        if not ask(f"pg_try_advisory_lock({KEY_SPACE}, {DOOR_KEY})"):
            return None
        try:
            others = [str(holder) for key, holder in holders_in(connection, RUN_SPACE) if key != self._key]
            if not others:
                ask(f"pg_try_advisory_lock_shared({RUN_SPACE}, {self._key})")
            return others
        finally:  # with the comment, because an idle connection is known by its last statement
            ask(f"pg_advisory_unlock({KEY_SPACE}, {DOOR_KEY})")

    def close(self) -> None:
        self._held.close()


class _FileMark:
    """A file beside the database that every worker of one run has locked together."""

    def __init__(self, url: URL, party: Party) -> None:
        self._party = party
        self._path = lock_file(url, "run")
        self._door = FileLock(lock_file(url, "door"), party)
        self._file = -1

    def enter(self) -> list[str] | None:
        if not self._door.try_acquire():
            return None
        try:
            return self._look_and_enter()
        finally:
            self._door.release()

    def _look_and_enter(self) -> list[str]:
        opened = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
        there = Party.read(os.pread(opened, 65536, 0).decode(errors="replace"))
        alone = _locked(opened, fcntl.LOCK_EX)
        if not alone and (there is None or there.run != self._party.run):
            os.close(opened)
            return [str(there) if there else f"somebody who has locked {self._path}"]
        if alone:
            os.ftruncate(opened, 0)
            os.pwrite(opened, self._party.json().encode(), 0)
        _locked(opened, fcntl.LOCK_SH)
        self._file = opened
        return []

    def close(self) -> None:
        if self._file < 0:
            return
        entered = Deadline(DOOR_SECONDS)
        while not (at_the_door := self._door.try_acquire()) and not entered.over:
            entered.pause()
        if at_the_door and _locked(self._file, fcntl.LOCK_EX):  # the last one out
            self._path.unlink(missing_ok=True)
        os.close(self._file)
        self._file = -1
        self._door.release()


def _locked(file: int, kind: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(file, kind | fcntl.LOCK_NB)
        return True
    return False
