"""Objects that sessions hold, beside the committed rows they stand for.

Everything is read from the objects' dictionaries: nothing is loaded, no session is used, none begins a
transaction. The rows are read through a connection of dbparity's own, one SELECT for all objects of a class.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Column, Connection, Join, Table, select, tuple_
from sqlalchemy.orm.attributes import instance_state

from dbparity.sessions.stale_select import columns_of
from dbparity.sessions.values import same

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from sqlalchemy.orm import Mapper, Session

    from dbparity.sessions.registry import TrackedSession

PLAIN = frozenset({str, int, bool, float, bytes, datetime, Decimal, UUID})
"""Types whose == says it all, and quickly."""
CHUNK = 500
"""How many keys are asked for at once."""


@dataclass(eq=False)
class Stale:
    """An object that is not what its row is."""

    state: Any
    """SQLAlchemy's InstanceState, which does not keep the object alive."""
    mapper: Mapper[Any]
    key: tuple[Any, ...]
    tracked: TrackedSession
    runid: object
    """Which load filled the object."""
    differing: Mapping[str, tuple[object, object]]
    """Attribute, held value, committed value; empty where the row is gone."""

    def refreshed(self) -> bool:
        """Whether the object was loaded anew, or told to be, since it was found stale."""
        state = self.state
        if state.runid != self.runid or state.expired:
            return True
        if not self.differing:
            return False
        alive = state.obj() is not None
        return all(
            key in state.expired_attributes or (alive and state.dict.get(key, self) is not held)
            for key, (held, _) in self.differing.items()
        )


def held_by(
    sessions: Iterable[tuple[Session, TrackedSession]], only: Collection[str] | None, never: Collection[str]
) -> dict[Mapper[Any], list[tuple[TrackedSession, Any]]]:
    """The loaded objects, by class; `only` and `never` are names of tables that were, or are being, written."""
    found: dict[Mapper[Any], list[tuple[TrackedSession, Any]]] = defaultdict(list)
    wanted: dict[Mapper[Any], bool] = {}
    for session, tracked in sessions:
        for held in list(session.identity_map.values()):
            state = instance_state(held)
            if state.expired or state.key is None:
                continue
            mapper = state.mapper
            if mapper not in wanted:
                wanted[mapper] = _comparable(mapper, only, never)
            if wanted[mapper]:
                found[mapper].append((tracked, state))
    return found


def compare(
    connection: Connection, held: Mapping[Mapper[Any], list[tuple[TrackedSession, Any]]]
) -> list[Stale]:
    """Every held object whose row is another, or gone."""
    return [stale for mapper, objects in held.items() for stale in _compared(connection, mapper, objects)]


def _comparable(mapper: Mapper[Any], only: Collection[str] | None, never: Collection[str]) -> bool:
    if not isinstance(mapper.persist_selectable, (Table, Join)):
        return False
    names = {str(getattr(table, "fullname", table)) for table in mapper.tables}
    return (only is None or not names.isdisjoint(only)) and names.isdisjoint(never)


def _compared(
    connection: Connection, mapper: Mapper[Any], objects: list[tuple[TrackedSession, Any]]
) -> Iterator[Stale]:
    loaded = set().union(*(state.dict for _, state in objects))
    columns = [(key, column) for key, column in columns_of(mapper) if key in loaded]
    rows = _rows(
        connection, mapper, [column for _, column in columns], [state.key[1] for _, state in objects]
    )
    width = len(mapper.primary_key)
    for tracked, state in objects:
        row = rows.get(_spelled(state.key[1]))
        differing = {} if row is None else dict(_differing(connection, state, columns, row[width:]))
        if row is None or differing:
            yield Stale(state, mapper, state.key[1], tracked, state.runid, differing)


def _differing(
    connection: Connection,
    state: Any,  # noqa: ANN401
    columns: list[tuple[str, Column[Any]]],
    stored: Any,  # noqa: ANN401
) -> Iterator[tuple[str, tuple[object, object]]]:
    held, changed = state.dict, state.committed_state
    for (key, column), value in zip(columns, stored, strict=True):
        if key not in held or key in changed or held[key] is value:
            continue
        if type(value) in PLAIN and held[key] == value:
            continue
        if not same(held[key], value, column.type, connection.dialect):
            yield key, (held[key], value)


def _rows(
    connection: Connection, mapper: Mapper[Any], columns: list[Column[Any]], keys: list[tuple[Any, ...]]
) -> dict[tuple[str, ...], Any]:
    primary = list(mapper.primary_key)
    statement = select(*primary, *columns).select_from(mapper.persist_selectable)
    found = {}
    for start in range(0, len(keys), CHUNK):
        chunk = keys[start : start + CHUNK]
        within = (
            primary[0].in_([key[0] for key in chunk]) if len(primary) == 1 else tuple_(*primary).in_(chunk)
        )
        for row in connection.execute(statement.where(within)).all():
            found[_spelled(row[: len(primary)])] = row
    return found


def _spelled(key: Iterable[Any]) -> tuple[str, ...]:
    """A key as text, since a session may know a UUID or a number as the string it was given."""
    return tuple([str(part) for part in key])
