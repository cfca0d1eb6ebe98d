"""The locks that PostgreSQL takes on tables, and what each keeps others from doing meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Lock(IntEnum):
    """The modes, as PostgreSQL numbers them: of two that a statement asks for, it takes the higher."""

    ACCESS_SHARE = 1
    ROW_SHARE = 2
    ROW_EXCLUSIVE = 3
    SHARE_UPDATE_EXCLUSIVE = 4
    SHARE = 5
    SHARE_ROW_EXCLUSIVE = 6
    EXCLUSIVE = 7
    ACCESS_EXCLUSIVE = 8

    def __str__(self) -> str:
        """The name that PostgreSQL's manual has for it."""
        return self.name.replace("_", " ")

    def conflicts(self, other: Lock) -> bool:
        """Whether somebody else has to wait who asks for `other` while this one is held."""
        return other in _CONFLICTS[self]

    @property
    def stops_writes(self) -> bool:
        """Whether INSERT, UPDATE and DELETE wait."""
        return self.conflicts(Lock.ROW_EXCLUSIVE)

    @property
    def stops_reads(self) -> bool:
        """Whether SELECT waits."""
        return self.conflicts(Lock.ACCESS_SHARE)


# https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES; the tests ask a server for each pair.
_CONFLICTS: dict[Lock, frozenset[Lock]] = {
    Lock.ACCESS_SHARE: frozenset({Lock.ACCESS_EXCLUSIVE}),
    Lock.ROW_SHARE: frozenset({Lock.EXCLUSIVE, Lock.ACCESS_EXCLUSIVE}),
    Lock.ROW_EXCLUSIVE: frozenset(
        {Lock.SHARE, Lock.SHARE_ROW_EXCLUSIVE, Lock.EXCLUSIVE, Lock.ACCESS_EXCLUSIVE}
    ),
    Lock.SHARE_UPDATE_EXCLUSIVE: frozenset(mode for mode in Lock if mode >= Lock.SHARE_UPDATE_EXCLUSIVE),
    Lock.SHARE: frozenset(mode for mode in Lock if mode >= Lock.ROW_EXCLUSIVE) - {Lock.SHARE},
    Lock.SHARE_ROW_EXCLUSIVE: frozenset(mode for mode in Lock if mode >= Lock.ROW_EXCLUSIVE),
    Lock.EXCLUSIVE: frozenset(mode for mode in Lock if mode >= Lock.ROW_SHARE),
    Lock.ACCESS_EXCLUSIVE: frozenset(Lock),
}


@dataclass(frozen=True, order=True)
class TableLock:
    """A lock on one table, held until the transaction ends."""

    table: str
    mode: Lock

    def __str__(self) -> str:
        return f"{self.mode} on {self.table}"
