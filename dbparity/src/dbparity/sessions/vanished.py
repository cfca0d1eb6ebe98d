"""Rows that another connection took away, or changed, under a running test: named with table and key.

A test that had a row and looks for it by its key once more, in vain, or updates it and reaches nothing, fails in
words that blame the application ("User not found", StaleDataError). Where no statement of this process deleted
that row, and it is not committed either, somebody else works on the same database: another test run, mostly.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, exists, inspect, select
from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import instance_state

from dbparity.guard import Listeners
from dbparity.sessions.backends import backend_of
from dbparity.sessions.keyed import Keyed, keyed
from dbparity.sessions.look import look
from dbparity.sessions.neighbours import neighbours
from dbparity.sessions.rows import Loading, rows
from dbparity.sessions.values import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from weakref import WeakKeyDictionary

    from sqlalchemy.pool import ConnectionPoolEntry

    from dbparity.sessions.writes import Write, Writes
    from dbparity.watch import RunningTest, Watch


@dataclass(eq=False, slots=True)
class Lookup:
    """A statement that asked for one row by its key."""

    keyed: Keyed
    parameters: Mapping[str, Any]
    session: int | None
    reads: bool
    met: bool = False

    @property
    def key(self) -> tuple[Any, ...]:
        """The row's primary key."""
        return tuple(self.parameters.get(name) for name in self.keyed.names)


