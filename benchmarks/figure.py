"""What a benchmark yields: a figure, its floor, their ratio with its spread, and the target it is held to."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.table import Table

_WHOLE = 100  # from here on decimals are noise


@dataclass(frozen=True, slots=True)
class Target:
    """What was promised: that `measured` is at least, or at most, `limit`."""

    words: str
    measured: float
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether this run kept it."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return (
            f"{self.words} {sign} {self.limit:g}: {_round(self.measured)} {'met' if self.met else 'MISSED'}"
        )


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table. The ratio is the median of the ratios of the rounds; the spread their ends."""

    benchmark: str
    database: str
    case: str
    unit: str
    figure: float
    floor: float
    floor_name: str
    ratio: float
    spread: tuple[float, float]
    how: str
    target: Target | None = None

    def as_dict(self) -> dict[str, Any]:
        """The figure for JSON."""
        return {**asdict(self), "met": self.target.met if self.target else None}


def ratios(figures: Sequence[float], floors: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Median and ends of the ratios of figures and floors that were measured in turns."""
    each = [figure / floor for figure, floor in zip(figures, floors, strict=True)]
    return median(each), (min(each), max(each))


def table(figures: Sequence[Figure]) -> Table:
    """The figures for people, ratios first."""
    drawn = Table(title="Ratios to the floors of the same run", title_justify="left", show_lines=True)
    for heading in ("benchmark", "ratio (spread)", "figure", "floor", "target", "how it was measured"):
        drawn.add_column(heading)
    for row in figures:
        drawn.add_row(
            f"{row.benchmark}, {row.database}\n{row.case}",
            f"{row.ratio:.2f}\n({row.spread[0]:.2f} to {row.spread[1]:.2f})",
            f"{_round(row.figure)} {row.unit}",
            f"{_round(row.floor)} {row.unit}\n{row.floor_name}",
            str(row.target or "").replace(": ", "\n"),
            row.how,
        )
    return drawn


def _round(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= _WHOLE else f"{value:.3g}"
