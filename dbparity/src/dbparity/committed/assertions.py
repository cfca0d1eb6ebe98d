"""`committed`: how many rows there are, which, and what a block of code has changed.

Every answer comes through a connection of its own, so that what the application has flushed and forgotten to
commit is not there. Under savepoint isolation nothing is ever committed for others to see: there a fresh
connection to the test's own transaction answers, every message says so, and tables that a session has changed
and not committed are refused, because those changes would be seen too.

The methods are plain ones, for async tests too: they wait for the answer, without the help of the test's loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbparity.committed.diff import indented
from dbparity.committed.expectation import Expectation
from dbparity.committed.reading import Reading
from dbparity.sessions.values import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from dbparity.committed.entities import Entity, Named
    from dbparity.committed.rows import Row
    from dbparity.isolation.base import Isolation
    from dbparity.provision.database import TestDatabase
    from dbparity.watch import Watch

ROWS_SHOWN = 5


class Committed:
    """What is committed in the database of one test.

    Tables go by mapped class, by Table, or by the name of either ("users", "audit.events", "User").
    """

    def __init__(
        self, database: TestDatabase, isolation: Isolation | None = None, watch: Watch | None = None
    ) -> None:
        self._reading = Reading(database, isolation, watch)

    @property
    def source(self) -> str:
        """Where the answers come from, in words."""
        return self._reading.source

    def close(self) -> None:
        """The test is through."""
        self._reading.close()

    def count(self, named: Named, /, **wanted: Any) -> int:  # noqa: ANN401 - values of columns
        """How many rows are committed; those with these values only, where some are given."""
        __tracebackhide__ = True
        entity = self._reading.entities.find(named)
        return len(self._reading.rows(entity, wanted)) if wanted else self._reading.counts([entity])[0]

    def rows(self, named: Named, /, **wanted: Any) -> list[Row]:  # noqa: ANN401 - the same
        """The committed rows with these values, by attribute or column name, in the order of the primary key."""
        __tracebackhide__ = True
        return self._reading.rows(self._reading.entities.find(named), wanted)

    def one(self, named: Named, /, **wanted: Any) -> Row:  # noqa: ANN401 - the same
        """The one committed row with these values; an AssertionError where there is none or more."""
        __tracebackhide__ = True
        entity = self._reading.entities.find(named)
        found = self._reading.rows(entity, wanted)
        if len(found) == 1:
            return found[0]
        raise self._reading.failure(list(self._not_one(entity, wanted, found)))

    def _not_one(self, entity: Entity, wanted: Mapping[str, Any], found: list[Row]) -> Iterator[str]:
        asked = ", ".join(f"{name}={shown(name, value)}" for name, value in wanted.items())
        wish = f"one row with {asked}" if asked else "one row"
        yield f"{entity.name}: expected {wish}, and {_are(len(found))} committed."
        if found:
            yield from indented(_listed(found))
            return
        others = self._reading.rows(entity, {})
        if others:
            yield from indented([f"The rows of {entity.name}:", *_listed(others)])
        yield from self._reading.missing(entity.tables)

    def assert_state(self, expected: Mapping[Any, int] | None = None, /, **by_name: int) -> None:
        """Assert how many rows are committed: `assert_state(User=1, Token=0)`, `assert_state({User: 1})`."""
        __tracebackhide__ = True
        wanted = {**(expected or {}), **by_name}
        entities = [self._reading.entities.find(name) for name in wanted]
        lines: list[str] = []
        for entity, count, found in zip(
            entities, wanted.values(), self._reading.counts(entities), strict=True
        ):
            if count != found:
                lines += self._miscounted(entity, count, found)
        if lines:
            raise self._reading.failure(lines)

    def _miscounted(self, entity: Entity, wanted: int, found: int) -> Iterator[str]:
        rows = "1 row" if wanted == 1 else f"{wanted} rows"
        yield f"{entity.name}: expected {rows}, and {_are(found)} committed."
        if 0 < found <= ROWS_SHOWN * 2:
            yield from indented(_listed(self._reading.rows(entity, {})))
        if found < wanted:
            yield from self._reading.missing(entity.tables)

    def expect(
        self, expected: Mapping[Any, int] | None = None, /, *, allow: Collection[Any] = (), **by_name: int
    ) -> Expectation:
        """Assert what a block commits: `with committed.expect(users=+1, mail_outbox=+1): ...`.

        So many rows come (or go) in the tables named, and nothing else changes in any table: no other row is
        updated either, also where the count stays the same. In the tables of `allow` anything may change; one that
        is named there and has a number too must only have so many rows more or fewer.
        """
        return Expectation(self._reading, {**(expected or {}), **by_name}, allow)


def _listed(rows: list[Row]) -> Iterator[str]:
    yield from (repr(row) for row in rows[:ROWS_SHOWN])
    if len(rows) > ROWS_SHOWN:
        yield f"... and {len(rows) - ROWS_SHOWN} more"


def _are(count: int) -> str:
    return "1 is" if count == 1 else f"{count} are"
