"""Many virtual transactions on one real one: a stack of savepoints, and who owns which.

A virtual transaction has levels, as the application's begin_nested makes them; a level has the segments of the
stack in which its statements ran. A segment is a SAVEPOINT of the real transaction. What holds at all times:

- Only the segment at the top can be without a change: whoever comes next takes it over. So a transaction that
  has only read stands in nobody's way, and rolling it back has nothing to undo.
- A rollback goes back to the first changed segment of its own; it is refused where another transaction's
  changes lie above that, because they would go with it.
- A commit leaves its segments, settled, where they are; they are released together with the next statement that
  needs a savepoint, as soon as nothing below them can be rolled back any more. So it costs no round trip.

Nothing here talks to a database: the methods return the SQL that the real transaction has to be given.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dbparity.isolation.statements import Weight

if TYPE_CHECKING:
    from collections.abc import Iterable


class UnknownSavepointError(LookupError):
    """A savepoint is named that this transaction does not have."""


@dataclass(eq=False, slots=True)
class Segment:
    """A savepoint of the real transaction and what was done since."""

    name: str
    owner: Level | None
    """None once it is settled: committed, or left without a change."""
    weight: Weight = Weight.NONE
    by: str = ""
    """Whose changes these are, in words."""
    tables: set[str] = field(default_factory=set)


@dataclass(eq=False, slots=True)
class Level:
    """A transaction, or a savepoint of the application's own in it."""

    transaction: Transaction
    name: str = ""
    segments: list[Segment] = field(default_factory=list)
    failed: bool = False
    """Whether a statement failed, so that the database would refuse every other until a rollback."""


class Transaction:
    """What one connection of the application takes for its transaction."""

    def __init__(self) -> None:
        self.levels = [Level(self)]
        self.by = ""
        """Who changes something in it, in words; empty before the first change."""
        self.ended_with = ""
        """The test whose end rolled it back unasked."""

    @property
    def failed(self) -> bool:
        return self.levels[-1].failed

    @property
    def has_changed(self) -> bool:
        """Whether there is something to commit or to undo."""
        return any(segment.weight for segment in self.segments)

    @property
    def weight(self) -> Weight:
        """The heaviest of what it has done so far."""
        return max((segment.weight for segment in self.segments), default=Weight.NONE)

    @property
    def segments(self) -> Iterable[Segment]:
        return (segment for level in self.levels for segment in level.segments)


