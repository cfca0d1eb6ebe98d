"""Through what committed rows are read, and what every failure says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.exc import DBAPIError

from dbparity.committed.diff import screenful
from dbparity.committed.entities import Entities
from dbparity.committed.hints import Hints
from dbparity.committed.rows import BusyTableError, Row, limit_locks, read_counts, read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from dbparity.committed.entities import Entity
    from dbparity.isolation.base import Isolation
    from dbparity.provision.database import TestDatabase
    from dbparity.watch import Watch

T = TypeVar("T")
_LOCKED = ("lock timeout", "database is locked")


class Reading:
    """Reads what one test has committed."""

    def __init__(self, database: TestDatabase, isolation: Isolation | None, watch: Watch | None) -> None:
        self._observer = database.observer
        self._fresh: Callable[..., Any] | None = getattr(isolation, "fresh", None)
        self._hints = Hints(watch)
        self.entities = Entities(database.metadata)

    @property
    def source(self) -> str:
        """Where the answers come from, in words."""
        if self._fresh is None:
            return f"an independent connection to {self._observer.url.render_as_string()}"
        return (
            "a fresh connection to this test's own transaction: savepoint isolation commits nothing that others "
            "could see"
        )

    def close(self) -> None:
        """The test is through."""
        self._hints.close()

    def rows(self, entity: Entity, wanted: Mapping[str, Any]) -> list[Row]:
        """The committed rows with these values."""
        __tracebackhide__ = True
        self.check_settled(entity.tables)
        return self.read(lambda connection: read_rows(connection, entity, wanted))

    def counts(self, entities: Sequence[Entity]) -> list[int]:
        """How many committed rows each has."""
        __tracebackhide__ = True
        self.check_settled(table for entity in entities for table in entity.tables)
        return self.read(lambda connection: read_counts(connection, entities))

    def read(self, work: Callable[[Connection], T]) -> T:
        """Ask, without ever waiting long for a lock that the application holds."""
        if self._fresh is not None:
            answer: T = self._fresh(work)
            return answer

        def within_time(connection: Connection) -> T:
            limit_locks(connection)
            return work(connection)

        try:
            return self._observer.call(within_time)
        except DBAPIError as error:
            if not any(each in str(error.orig) for each in _LOCKED):
                raise
            msg = "A table cannot be read: a transaction that is still open holds it locked (TRUNCATE, ALTER, LOCK)."
            raise BusyTableError(msg) from error

    def check_settled(self, tables: Iterable[str]) -> None:
        """Within the test's own transaction, open changes cannot be told from committed ones: say so, and stop."""
        __tracebackhide__ = True
        lines = self._hints.unsettled(list(tables)) if self._fresh is not None else []
        if lines:
            remedy = "Nobody has committed them: commit, roll back or close that session before asserting."
            raise self.failure([*dict.fromkeys(lines), remedy])

    def missing(self, tables: Sequence[str]) -> Iterator[str]:
        """Why rows of these tables may be missing."""
        yield from (f"    {line}" for line in self._hints.of(tables))

    def failure(self, lines: Sequence[str]) -> AssertionError:
        """What a test fails with: a screen at most, and where it was read."""
        return AssertionError(f"{screenful(lines)}\n(read through {self.source})")
