"""Work on a schema that cannot hang: it runs in a thread of its own, while this one looks at who is in its way.

A statement that needs a locked table gives up by the server's lock_timeout; whoever held the lock is asked for
while the statement waits, because afterwards nobody can tell. SQLite does not know who locks a file, but the
kernel does.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from dbparity.provision.errors import ProvisionError
from dbparity.provision.held import HeldConnection, UnreachableError
from dbparity.provision.party import COLUMNS, Holder, Party
from dbparity.provision.patience import TOLD_FIRST, Deadline, Patience, Say
from dbparity.sqlstate import is_locked_out
from dbparity.targets import identity_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

T = TypeVar("T")

LOOK_AFTER = 0.3
ENDING_SECONDS = 5.0

_BLOCKERS = text(f"""
SELECT DISTINCT {COLUMNS} FROM pg_stat_activity waiting
CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocking (pid)
JOIN pg_stat_activity a ON a.pid = blocking.pid
WHERE waiting.application_name = :application
""")  # noqa: S608 - column names
_END = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = :application")


class BlockedError(ProvisionError):
    """A lock was not to be had within its timeout; the message names who has it."""


class OverdueError(ProvisionError):
    """The work was not done within its deadline."""


@dataclass
class _Work(Generic[T]):
    function: Callable[[], T]
    result: list[T] = field(default_factory=list)
    error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result.append(self.function())
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            self.error = error


def guarded(function: Callable[[], T], url: URL, party: Party, *, patience: Patience, say: Say) -> T:
    """Run `function`, whose connections go by `application_of(party)`, and return or raise what it does."""
    work = _Work(function)
    thread = threading.Thread(target=work.run, name="dbparity-schema", daemon=True)
    lookout = _Lookout(url, application_of(party))
    try:
        thread.start()
        _attend(thread, lookout, Deadline(patience.build, say))
        if thread.is_alive():
            lookout.end()
            thread.join(ENDING_SECONDS)
            msg = f"Building the schema of {identity_of(url)} took more than {patience.build:g} s, and was ended."
            raise OverdueError(msg)
    except KeyboardInterrupt:
        lookout.end()  # else the server would go on with it while the lock is let go
        raise
    finally:
        lookout.close()
    if work.error is not None:
        if is_lock_timeout(work.error):
            raise BlockedError(lookout.blocked(patience.table)) from work.error
        raise work.error
    return work.result[0]


def application_of(party: Party) -> str:
    """What the connections that build a schema call themselves."""
    return party.application("schema")


def is_lock_timeout(error: BaseException | None) -> bool:
    """Whether this error, or what it came from, is a lock that was not to be had."""
    while error is not None:
        if is_locked_out(error):
            return True
        error = error.__cause__
    return False


def _attend(thread: threading.Thread, lookout: _Lookout, deadline: Deadline) -> None:
    thread.join(LOOK_AFTER)
    while thread.is_alive() and not deadline.over:
        lookout.look()
        if lookout.seen or deadline.waited > TOLD_FIRST:
            deadline.tell(lookout.state())
        thread.join(LOOK_AFTER)


class _Lookout:
    """Looks at the server from a connection of its own, for who blocks whom."""

    def __init__(self, url: URL, application: str) -> None:
        self._url = url
        self._bound = {"application": application}
        self._held: HeldConnection | None = None
        self.seen: list[str] = []

    def look(self) -> None:
        if self._url.get_backend_name() == "sqlite":
            self.seen = file_holders(Path(identity_of(self._url).database)) or self.seen
            return
        with suppress(SQLAlchemyError, UnreachableError, OSError):
            # What was in the way last is what the failure is about: it may be gone when the failure is told.
            self.seen = self._connection().call(self._blockers) or self.seen

    def _connection(self) -> HeldConnection:
        if self._held is None:
            self._held = HeldConnection(self._url, "dbparity looks on")
        return self._held

    def _blockers(self, connection: Connection) -> list[str]:
        return [str(Holder.of(row)) for row in connection.execute(_BLOCKERS, self._bound)]

    def state(self) -> str:
        if self.seen:
            return f"building the schema waits for a lock held by {'; '.join(self.seen)}"
        return f"building the schema of {identity_of(self._url)}"

    def blocked(self, seconds: float) -> str:
        who = "\n  ".join(self.seen) or "somebody who could not be seen"
        return (
            f"A table of {identity_of(self._url)} is locked, and was not free within {seconds:g} s. Held by:\n"
            f"  {who}\nEnd that transaction (a session that was never closed?) and start again."
        )

    def end(self) -> None:
        """End the connections of the work, and with them what they wait for."""
        if self._url.get_backend_name() == "sqlite":
            return
        with suppress(SQLAlchemyError, UnreachableError, OSError):
            self._connection().call(lambda connection: connection.execute(_END, self._bound).all())

    def close(self) -> None:
        if self._held is not None:
            self._held.close()


def file_holders(path: Path) -> list[str]:
    """Which processes have locked a file, as far as Linux tells it."""
    try:
        inode = path.stat().st_ino
        lines = Path("/proc/locks").read_text("ascii").splitlines()
    except OSError:
        return []
    pids = {
        int(fields[4])
        for fields in (line.split() for line in lines)
        if len(fields) > 5 and fields[1] == "POSIX" and fields[5].endswith(f":{inode}")  # noqa: PLR2004 - as below
    }  # "1: POSIX ADVISORY WRITE 4242 08:01:123456 0 EOF"
    return [_process(pid) for pid in sorted(pids)]


def _process(pid: int) -> str:
    if pid == os.getpid():
        return f"this process ({pid}) itself, by a connection that is still open"
    with suppress(OSError):
        command = (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        )
        return f"process {pid}: {command[:200]}"
    return f"process {pid}"
