"""What a block of code is expected to commit: so many rows in these tables, and nothing else anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbparity.committed.diff import Change, compare, indented
from dbparity.committed.rows import Snapshots

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from dbparity.committed.reading import Reading
    from dbparity.committed.rows import Content


class Expectation:
    """Compares all tables before and after a block."""

    def __init__(self, reading: Reading, expected: Mapping[Any, int], allow: Collection[Any]) -> None:
        find = reading.entities.find
        self._reading = reading
        self._deltas = {key: delta for name, delta in expected.items() for key in find(name).tables}
        self._allowed = {key for each in allow for key in find(each).tables}
        self._snapshots = Snapshots(reading.entities.tables())
        self._before: dict[str, Content] = {}

    def __enter__(self) -> None:
        self._before = self._reading.read(self._snapshots.read)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """An error of the block's own comes first."""
        __tracebackhide__ = True
        if kind is not None:
            return
        self._reading.check_settled(self._deltas)
        lines = list(self._unexpected(self._reading.read(self._snapshots.read)))
        if lines:
            raise self._reading.failure(lines)

    def _unexpected(self, after: Mapping[str, Content]) -> Iterator[str]:
        for table in self._reading.entities.tables():
            key = str(table.key)
            if key in self._allowed and key not in self._deltas:
                continue
            change, delta = compare(table, self._before[key], after[key]), self._deltas.get(key, 0)
            if change.delta == delta if key in self._allowed else change.is_exactly(delta):
                continue
            yield _headline(key, change, self._deltas.get(key))
            yield from indented(change.lines())
            if change.delta < delta:
                yield from self._reading.missing((key,))


def _headline(table: str, change: Change, delta: int | None) -> str:
    counted = f"{change.before} before, {change.after} now"
    if delta is None:
        return f"{table}: expected no change ({counted})."
    if change.delta == delta:
        return f"{table}: {delta:+d} as expected, but other rows have changed as well ({counted})."
    more = f"{change.delta:+d}" if change.delta else "none"
    return f"{table}: expected {delta:+d}, and {more} committed ({counted})."
