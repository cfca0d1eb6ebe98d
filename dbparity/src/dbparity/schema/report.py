"""What was found: a verdict, the differences, how it came about, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dbparity.schema.rendering import rendered

SHOWN = 5
"""How many names a one-line summary spells out."""


class Verdict(StrEnum):
    """The state of the database as a whole; the second group takes the migrations to tell."""

    READY = "ready"
    """The tables are what the models say, and the newest revision is noted."""
    EMPTY = "empty"
    """Nothing is there: no table of the models, no version table."""
    STAMPED_BUT_EMPTY = "stamped-but-empty"
    """A revision is noted that makes tables, and not one of them is there."""
    VERSION_EMPTY = "version-empty"
    """No table of the models, and a version table without a row."""
    PARTLY_APPLIED = "partly-applied"
    """Some tables that should be there are not, or some of a revision that is not noted are."""
    WRONG_SCHEMA = "wrong-schema"
    """The tables are, or are made, where this connection does not look: another schema or database."""
    DRIFT = "drift"
    """The newest revision is noted, and the tables are not what the models say."""

    PENDING = "pending"
    """An older revision is noted, and nothing contradicts it."""
    UNVERSIONED = "unversioned"
    """Tables of the models are there, and no revision is noted."""
    UNKNOWN_REVISION = "unknown-revision"
    """The noted revision is none of these migrations."""
    MULTIPLE_HEADS = "multiple-heads"
    """The migrations have several newest revisions, and not all of them are applied."""
    EMPTY_MIGRATION = "empty-migration"
    """An applied revision does nothing, and what the models have since gained is in no revision."""
    BUSY = "busy"
    """Somebody else is changing the schema at this moment."""


class Kind(StrEnum):
    """What sort of thing differs; stable words for programs."""

    TABLE_MISSING = "table-missing"
    TABLE_EXTRA = "table-extra"
    COLUMN_MISSING = "column-missing"
    COLUMN_EXTRA = "column-extra"
    COLUMN_EXTRA_OPTIONAL = "column-extra-optional"
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


HARMLESS = frozenset({Kind.TABLE_EXTRA, Kind.INDEX_EXTRA, Kind.COLUMN_EXTRA_OPTIONAL})
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
class Way:
    """One way that leads to such a state. Its number is the documentation's, 0 for what is nobody's mistake."""

    number: int
    name: str
    evidence: tuple[str, ...] = ()
    """What speaks for it here; without any it is only possible."""

    def __str__(self) -> str:
        return f"way {self.number}: {self.name}" if self.number else self.name


@dataclass(frozen=True)
class Remedy:
    """What mends it. A command that ends in a semicolon is SQL for the database itself."""

    commands: tuple[str, ...] = ()
    loses: str = ""
    """What is lost by it; empty: nothing is."""

    first: str = ""
    """What a person has to do before the commands."""

    def __str__(self) -> str:
        lost = f"This loses {self.loses}." if self.loses else "This loses nothing."
        return " ".join(part for part in (self.first, " && ".join(self.commands), lost) if part)


@dataclass(frozen=True)
class Report:
    """The result of a comparison; `true` is the answer, the rest is the evidence."""

    verdict: Verdict
    differences: tuple[Difference, ...] = ()
    revisions: tuple[str, ...] = ()
    """What the version table claims; `compare` reads it only when no table of the models is there."""

    hint: str = ""
    """What to do about it, or where the tables are instead."""

    available: tuple[str, ...] | None = None
    """The newest revisions of the migrations; None where no migrations were given."""

    pending: tuple[str, ...] = ()
    """The revisions that are not applied yet, oldest first."""

    evidence: tuple[str, ...] = ()
    """What was seen beside tables and revisions, a sentence each."""

    ways: tuple[Way, ...] = ()
    """What may have led here, the most likely first."""

    remedy: Remedy | None = None
    place: str = ""
    """Which database, without its password; empty in a report of `compare`."""

    @property
    def applied(self) -> tuple[str, ...]:
        """The revisions that the version table names."""
        return self.revisions

    @property
    def way(self) -> Way | None:
        """The most likely way here; None for a database that is ready."""
        return self.ways[0] if self.ways else None

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
        if not self.differences:
            return self.hint
        if not missing:
            return f"{_first(self.differences)} ({self.hint})"
        noun = "table" if len(missing) == 1 else "tables"
        return f"{len(missing)} {noun} missing: {_listed(missing)} ({self.hint})"

    def as_dict(self) -> dict[str, Any]:
        """The whole report in types that JSON knows; `inspect` adds revisions, ways and remedy."""
        return self._compared() | (self._inspected() if self.place else {})

    def render(self) -> str:
        """The report for people, on one screen: what is, what differs, how it came about, what mends it."""
        return rendered(self)

    def _inspected(self) -> dict[str, Any]:
        remedy = self.remedy
        return {
            "database": self.place,
            "applied": list(self.revisions),
            "available": None if self.available is None else list(self.available),
            "pending": list(self.pending),
            "evidence": list(self.evidence),
            "way": str(self.way) if self.way else None,
            "ways": [
                {"number": way.number, "name": way.name, "evidence": list(way.evidence)} for way in self.ways
            ],
            "remedy": remedy
            and {"commands": list(remedy.commands), "loses": remedy.loses, "first": remedy.first},
        }

    def _compared(self) -> dict[str, Any]:
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
