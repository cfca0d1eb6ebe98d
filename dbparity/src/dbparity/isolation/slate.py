"""A database as it was before the first test: its tables, the rows that were there, and the way back to both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from dbparity.isolation.dirty import Names

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


SEEDS_MOST = 5000
"""How many rows of a table are remembered. Reference data is smaller; a copy of production is not a seed."""


@dataclass(frozen=True)
class Table:
    """A table that tests may write to."""

    key: str
    """As people write it: with its schema, unless that is the usual one."""
    spelled: str
    """As SQL has it, whole."""
    columns: tuple[str, ...]
    """Those that can be written."""
    triggers: tuple[str, ...] = ()


@dataclass
class Known:
    """What is remembered of a database."""

    tables: Mapping[str, Table]
    referring: Mapping[str, frozenset[str]]
    """From a table to those with a foreign key to it."""
    names: Names
    seeds: dict[str, Sequence[Any]] = field(default_factory=dict)
    """The rows that were there, as the slate itself keeps them."""
    too_large: frozenset[str] = frozenset()
    """Tables with more rows than are remembered: what tests do to those stays done."""

    @property
    def unseeded(self) -> list[Table]:
        """The tables that were empty."""
        return [
            each for key, each in self.tables.items() if key not in self.seeds and key not in self.too_large
        ]

    def reached(self, dirty: Collection[str]) -> list[Table]:
        """The tables to be emptied for these: with them go the seeds that refer to theirs, by whatever way."""
        found: set[str] = set()
        pending = [key for key in dirty if key in self.tables]
        while pending:
            key = pending.pop()
            if key in found or key in self.too_large:
                continue
            found.add(key)
            pending += [each for each in self.referring.get(key, ()) if each in self.seeds]
        return [self.tables[key] for key in sorted(found)]


@dataclass(frozen=True)
class Blocker:
    """Who keeps rows or tables from being emptied."""

    pid: int | None
    """The server process, where there is one."""
    words: str


class BlockedError(RuntimeError):
    """Somebody holds locks on what is to be emptied; nothing was waited for beyond a moment."""

    def __init__(self, blockers: Sequence[Blocker]) -> None:
        super().__init__("; ".join(each.words for each in blockers) or "somebody who has just let go")
        self.blockers = blockers


class Slate(Protocol):
    """The way back. Its connection is its own, and no other part of dbparity uses it."""

    def learn(self) -> Known:
        """Read the tables, and the rows that are in them now."""

    def relearn(self, known: Known) -> Known:
        """Read the tables again, and keep what is remembered of their rows."""

    def empty(self, known: Known, tables: Sequence[Table]) -> None:
        """Take every row out of these, and put those back that were there; BlockedError when locks are in the way."""

    def filled(self, known: Known) -> set[str]:
        """Which of the tables that were empty are not."""

    def altered(self, known: Known) -> set[str]:
        """Which of the tables with remembered rows do not have just those."""

    def reset_sequences(self) -> None:
        """Let every sequence continue as it did before the first test."""

    def strangers(self) -> list[str]:
        """Who else is connected, as far as can be known."""

    def end(self, pids: Collection[int]) -> None:
        """End these server processes."""

    def close(self) -> None:
        """Close the connection."""
