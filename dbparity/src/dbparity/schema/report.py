"""What a comparison found: a verdict, the differences, and the words for people who must act on it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

SHOWN = 5
"""How many names a one-line summary spells out."""


class Verdict(StrEnum):
    """The state of the tables as a whole, as far as tables and models alone can tell it."""

    READY = "ready"
    EMPTY = "empty"
    STAMPED_BUT_EMPTY = "stamped-but-empty"
    VERSION_EMPTY = "version-empty"
    PARTLY_APPLIED = "partly-applied"
    WRONG_SCHEMA = "wrong-schema"
    DRIFT = "drift"


class Kind(StrEnum):
    """What sort of thing differs; stable words for programs."""

    TABLE_MISSING = "table-missing"
    TABLE_EXTRA = "table-extra"
    COLUMN_MISSING = "column-missing"
    COLUMN_EXTRA = "column-extra"
    COLUMN_EXTRA_NULLABLE = "column-extra-nullable"
    COLUMN_TYPE = "column-type"
    COLUMN_NULLABILITY = "column-nullability"
    PRIMARY_KEY = "primary-key"
    INDEX_MISSING = "index-missing"
    INDEX_EXTRA = "index-extra"
    INDEX_DIFFERENT = "index-different"
    UNIQUE_MISSING = "unique-missing"
    UNIQUE_EXTRA = "unique-extra"
    FOREIGN_KEY_MISSING = "foreign-key-missing"
    FOREIGN_KEY_EXTRA = "foreign-key-extra"
    FOREIGN_KEY_DIFFERENT = "foreign-key-different"
    CHECK_MISSING = "check-missing"
    CHECK_EXTRA = "check-extra"


HARMLESS = frozenset({Kind.TABLE_EXTRA, Kind.INDEX_EXTRA, Kind.COLUMN_EXTRA_NULLABLE})
"""What an application that knows nothing of it can work beside: others' tables, or a newer version's columns."""


@dataclass(frozen=True)
class Difference:
    """One thing that the models say and the database does not, or the other way round."""

    kind: Kind
    table: str
    name: str
    """The object that differs: a column, an index, a constraint, or the table itself."""

    sentence: str


@dataclass(frozen=True)
class Report:
    """The result of a comparison; `true` is the answer, the rest is the evidence."""

    verdict: Verdict
    differences: tuple[Difference, ...] = ()
    revisions: tuple[str, ...] = ()
    """What the version table claims, read only when no table of the models is there."""

    hint: str = ""
    """What to do about it, or where the tables are instead."""

    @property
    def true(self) -> bool:
        """Whether the live tables are what the models say."""
        return self.verdict is Verdict.READY

    @property
    def obstacles(self) -> tuple[Difference, ...]:
        """The differences that an application written for these models cannot work with."""
        return tuple(found for found in self.differences if found.kind not in HARMLESS)

    def summary(self) -> str:
        """One line, fit for a log or the reason of a 503."""
        if self.true:
            return "the tables match the models"
        missing = [found.table for found in self.differences if found.kind is Kind.TABLE_MISSING]
        if not missing:
            return f"{_first(self.differences)} ({self.hint})"
        noun = "table" if len(missing) == 1 else "tables"
        return f"{len(missing)} {noun} missing: {_listed(missing)} ({self.hint})"

    def as_dict(self) -> dict[str, Any]:
        """The whole report in types that JSON knows."""
        return {
            "verdict": str(self.verdict),
            "true": self.true,
            "summary": self.summary(),
            "revisions": list(self.revisions),
            "differences": [
                {"kind": str(each.kind), "table": each.table, "name": each.name, "sentence": each.sentence}
                for each in self.differences
            ],
        }


def _first(differences: tuple[Difference, ...]) -> str:
    others = len(differences) - 1
    more = {0: "", 1: ", and 1 more difference"}.get(others, f", and {others} more differences")
    return differences[0].sentence + more


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
