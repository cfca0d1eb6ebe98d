"""How long work on a table takes: rates that were measured, and a range around them that says how sure that is.

The rates are what `python -m benchmarks.planning_rates 300000` measured, once, on two cores that other work kept
busy, with PostgreSQL 15 and SQLite 3.40: rows a second of a table of about 40 bytes a row, and bytes a second of
one of about 1,000. Other machines differ, up to the factors below on either side. So an estimate is a range, good
for its order of magnitude. Waiting for a lock comes on top: nobody knows for how long others hold theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbparity.planning.effect import Kind, Work

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dbparity.planning.catalogue import Catalogue

FASTER = 3
SLOWER = 10
INSTANT_SECONDS = 0.1


@dataclass(frozen=True)
class Rate:
    """Rows and bytes a second; the slower of the two counts."""

    rows: float
    size: float

    def seconds(self, rows: int, size: int) -> float:
        """How long so many rows of so many bytes take."""
        return max(rows / self.rows, size / self.size)


RATES = {
    "postgresql": {
        Kind.SCAN: Rate(3.7e6, 1_700e6),
        Kind.REWRITE: Rate(550e3, 29e6),
        Kind.INDEX: Rate(670e3, 750e6),
        Kind.CHANGE_ROWS: Rate(220e3, 25e6),
        Kind.INSERT_ROWS: Rate(610e3, 29e6),
    },
    "sqlite": {
        Kind.SCAN: Rate(7.5e6, 470e6),
        Kind.REWRITE: Rate(670e3, 37e6),
        Kind.INDEX: Rate(400e3, 110e6),
        Kind.CHANGE_ROWS: Rate(600e3, 30e6),
        Kind.INSERT_ROWS: Rate(280e3, 30e6),
    },
}


@dataclass(frozen=True)
class Estimate:
    """From so many seconds to so many; neither is known where a table's size is not."""

    low: float | None = 0.0
    high: float | None = 0.0

    def __str__(self) -> str:
        """The range in words, no more exact than it is."""
        if self.low is None or self.high is None:
            return "unknown"
        if self.high <= INSTANT_SECONDS:
            return "an instant"
        if self.high < 1:
            return "under 1 s"
        return f"{_rounded(self.low)} to {_rounded(self.high)}"

    def __add__(self, other: Estimate) -> Estimate:
        if None in {self.low, self.high, other.low, other.high}:
            return Estimate(None, None)
        return Estimate((self.low or 0) + (other.low or 0), (self.high or 0) + (other.high or 0))


def estimate(work: Iterable[Work], at: Catalogue, dialect: str) -> Estimate:
    """How long all this work takes together."""
    total = Estimate()
    for each in work:
        total += _of(each, at, dialect)
    return total


def _of(work: Work, at: Catalogue, dialect: str) -> Estimate:
    table = at.tables.get(work.table) or at.gone.get(work.table)
    rate = RATES[dialect][work.kind]
    if work.rows is not None:
        seconds = rate.seconds(work.rows, 0)
    elif table is None or table.rows is None:
        return Estimate(None, None)
    else:
        seconds = rate.seconds(table.rows, table.size or 0) * work.times
        if work.kind is Kind.REWRITE:  # which makes every index anew
            seconds += RATES[dialect][Kind.INDEX].seconds(table.rows, 0) * len(table.indexes)
    return Estimate(seconds / FASTER, seconds * SLOWER)


def _rounded(seconds: float) -> str:
    minute, hour = 60, 3600
    if seconds < 1:
        return "under 1 s"
    if seconds < minute:
        return f"{_one_digit(seconds):.0f} s"
    if seconds < hour:
        return f"{_one_digit(seconds / minute):.0f} min"
    return f"{_one_digit(seconds / hour):.0f} h"


def _one_digit(value: float) -> float:
    """Rounded to one digit: there is no more to it."""
    scale = 1
    while value / scale >= 10:  # noqa: PLR2004 - decimal digits
        scale *= 10
    return round(value / scale) * scale
