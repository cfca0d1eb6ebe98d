"""What one statement does to others: the locks, the work under them, and whether old code goes on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING

from dbparity.planning.locks import Lock, TableLock

if TYPE_CHECKING:
    from collections.abc import Iterable


class OldCode(Enum):
    """Whether the code from before goes on working beside the changed schema, once it need not wait."""

    GOES_ON = "goes on"
    UNKNOWN = "unknown"
    MAY_BREAK = "may break"

    @property
    def rank(self) -> int:
        """How bad it is."""
        return list(OldCode).index(self)


class Kind(Enum):
    """Work that takes the longer, the larger the table."""

    SCAN = "scan"
    REWRITE = "rewrite"
    INDEX = "index"
    CHANGE_ROWS = "change rows"
    INSERT_ROWS = "insert rows"


@dataclass(frozen=True)
class Work:
    """Some work on one table; for rows that a statement brings itself, how many."""

    kind: Kind
    table: str
    rows: int | None = None
    times: int = 1


@dataclass(frozen=True)
class Effect:
    """What a statement does; the reason is one sentence about old code."""

    locks: tuple[TableLock, ...] = ()
    work: tuple[Work, ...] = ()
    old_code: OldCode = OldCode.GOES_ON
    reason: str = ""
    hint: str = ""
    known: bool = True
    outside: bool = False
    """Whether PostgreSQL refuses it inside a transaction."""
    fails: str = ""
    """When it is going to fail."""

    @property
    def rewrites(self) -> tuple[str, ...]:
        """The tables that are written anew."""
        return tuple(dict.fromkeys(work.table for work in self.work if work.kind is Kind.REWRITE))

    @property
    def scans(self) -> tuple[str, ...]:
        """The tables that are read from end to end."""
        kinds = {Kind.SCAN, Kind.INDEX, Kind.CHANGE_ROWS}
        found = [work.table for work in self.work if work.kind in kinds and work.rows is None]
        return tuple(dict.fromkeys(table for table in found if table not in self.rewrites))


def going_on(reason: str, *locks: TableLock, work: Iterable[Work] = (), hint: str = "") -> Effect:
    """Old code goes on."""
    return Effect(locks, tuple(work), OldCode.GOES_ON, reason, hint)


def breaking(reason: str, *locks: TableLock, work: Iterable[Work] = (), hint: str = "") -> Effect:
    """Old code may break."""
    return Effect(locks, tuple(work), OldCode.MAY_BREAK, reason, hint)


def lock(mode: Lock, *tables: str) -> tuple[TableLock, ...]:
    """The same lock on several tables."""
    return tuple(TableLock(table, mode) for table in tables)


UNKNOWN = Effect(
    old_code=OldCode.UNKNOWN,
    reason="Unknown statement: read it yourself. ACCESS EXCLUSIVE is assumed on every table that it names.",
    known=False,
)


@dataclass
class Sum:
    """The effects of the actions of one statement, put together."""

    effects: list[Effect] = field(default_factory=list)

    def add(self, effect: Effect) -> None:
        """Add what one action does."""
        self.effects.append(effect)

    def total(self) -> Effect:
        """The strongest lock on each table, all the work, and the worst for old code with its reasons."""
        if not self.effects:
            return UNKNOWN
        worst = max((each.old_code for each in self.effects), key=lambda each: each.rank)
        reasons = [each.reason for each in self.effects if each.old_code is worst]
        return replace(
            self.effects[0],
            locks=strongest(lock for each in self.effects for lock in each.locks),
            work=tuple(dict.fromkeys(work for each in self.effects for work in each.work)),
            old_code=worst,
            reason=" ".join(dict.fromkeys(reasons)),
            hint=" ".join(dict.fromkeys(each.hint for each in self.effects if each.hint)),
            known=all(each.known for each in self.effects),
            outside=any(each.outside for each in self.effects),
            fails=" ".join(dict.fromkeys(each.fails for each in self.effects if each.fails)),
        )


def strongest(locks: Iterable[TableLock]) -> tuple[TableLock, ...]:
    """One lock for each table, the strongest, in the order in which they come."""
    found: dict[str, Lock] = {}
    for each in locks:
        found[each.table] = max(each.mode, found.get(each.table, each.mode))
    return tuple(TableLock(table, mode) for table, mode in found.items())