class Vanished:
    """Remembers the rows that the running test has met, and notices when one is missing."""

    def __init__(
        self,
        watch: Watch,
        writes: Writes,
        note: Callable[[list[str], int | None], None],
        connections: WeakKeyDictionary[ConnectionPoolEntry, int],
    ) -> None:
        self._watch = watch
        self._writes = writes
        self._note = note
        self._connections = connections
        self._seen: set[tuple[Any, ...]] = set()
        """Identities of objects, as they come."""
        self._rows: set[tuple[Any, tuple[str, ...]]] = set()
        """The same by table and key, as soon as somebody asks."""
        self._pending: list[Lookup] = []
        self._told: set[tuple[Table, tuple[Any, ...]]] = set()
        self._epoch = 0
        self._listeners = Listeners(
            watch.guard("timeline"), (Session, "pending_to_persistent", self._inserted)
        )

    def start(self) -> None:
        """Learn of every object that is loaded or inserted."""
        rows.add(self._loading)
        self._listeners.add()

    def stop(self) -> None:
        """Leave SQLAlchemy as it was."""
        self._listeners.remove()
        rows.remove(self._loading)

    def forget(self) -> None:
        """A new test begins."""
        self._seen.clear()
        self._rows.clear()
        self._pending.clear()
        self._told.clear()
        self._epoch = self._writes.epoch

    def executed(self, session: int | None, context: Any, found: int) -> None:  # noqa: ANN401
        """A statement ran; `found` is its number of rows, negative where the driver does not know it yet."""
        if self._pending:
            self.settle()
        compiled = context.compiled if context is not None else None
        asked = keyed(compiled) if compiled is not None and found <= 0 else None
        if asked is None or len(context.compiled_parameters) != 1:
            return
        reads = not (context.isupdate or context.isdelete)
        lookup = Lookup(asked, context.compiled_parameters[0], session, reads)
        if found < 0:
            context.dbparity_lookup = lookup
            self._pending.append(lookup)
        else:
            self._missing(lookup)

    def settle(self) -> None:
        """What was asked for before has been read by now, if there was a row."""
        pending, self._pending = self._pending, []
        for lookup in pending:
            if lookup.reads and not lookup.met:
                self._missing(lookup)

    def _loading(self, about: Loading) -> Callable[[Any, object], None]:
        lookup = getattr(about.result.context, "dbparity_lookup", None)
        seen = self._seen

        def met(_: object, found: object) -> None:
            key = instance_state(found).key
            if key is not None:
                seen.add(key)
            if lookup is not None:
                lookup.met = True

        return met

    def _inserted(self, _: Session, instance: object) -> None:
        key = instance_state(instance).key
        if key is not None:
            self._seen.add(key)

    def _missing(self, lookup: Lookup) -> None:
        test, table, key = self._watch.test, lookup.keyed.table, lookup.key
        if test is None or (table, key) in self._told or not self._knew(table, key):
            return
        if self._own_doing(table, key, test):
            return
        with suppress(Exception):  # evidence only: looking must not fail what is looked at
            there = look(test, lambda connection: _there(connection, table, key))
            lines = self._explained(lookup, test, there=there) if there is not None else []
            if lines:
                self._told.add((table, key))
                self._note(lines, lookup.session)

    def _knew(self, table: Table, key: tuple[Any, ...]) -> bool:
        """Whether this test has met the row before."""
        while self._seen:
            kind, primary, *_ = self._seen.pop()
            self._rows.update((each, _spelled(primary)) for each in inspect(kind).tables)
        return (table, _spelled(key)) in self._rows

    def _own_doing(self, table: Table, key: tuple[Any, ...], test: RunningTest) -> bool:
        """Whether something in this process may have deleted the row, or rolled its insertion back."""
        if self._writes.undone(table.fullname, self._epoch):
            return True
        writes = self._writes.of({each.fullname for each in _deleting(table)}, test.nodeid)
        return any(
            write.verb in {"DELETE", "TRUNCATE"} and not _spares(write, table, key) for write in writes
        )

    def _explained(self, lookup: Lookup, test: RunningTest, *, there: bool) -> list[str]:
        table = lookup.keyed.table
        key = ", ".join(
            f"{column.name}={shown(column.name, value)}"
            for column, value in zip(table.primary_key, lookup.key, strict=True)
        )
        row = f"the row of {table.fullname} with {key}, which this test had before,"
        if there:
            changed = not lookup.reads and not self._changed_here(table, lookup, test)
            return [f"{row} was changed by another connection", *self._others(test)] if changed else []
        open_ = [number for number in self._writes.writers(table.fullname) if number != lookup.session]
        if open_:
            return [
                f"{row} is not committed: session {open_[0]} has changed {table.fullname} and is not done"
            ]
        gone = f"{row} is gone: deleted by another connection, for no statement of this process deleted it"
        return [gone, *self._others(test)]

    def _changed_here(self, table: Table, lookup: Lookup, test: RunningTest) -> bool:
        """Whether another session of this process has written the row, too."""
        writes = self._writes.of([table.fullname], test.nodeid)
        return any(
            write.verb != "INSERT" and write.session != lookup.session and write.mentions(lookup.key)
            for write in writes
        )

    def _others(self, test: RunningTest) -> list[str]:
        entries = [entry for ref in self._connections.keyrefs() if (entry := ref()) is not None]
        own = {backend_of(entry.dbapi_connection) for entry in entries}
        return neighbours(test, {pid for pid in own if pid is not None})


def _there(connection: Connection, table: Table, key: tuple[Any, ...]) -> bool:
    same = (column == value for column, value in zip(table.primary_key, key, strict=True))
    return bool(connection.scalar(select(exists().where(*same))))


def _deleting(table: Table) -> Iterator[Table]:
    """The table itself, and those whose rows take this one's with them as they go."""
    found, waiting = {table}, [table]
    while waiting:
        for each in waiting.pop().foreign_keys:
            parent = each.column.table
            if parent not in found and str(each.ondelete).upper() == "CASCADE":
                found.add(parent)
                waiting.append(parent)
    yield from found


def _spares(write: Write, table: Table, key: tuple[Any, ...]) -> bool:
    """Whether a DELETE was of other rows for sure: the unit of work's, which names one by its key."""
    by_key = {column.key for column in table.primary_key}
    named = bool(write.parameters) and all(set(given) == by_key for given in write.parameters)
    return write.table == table.fullname and named and not write.spelled_out and not write.mentions(key)


def _spelled(key: Iterable[Any]) -> tuple[str, ...]:
    return tuple(map(str, key))
