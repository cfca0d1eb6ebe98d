"""A SELECT whose row differs from the object it was matched to: found where it happens.

The ORM does not apply a row to an object that the session holds already and that is not expired. So the query
finds what the database says, and the caller gets what the object said before.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapper, Session
from sqlalchemy.orm.attributes import instance_state

from dbparity.findings import Finding
from dbparity.origin import caller
from dbparity.request import current_request
from dbparity.sessions.values import same, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dbparity.sessions.rows import Loading
    from dbparity.sessions.writes import Write, Writes
    from dbparity.watch import Watch

NAME = "stale-read"
MOST = 5
"""How many objects are reported for one line of a test."""
REMEDY = (
    "refresh() or expire() the object, add .execution_options(populate_existing=True) to the SELECT, or give "
    "each request and the test a session of its own"
)


class IgnoredRows:
    """Compares each row with the object that the ORM prefers to it."""

    def __init__(self, watch: Watch, writes: Writes) -> None:
        self._watch = watch
        self._writes = writes
        self._reported: dict[object, int] = {}
        self.objects: set[tuple[int, Any]] = set()
        """What was reported in this test: the session's number and the object's identity."""

    def forget(self) -> None:
        """A new test begins."""
        self._reported.clear()
        self.objects.clear()

    def __call__(self, about: Loading) -> Callable[[Any, object], None] | None:
        """Watch one entity of one SELECT."""
        if about.refreshing or self._watch.test is None:
            return None
        session, runid = about.context.session, about.context.runid
        getters: list[tuple[str, Column[Any], Callable[[Any], Any]]] | None = None
        done = set()

        def seen(row: Any, found: object) -> None:  # noqa: ANN401 - the driver's
            nonlocal getters
            state = instance_state(found)
            if state.runid == runid or state in done:
                return
            done.add(state)
            if getters is None:
                getters = list(_getters(about))
            held = state.dict
            differing = [
                (key, column, held[key], stored)
                for key, column, getter in getters
                if key in held
                and key not in state.committed_state
                and not column.type.compare_values(held[key], stored := getter(row))
            ]
            if differing and self._watch.sessions.of(session) is not None:
                self._differ(session, about.mapper, state, differing)

        return seen

    def _differ(
        self,
        session: Session,
        mapper: Mapper[Any],
        state: Any,  # noqa: ANN401 - InstanceState
        differing: Sequence[tuple[str, Column[Any], object, object]],
    ) -> None:
        """Report the differences that are more than another spelling."""
        dialect = session.get_bind(mapper).dialect
        test = self._watch.test
        writes = self._writes.of(tables_of(mapper), test.nodeid if test else "")
        real = [
            (key, held, stored)
            for key, column, held, stored in differing
            if not same(held, stored, column.type, dialect)
            and (writes or not isinstance(held, (dict, list, set)))  # changed in place, and not tracked
        ]
        if not real or not self._wanted(session, mapper, state, [key for key, _, _ in real]):
            return
        self._report(session, mapper, state, real, writes)

    def _wanted(self, session: Session, mapper: Mapper[Any], state: Any, keys: list[str]) -> bool:  # noqa: ANN401
        """Once for each object, and no more than some for one class and line."""
        once = (session.hash_key, state.key, tuple(keys))
        place = (mapper.base_mapper, caller())
        if once in self._reported or self._reported.get(place, 0) >= MOST:
            return False
        self._reported[once] = 1
        self._reported[place] = self._reported.get(place, 0) + 1
        return True

    def _report(
        self,
        session: Session,
        mapper: Mapper[Any],
        state: Any,  # noqa: ANN401 - InstanceState
        differing: list[tuple[str, object, object]],
        writes: Sequence[Write],
    ) -> None:
        test, line, request = self._watch.test, caller(), current_request()
        held = ", ".join(f"{key}={shown(key, value)}" for key, value, _ in differing)
        stored = ", ".join(f"{key}={shown(key, value)}" for key, _, value in differing)
        message = (
            f"in {test.nodeid if test else 'no test'}, the SELECT at {line or 'an unknown line'}"
            f"{f' in {request}' if request else ''} read {stored} for {named(mapper, state.key[1])}, and the caller "
            f"got {held}: the session held the object already, and a SELECT does not refresh it."
        )
        tracked = self._watch.sessions.of(session)
        number = tracked.number if tracked else 0
        self.objects.add((number, state.key))
        evidence = (f"held by {tracked}", writer(writes, number, tables_of(mapper), state.key[1]))
        self._watch.report(Finding(NAME, message, evidence, REMEDY))


def _getters(about: Loading) -> list[tuple[str, Column[Any], Callable[[Any], Any]]]:
    found = []
    for key, column in columns_of(about.mapper):
        with suppress(KeyError, SQLAlchemyError):
            getter = about.getter(column)
            if getter is not None:
                found.append((key, column, getter))
    return found


def columns_of(mapper: Mapper[Any]) -> list[tuple[str, Column[Any]]]:
    """The attributes that are plain columns of tables."""
    return [
        (attribute.key, attribute.columns[0])
        for attribute in mapper.column_attrs
        if isinstance(attribute.columns[0], Column)
    ]


def named(mapper: Mapper[Any], key: Sequence[Any]) -> str:
    """An object for people: User 1."""
    return f"{mapper.class_.__name__} {', '.join(str(part) for part in key)}"


def tables_of(mapper: Mapper[Any]) -> list[str]:
    """The names of the tables that an object of this class is spread over."""
    return [str(getattr(table, "fullname", table)) for table in mapper.tables]


def writer(writes: Sequence[Write], own: int, tables: Sequence[str], key: Sequence[object]) -> str:
    """Who changed the row, as far as this process can know; `own` is the number of the session that holds it.

    `writes` come newest first. One that was given the row's own key says more than a later one that was not.
    """
    changes = [write for write in writes if write.verb != "INSERT"]
    changes.sort(key=lambda write: (write.session == own, not write.mentions(key)))
    if not changes:
        return (
            f"nothing in this process changed {' or '.join(tables)} during the test: another connection did"
        )
    if changes[0].session == own:
        return f"the last write of {changes[0].table} was the same session's, past its objects: {changes[0]}"
    which = "of the row" if changes[0].mentions(key) else f"of {changes[0].table}"
    return f"the last write {which} outside that session: {changes[0]}"
