"""A plan: the revisions that would be run, their statements, and what each does to those who work meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

from dbparity.planning.effect import OldCode
from dbparity.planning.locks import Lock, TableLock
from dbparity.planning.rates import Estimate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

EVERYBODY, WRITERS, NOBODY = "everybody", "writers", "nobody"


@dataclass(frozen=True)
class PlannedStatement:
    """One statement, and what it does."""

    sql: str
    sets: int
    """How many sets of values it is run with."""
    locks: tuple[TableLock, ...]
    """The locks on tables that are there already; empty on SQLite."""
    write_lock: bool
    """Whether it takes SQLite's one lock on writing."""
    rewrites: tuple[str, ...]
    scans: tuple[str, ...]
    estimate: Estimate
    old_code: OldCode
    reason: str
    hint: str
    known: bool
    outside: bool
    """Whether PostgreSQL refuses it inside a transaction."""
    alone: bool
    """Whether the revision runs it outside of the transaction (autocommit_block)."""
    fails: str = ""
    """When it is going to fail."""

    @property
    def waits(self) -> str:
        """Who waits while its locks are held: "everybody", "writers" or "nobody"."""
        if any(lock.mode.stops_reads for lock in self.locks):
            return EVERYBODY
        return WRITERS if self.write_lock or any(lock.mode.stops_writes for lock in self.locks) else NOBODY

    def as_dict(self) -> dict[str, Any]:
        return {
            "sql": self.sql,
            "sets": self.sets,
            "locks": [{"table": lock.table, "mode": str(lock.mode)} for lock in self.locks],
            "write_lock": self.write_lock,
            "waits": self.waits,
            "rewrites": list(self.rewrites),
            "scans": list(self.scans),
            "seconds": _seconds(self.estimate),
            "old_code": self.old_code.value,
            "reason": self.reason,
            "hint": self.hint,
            "fails": self.fails,
            "known": self.known,
            "outside_transaction": {"needed": self.outside, "given": self.alone},
        }


@dataclass(frozen=True)
class PlannedRevision:
    """One revision; where there is an obstacle, its statements are those before it."""

    id: str
    title: str
    path: str
    statements: tuple[PlannedStatement, ...]
    obstacle: str = ""
    notes: tuple[str, ...] = ()

    @property
    def old_code(self) -> OldCode:
        """The worst of its statements; unknown where it cannot be planned."""
        found = [each.old_code for each in self.statements]
        if self.obstacle:
            found.append(OldCode.UNKNOWN)
        return max(found, key=lambda each: each.rank, default=OldCode.GOES_ON)

    @property
    def estimate(self) -> Estimate:
        """How long its statements take; waiting for locks comes on top."""
        return Estimate(None, None) if self.obstacle else total(self.statements)

    def as_dict(self) -> dict[str, Any]:
        return {
            "revision": self.id,
            "title": self.title,
            "path": self.path,
            "obstacle": self.obstacle or None,
            "notes": list(self.notes),
            "seconds": _seconds(self.estimate),
            "old_code": self.old_code.value,
            "statements": [each.as_dict() for each in self.statements],
        }


@dataclass(frozen=True)
class Held:
    """A table that others cannot use as they like, from the statement that takes it to the COMMIT."""

    lock: TableLock
    estimate: Estimate

    def as_dict(self) -> dict[str, Any]:
        return {
            "table": self.lock.table,
            "mode": str(self.lock.mode),
            "waits": EVERYBODY if self.lock.mode.stops_reads else WRITERS,
            "seconds": _seconds(self.estimate),
        }


@dataclass(frozen=True)
class Size:
    """How large a table is that the plan touches."""

    table: str
    rows: int | None
    estimated: bool


@dataclass(frozen=True)
class Plan:
    """What a migration would do, without having done any of it."""

    dialect: str
    current: tuple[str, ...]
    target: str
    revisions: tuple[PlannedRevision, ...]
    sizes: tuple[Size, ...] = ()
    each_commits: bool = False
    """Whether each revision is a transaction of its own."""
    notes: tuple[str, ...] = ()

    @property
    def nothing_to_do(self) -> bool:
        """Whether no revision is pending."""
        return not self.revisions

    @property
    def obstacles(self) -> tuple[str, ...]:
        """Why a revision could not be planned."""
        return tuple(f"{each.id}: {each.obstacle}" for each in self.revisions if each.obstacle)

    @property
    def statements(self) -> tuple[PlannedStatement, ...]:
        """Every statement of every revision."""
        return tuple(statement for each in self.revisions for statement in each.statements)

    @property
    def old_code(self) -> OldCode:
        """The worst of its revisions."""
        return max(
            (each.old_code for each in self.revisions), key=lambda each: each.rank, default=OldCode.GOES_ON
        )

    @property
    def estimate(self) -> Estimate:
        """How long all of it takes; waiting for locks comes on top."""
        return reduce(add, (each.estimate for each in self.revisions), Estimate())

    @property
    def rewrites(self) -> tuple[str, ...]:
        """The tables that are written anew."""
        return tuple(dict.fromkeys(table for each in self.statements for table in each.rewrites))

    @property
    def held(self) -> tuple[Held, ...]:
        """The tables whose readers or writers wait, and for how long: locks are held until the COMMIT."""
        return tuple(found for group in self._transactions() for found in _held(group))

    def _transactions(self) -> Iterator[list[PlannedStatement]]:
        group: list[PlannedStatement] = []
        for revision in self.revisions:
            for statement in revision.statements:
                if statement.alone:
                    yield group
                    yield [statement]
                    group = []
                else:
                    group.append(statement)
            if self.each_commits:
                yield group
                group = []
        yield group

    def as_dict(self) -> dict[str, Any]:
        """The plan as plain data."""
        return {
            "dialect": self.dialect,
            "current": list(self.current),
            "target": self.target,
            "nothing_to_do": self.nothing_to_do,
            "each_revision_commits": self.each_commits,
            "old_code": self.old_code.value,
            "seconds": _seconds(self.estimate),
            "rewrites": list(self.rewrites),
            "held": [each.as_dict() for each in self.held],
            "tables": {each.table: {"rows": each.rows, "estimated": each.estimated} for each in self.sizes},
            "notes": list(self.notes),
            "revisions": [each.as_dict() for each in self.revisions],
        }

    def render(self, width: int = 100) -> str:
        """The plan for people."""
        from dbparity.planning.rendering import rendered  # noqa: PLC0415 - it imports this module

        return rendered(self, width)


def total(statements: Iterable[PlannedStatement]) -> Estimate:
    """How long they take one after the other."""
    return reduce(add, (each.estimate for each in statements), Estimate())


def _held(group: list[PlannedStatement]) -> Iterator[Held]:
    """Each table from where writers wait for it, and again from where readers do if that is later."""
    writers: dict[str, tuple[Lock, int]] = {}
    readers: dict[str, tuple[Lock, int]] = {}
    for place, statement in enumerate(group):
        for lock in statement.locks:
            if lock.mode.stops_reads:
                readers.setdefault(lock.table, (lock.mode, place))
            if lock.mode.stops_writes:
                writers.setdefault(lock.table, (lock.mode, place))
    for table, first in writers.items():
        for mode, place in dict.fromkeys((first, readers.get(table, first))):
            yield Held(TableLock(table, mode), total(group[place:]))


def _seconds(estimate: Estimate) -> list[float] | None:
    if estimate.low is None or estimate.high is None:
        return None
    return [round(estimate.low, 3), round(estimate.high, 3)]
