"""Why rows are not committed that a test expects: written in a transaction still open, rolled back, never flushed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Table
from sqlalchemy import inspect as inspected

from dbparity.sessions.writes import Writes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbparity.sessions.writes import Write
    from dbparity.watch import Watch

SHOWN = 3


class Hints:
    """What the watch knows of writes that nobody can see yet."""

    def __init__(self, watch: Watch | None) -> None:
        self._watch = watch
        self._writes = Writes.join(watch) if watch is not None else None

    def close(self) -> None:
        """Look no longer."""
        if self._writes is not None:
            self._writes.leave()
            self._writes = None

    def of(self, tables: Sequence[str]) -> list[str]:
        """Sentences on what was written to these tables and is not committed."""
        if self._watch is None or self._writes is None or self._watch.test is None:
            return []
        inserts = [each for each in self._writes.of(tables, self._watch.test.nodeid) if each.verb == "INSERT"]
        said = [sentence for each in inserts if (sentence := self._unfinished(each))]
        return [*said[:SHOWN], *self._pending(tables)]

    def unsettled(self, tables: Sequence[str]) -> list[str]:
        """Sentences on changes of these tables in transactions that are still open."""
        writes = self._writes
        open_ = [(table, number) for table in tables for number in (writes.writers(table) if writes else ())]
        return [f"{table} has changes in the open transaction of {self._session(n)}" for table, n in open_]

    def _unfinished(self, write: Write) -> str:
        assert self._writes is not None  # noqa: S101 - `of` has looked
        at = f" at {write.origin}" if write.origin else ""
        written = f"{_rows(len(write.parameters) or 1)} written{at} by {self._session(write.session)}, and"
        if write.session is not None and write.session in self._writes.writers(write.table):
            return f"{written} still in its open transaction: the commit is missing."
        if self._writes.undone(write.table, write.epoch - 1):
            return f"{written} rolled back again: no commit came before the end of the transaction."
        return ""

    def _session(self, number: int | None) -> str:
        if number is None or self._watch is None:
            return "a connection"
        live = (tracked for _, tracked in self._watch.sessions.live() if tracked.number == number)
        return str(next(live, f"session {number}"))

    def _pending(self, tables: Sequence[str]) -> Iterator[str]:
        assert self._watch is not None  # noqa: S101 - `of` has looked
        for session, tracked in self._watch.sessions.live():
            count = sum(not set(_tables_of(each)).isdisjoint(tables) for each in session.new)
            if count:
                yield f"{_rows(count)} added to {tracked} and never flushed: the commit is missing."


def _tables_of(instance: Any) -> Iterator[str]:  # noqa: ANN401 - a mapped object
    for table in inspected(instance).mapper.tables:
        if isinstance(table, Table):
            yield str(table.key)


def _rows(count: int) -> str:
    return "1 row was" if count == 1 else f"{count} rows were"
