"""Who wrote which table in this process, and what of it is not committed yet.

Read from the statements of every watched engine; shared by the detectors that ask "who changed this row?".
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from dbparity.guard import Listeners
from dbparity.observer import is_own
from dbparity.origin import Origin, caller
from dbparity.request import Request, current_request

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from dbparity.watch import Watch

KEPT = 50
"""How many writes of a table are remembered."""

_SPELLED = re.compile(
    r"\s*(INSERT|UPDATE|DELETE|TRUNCATE)\s+(?:OR\s+\w+\s+)?(?:INTO\s+|FROM\s+|TABLE\s+)?(?:ONLY\s+)?([\w.\"]+)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Write:
    """A statement that changed a table."""

    epoch: int
    verb: str
    table: str
    session: int | None
    """The number of the session that did it; None where a connection was used without one."""
    request: Request | None
    origin: Origin | None
    test: str
    parameters: Sequence[Mapping[str, Any]]
    spelled_out: bool
    """Whether the application wrote the SQL itself, so that its parameters may mean anything."""

    def mentions(self, key: Sequence[object]) -> bool:
        """Whether the statement was given the values of this primary key."""
        wanted = {str(part) for part in key}
        return any(wanted <= set(map(str, given.values())) for given in self.parameters)

    def __str__(self) -> str:
        by = f" by session {self.session}" if self.session else ""
        during = f" in {self.request}" if self.request else ""
        at = f" at {self.origin}" if self.origin else ""
        return f"{self.verb} {self.table}{by}{during}{at}"


class Writes:
    """What was written since the watch began; one for each watch, for as long as a detector needs it."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._users = 0
        self.epoch = 0
        """Counts every write."""
        self._tables: dict[str, deque[Write]] = {}
        self._open: WeakKeyDictionary[Connection, set[str]] = WeakKeyDictionary()
        self._undone: dict[str, int] = {}
        self._sessions: WeakKeyDictionary[Connection, int] = WeakKeyDictionary()
        self._listeners = Listeners(
            watch.guard("stale-read", "timeline"),
            (Engine, "after_cursor_execute", self._executed),
            (Engine, "commit", self._committed),
            (Engine, "rollback", self._rolled_back),
            (Engine, "commit_twophase", self._committed),
            (Engine, "rollback_twophase", self._rolled_back),
            (Engine, "rollback_savepoint", self._undone_in_part),
            (Session, "after_begin", self._begun),
        )

    @classmethod
    def join(cls, watch: Watch) -> Writes:
        """The one of this watch; give it back with `leave`."""
        writes = _shared.setdefault(watch, cls(watch))
        if not writes._users:  # noqa: SLF001 - our own
            writes._listeners.add()  # noqa: SLF001 - our own
        writes._users += 1  # noqa: SLF001 - our own
        return writes

    def leave(self) -> None:
        """The last to leave takes the listeners out."""
        self._users -= 1
        if not self._users:
            self._listeners.remove()

    def since(self, epoch: int) -> set[str]:
        """The tables written after that epoch."""
        if epoch == self.epoch:
            return set()
        return {table for table, writes in list(self._tables.items()) if writes[-1].epoch > epoch}

    def of(self, tables: Iterable[str], test: str) -> list[Write]:
        """The writes of these tables during a test, newest first."""
        found = [
            write
            for table in tables
            for write in list(self._tables.get(table, ()))
            if write.test in {test, ""}
        ]
        return sorted(found, key=lambda write: -write.epoch)

    def uncommitted(self) -> set[str]:
        """The tables with changes in a transaction that is still open."""
        return {table for _, tables in self._unfinished() for table in list(tables)}

    def writers(self, table: str) -> list[int]:
        """The sessions that have changed a table and neither committed nor rolled back."""
        numbers = [self._sessions.get(each) for each, tables in self._unfinished() if table in tables]
        return [number for number in numbers if number is not None]

    def _unfinished(self) -> Iterator[tuple[Connection, set[str]]]:
        """The connections with changes in their open transaction; other threads may add to them meanwhile."""
        for ref in self._open.keyrefs():
            connection = ref()
            tables = self._open.get(connection) if connection is not None else None
            if connection is not None and tables:
                yield connection, tables

    def undone(self, table: str, epoch: int) -> bool:
        """Whether changes of a table were rolled back after that epoch."""
        return self._undone.get(table, -1) > epoch

    def session_on(self, connection: Connection) -> int | None:
        """The number of the session that uses this connection."""
        return self._sessions.get(connection)

    def _begun(self, session: Session, _: object, connection: Connection) -> None:
        tracked = self._watch.sessions.of(session)
        if tracked is not None and not is_own(connection.dialect):
            self._sessions[connection] = tracked.number

    def _executed(
        self,
        connection: Connection,
        _cursor: object,
        statement: str,
        _p: object,
        context: Any,  # noqa: ANN401
        _m: bool,  # noqa: FBT001
    ) -> None:
        found = written_by(context, statement)
        if found is None or is_own(connection.dialect):
            return
        verb, table = found
        self.epoch += 1
        test = self._watch.test
        write = Write(
            self.epoch,
            verb,
            table,
            self._sessions.get(connection),
            current_request(),
            caller(),
            test.nodeid if test else "",
            getattr(context, "compiled_parameters", None) or (),
            spelled_out=not (context.isinsert or context.isupdate or context.isdelete),
        )
        self._tables.setdefault(table, deque(maxlen=KEPT)).append(write)
        self._open.setdefault(connection, set()).add(table)

    def _committed(self, connection: Connection, *_: object) -> None:
        self._open.pop(connection, None)

    def _rolled_back(self, connection: Connection, *_: object) -> None:
        self._undone_in_part(connection)
        self._open.pop(connection, None)

    def _undone_in_part(self, connection: Connection, *_: object) -> None:
        for table in self._open.get(connection, ()):
            self._undone[table] = self.epoch


_shared: WeakKeyDictionary[Watch, Writes] = WeakKeyDictionary()


def written_by(context: Any, statement: str) -> tuple[str, str] | None:  # noqa: ANN401 - ExecutionContext
    """The verb and the table of a statement that writes; None for one that reads."""
    if context is not None and (context.isinsert or context.isupdate or context.isdelete):
        verb = "INSERT" if context.isinsert else "UPDATE" if context.isupdate else "DELETE"
        table = getattr(getattr(context.compiled, "statement", None), "table", None)
        if table is not None:
            return verb, str(getattr(table, "fullname", table))
    if statement.startswith("SELECT"):
        return None
    spelled = _SPELLED.match(statement)
    return (spelled[1].upper(), spelled[2].replace('"', "")) if spelled else None
