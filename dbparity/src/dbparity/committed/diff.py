"""What has changed in a table between two moments, and how people are shown it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dbparity.sessions.values import MASK, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import Table

    from dbparity.committed.rows import Content

    Values = tuple[Any, ...]

WIDTH = 150
ROWS_SHOWN = 6
LINES_SHOWN = 40


@dataclass(frozen=True)
class Change:
    """The difference between two contents of one table."""

    table: Table
    before: int
    after: int
    added: Sequence[Values] = ()
    removed: Sequence[Values] = ()
    changed: Sequence[tuple[Values, Values]] = ()
    is_complete: bool = True
    """False where there is a difference, and the table is too large to have its rows compared."""

    @property
    def delta(self) -> int:
        return self.after - self.before

    def is_exactly(self, delta: int) -> bool:
        """Whether so many rows came or went, and nothing else happened."""
        if not self.is_complete:
            return self.delta == delta != 0
        counted = len(self.added) == max(delta, 0) and len(self.removed) == max(-delta, 0)
        return counted and not self.changed

    def lines(self) -> Iterator[str]:
        """The rows that came, went and changed; the first few of each."""
        if not self.is_complete:
            yield f"(content differs; {self.after} rows are too many to be compared one by one)"
        yield from _some(f"+ {_row(self.table, each)}" for each in self.added)
        yield from _some(f"- {_row(self.table, each)}" for each in self.removed)
        yield from _some(f"~ {_update(self.table, old, new)}" for old, new in self.changed)


def compare(table: Table, before: Content, after: Content) -> Change:
    """What has changed in a table."""
    if before == after:
        return Change(table, before.count, after.count)
    if before.rows is None or after.rows is None:
        differs = (before.count, before.digest) != (after.count, after.digest)
        return Change(table, before.count, after.count, is_complete=not differs)
    if not table.primary_key.columns:
        return _without_key(table, before.rows, after.rows)
    old, new = _by_key(table, before.rows), _by_key(table, after.rows)
    added = [row for key, row in new.items() if key not in old]
    removed = [row for key, row in old.items() if key not in new]
    changed = [(old[key], row) for key, row in new.items() if key in old and not _equal(old[key], row)]
    return Change(table, len(old), len(new), added, removed, changed)


def _without_key(table: Table, before: Sequence[Values], after: Sequence[Values]) -> Change:
    """Rows that nothing tells apart are compared as a multiset."""
    old, new = Counter(map(repr, before)), Counter(map(repr, after))
    rows = {repr(row): row for row in (*before, *after)}
    added = [rows[each] for each in (new - old).elements()]
    removed = [rows[each] for each in (old - new).elements()]
    return Change(table, len(before), len(after), added, removed)


def _by_key(table: Table, rows: Iterable[Values]) -> Mapping[Values, Values]:
    places = [place for place, column in enumerate(table.columns) if column.primary_key]
    return {tuple(row[place] for place in places): row for row in rows}


def _equal(old: Any, new: Any) -> bool:  # noqa: ANN401 - rows, and whatever they hold
    """Values of types without a comparison of their own count as equal where they look the same."""
    if isinstance(old, tuple) and isinstance(new, tuple):
        return all(_equal(*pair) for pair in zip(old, new, strict=True))
    return bool(old == new) or repr(old) == repr(new)


def _row(table: Table, values: Values) -> str:
    pairs = sorted(zip(table.columns, values, strict=True), key=lambda pair: not pair[0].primary_key)
    return "  ".join(f"{column.name}={shown(column.name, value)}" for column, value in pairs)


def _update(table: Table, old: Values, new: Values) -> str:
    parts = [f"{c.name}={shown(c.name, v)}" for c, v in zip(table.columns, new, strict=True) if c.primary_key]
    for column, before, after in zip(table.columns, old, new, strict=True):
        if not _equal(before, after):
            parts.append(f"{column.name}: {_arrow(column.name, before, after)}")
    return "  ".join(parts)


def _arrow(name: str, before: object, after: object) -> str:
    old, new = shown(name, before), shown(name, after)
    if old == new:
        return f"{MASK} -> {MASK} (changed)" if old == MASK else f"{old} -> {new} (further on)"
    return f"{old} -> {new}"


def _some(lines: Iterable[str]) -> Iterator[str]:
    every = list(lines)
    yield from (shortened(line) for line in every[:ROWS_SHOWN])
    if len(every) > ROWS_SHOWN:
        yield f"{every[0][0]} ... and {len(every) - ROWS_SHOWN} more"


def indented(lines: Iterable[str]) -> Iterator[str]:
    """Below a headline."""
    yield from (f"    {shortened(line)}" for line in lines)


def shortened(line: str) -> str:
    """A line that fits."""
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..."


def screenful(lines: Sequence[str]) -> str:
    """At most a screen of text."""
    if len(lines) > LINES_SHOWN:
        lines = [*lines[: LINES_SHOWN - 1], f"... and {len(lines) - LINES_SHOWN + 1} more lines"]
    return "\n".join(lines)