class Stack:
    """The savepoints of the real transaction, lowest first."""

    def __init__(self, *, aborts: bool) -> None:
        self._aborts = aborts
        """Whether a failed statement spoils the real transaction, so that reads need a savepoint as well."""
        self._segments: list[Segment] = []
        self._made = 0
        self._before = Weight.NONE
        """The weight of the top before the statement that was entered for last."""
        self.has_changed = False
        """Whether anything was changed in the real transaction."""
        self._guard = threading.RLock()

    def __len__(self) -> int:
        return len(self._segments)

    def reset(self) -> None:
        """Forget all: the real transaction is over."""
        with self._guard:
            self._segments.clear()
            self.has_changed = False

    def enter(self, transaction: Transaction, weight: Weight, tables: Iterable[str] = ()) -> list[str]:
        """Prepare for a statement of this transaction."""
        with self._guard:
            if weight is Weight.NONE and not self._aborts:
                self._before = self._segments[-1].weight if self._segments else weight
                return []
            level = transaction.levels[-1]
            sql: list[str] = []
            top = self._segments[-1] if self._segments else None
            if top is None or (top.owner is not level and top.weight):
                sql = self._settle()
                top = self._push()
                sql.append(f"SAVEPOINT {top.name}")
            if top.owner is not level:
                self._give(top, level)
            self._before = top.weight
            if weight:
                self.has_changed = True
                top.weight = max(top.weight, weight)
                top.by = transaction.by
                top.tables.update(tables)
            return sql

    def fail(self, transaction: Transaction, *, halfway: bool = False) -> list[str]:
        """Meet the failure of the statement that has just been entered for; it may have come `halfway`."""
        with self._guard:
            if not self._segments:
                return []
            top = self._segments[-1]
            if not self._aborts:  # the database has undone the statement, and nothing else
                if not halfway and top.owner is transaction.levels[-1]:
                    top.weight = self._before
                return []
            top.weight = Weight.NONE
            top.tables.clear()
            transaction.levels[-1].failed = True
            return [f"ROLLBACK TO SAVEPOINT {top.name}"]

    def spare(self, transaction: Transaction) -> None:
        """Take back that the statement that has just been entered for would change something: it met no row."""
        with self._guard:
            top = self._segments[-1] if self._segments else None
            if top is not None and top.owner is transaction.levels[-1]:
                top.weight = self._before
                if not top.weight:
                    top.tables.clear()

    def commit(self, transaction: Transaction) -> None:
        """Settle what the transaction did."""
        with self._guard:
            for segment in transaction.segments:
                segment.owner = None
            transaction.levels = [Level(transaction)]

    def rollback(self, transaction: Transaction) -> list[str]:
        """Undo what the transaction did."""
        with self._guard:
            sql = self._undo(list(transaction.segments))
            self.commit(transaction)
            return sql

    def savepoint(self, transaction: Transaction, name: str) -> None:
        """Begin a level; it costs nothing before its first change."""
        with self._guard:
            transaction.levels.append(Level(transaction, name))

    def release(self, transaction: Transaction, name: str) -> None:
        """Let the level below have what this one did."""
        with self._guard:
            index = _find(transaction, name)
            below = transaction.levels[index - 1]
            for level in transaction.levels[index:]:
                for segment in level.segments:
                    segment.owner = below
                below.segments += level.segments
            del transaction.levels[index:]

    def rollback_to(self, transaction: Transaction, name: str) -> list[str]:
        """Undo what was done since this savepoint, which stays."""
        with self._guard:
            index = _find(transaction, name)
            mine = [segment for level in transaction.levels[index:] for segment in level.segments]
            sql = self._undo(mine)
            for segment in mine:
                segment.owner = None
            transaction.levels[index:] = [Level(transaction, name)]
            return sql

    def conflicts(self, transaction: Transaction, name: str = "") -> list[Segment]:
        """Return whose changes a rollback would take with it: of the whole, or to a savepoint."""
        with self._guard:
            index = _find(transaction, name) if name else 0
            mine = [segment for level in transaction.levels[index:] for segment in level.segments]
            first = self._first(mine, Weight.WRITE)
            return [] if first is None else self._others_above(first, mine)

    def uncommitted(self, but: Transaction | None = None) -> list[Segment]:
        """Return the changes that no commit has settled yet, except one transaction's own."""
        with self._guard:
            return [
                segment
                for segment in self._segments
                if segment.weight is Weight.WRITE
                and segment.owner is not None
                and segment.owner.transaction is not but
            ]

    def writers(self, but: Transaction) -> list[Transaction]:
        """Return the transactions, except one, that have changes which no commit has settled yet."""
        with self._guard:
            owners = (each.owner for each in self.uncommitted(but))
            return list(dict.fromkeys(owner.transaction for owner in owners if owner is not None))

    def _undo(self, mine: list[Segment]) -> list[str]:
        for weight in (Weight.UNSURE, Weight.WRITE):
            first = self._first(mine, weight)
            if first is not None and not self._others_above(first, mine):
                for segment in self._segments[first + 1 :]:
                    if segment.owner is not None and segment not in mine:
                        segment.owner.segments.remove(segment)
                del self._segments[first + 1 :]
                self._segments[first].weight = Weight.NONE
                self._segments[first].tables.clear()
                return [f"ROLLBACK TO SAVEPOINT {self._segments[first].name}"]
        return []

    def _first(self, mine: list[Segment], weight: Weight) -> int | None:
        indices = (i for i, each in enumerate(self._segments) if each.weight >= weight and each in mine)
        return next(indices, None)

    def _others_above(self, first: int, mine: list[Segment]) -> list[Segment]:
        return [each for each in self._segments[first + 1 :] if each.weight and each not in mine]

    def _settle(self) -> list[str]:
        """Release what is settled at the top, where nothing below it can be rolled back any more."""
        settled = len(self._segments)
        while settled and self._segments[settled - 1].owner is None:
            settled -= 1
        run = self._segments[settled:]
        if not run or (settled and len(run) == 1):
            return self._merge_levels()
        if settled == 0:
            self._segments.clear()
            return [f"RELEASE SAVEPOINT {run[0].name}"]
        for segment in run[1:]:
            _merge(segment, run[0])
        del self._segments[settled + 1 :]
        return [f"RELEASE SAVEPOINT {run[1].name}"]

    def _merge_levels(self) -> list[str]:
        """Release a nested block that ended well into its own transaction, so that loops stay flat."""
        if len(self._segments) > 1:
            below, top = self._segments[-2:]
            if top.owner is not None and top.owner is below.owner:
                _merge(top, below)
                top.owner.segments.remove(top)
                self._segments.pop()
                return [f"RELEASE SAVEPOINT {top.name}"]
        return []

    def _push(self) -> Segment:
        self._made += 1
        segment = Segment(f"dbparity_{self._made}", None)
        self._segments.append(segment)
        return segment

    def _give(self, segment: Segment, level: Level) -> None:
        if segment.owner is not None:
            segment.owner.segments.remove(segment)
        segment.owner = level
        level.segments.append(segment)


def _merge(segment: Segment, into: Segment) -> None:
    into.weight = max(into.weight, segment.weight)
    into.tables |= segment.tables
    into.by = segment.by or into.by


def _find(transaction: Transaction, name: str) -> int:
    for index in range(len(transaction.levels) - 1, 0, -1):
        if transaction.levels[index].name == name:
            return index
    raise UnknownSavepointError(name)
