"""What a difference can do to tests. The tables say it row by row, with the reason and where that is written.

A row's names are patterns as in a shell; the first row that matches decides. What no row knows is said to be
unknown, and is not ruled out.
"""

from __future__ import annotations

from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable


class Effect(StrEnum):
    """The worst that a difference can do."""

    RESULTS = "can change results"
    TIMING = "timing"
    DURABILITY = "durability only"
    NONE = "none"


WORST_FIRST = tuple(Effect)


class Row(NamedTuple):
    """One judgement, and everything that it is about."""

    names: str
    effect: Effect
    why: str
    source: str

    def is_about(self, name: str) -> bool:
        """Whether this row is about that fact."""
        return any(fnmatchcase(name, pattern) for pattern in self.names.split())


NOT_RATED = Row(
    "*",
    Effect.RESULTS,
    "Not rated: dbparity's tables do not know this one, so it is not ruled out.",
    "no source",
)


def rated(table: Iterable[Row], name: str) -> Row:
    """The first row that is about `name`."""
    return next((row for row in table if row.is_about(name)), NOT_RATED)
