"""One test as one run saw it: its verdict, and the probe's notes in a form that can be asked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TABLE = r'([\w."]+)'
WRITES = re.compile(rf"^\s*(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+(?:ONLY\s+)?{TABLE}", re.IGNORECASE)
READS = re.compile(rf"\b(?:FROM|JOIN)\s+{TABLE}", re.IGNORECASE)
COLUMNS = re.compile(r"^(SELECT)\s.*?\s(FROM)\b", re.IGNORECASE)
BAD = frozenset({"failed", "error", "crashed", "unfinished"})
WIDTH = 100


@dataclass(frozen=True)
class Note:
    """One thing that the probe has taken down."""

    number: int
    kind: str
    """begin, commit, rollback, statement, error, id or outside."""
    told: Mapping[str, Any]

    @property
    def connection(self) -> int:
        return int(self.told.get("connection", 0))

    @property
    def transaction(self) -> tuple[int, int]:
        """Which transaction of which connection."""
        return self.connection, int(self.told.get("transaction", 0))

    @property
    def sql(self) -> str:
        return str(self.told.get("sql", ""))

    @property
    def written(self) -> str:
        """The table that this statement writes; empty where it only reads."""
        return _first(WRITES, self.sql)

    @property
    def read(self) -> frozenset[str]:
        """The tables that a SELECT reads."""
        if not self.sql.upper().startswith(("SELECT", "WITH")):
            return frozenset()
        return frozenset(_bare(each) for each in READS.findall(self.sql))

    def line(self) -> str:
        """Fit to be quoted as evidence."""
        sql = COLUMNS.sub(r"\1 … \2", self.sql) if len(self.sql) > WIDTH else self.sql
        what = shortened(sql or str(self.told.get("what", self.kind.upper())))
        origin = self.told.get("origin")
        connection = f" (connection {self.connection})" if self.connection else ""
        return f"{what}{connection}" + (f", {origin}" if origin else "")


@dataclass(frozen=True)
class Trace:
    """A test in one run."""

    test: Mapping[str, Any]
    """As the report has it."""

    @property
    def outcome(self) -> str:
        return str(self.test["outcome"])

    @property
    def is_bad(self) -> bool:
        return self.outcome in BAD

    @property
    def isolation(self) -> str:
        return str(self.test["isolation"])

    @cached_property
    def failures(self) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = self.test["failures"]
        return found

    @cached_property
    def notes(self) -> list[Note]:
        observed = self.test["observed"] or {}
        return [
            Note(number, str(each["kind"]), each) for number, each in enumerate(observed.get("events", []))
        ]

    @cached_property
    def clock_columns(self) -> frozenset[str]:
        """The names of columns whose default is the transaction's time."""
        observed = self.test["observed"] or {}
        return frozenset(column for _, column in observed.get("clock_columns", []))

    @property
    def words(self) -> str:
        """All that the failures say."""
        return "\n".join(f"{each['type']}\n{each['message']}\n{each['traceback']}" for each in self.failures)

    @property
    def messages(self) -> str:
        """What the exceptions themselves say, pytest's explanation of an assertion included."""
        return "\n".join(str(each["message"]) for each in self.failures)

    def of(self, kind: str) -> list[Note]:
        """The notes of one kind, oldest first."""
        return [each for each in self.notes if each.kind == kind]

    def found(self, detector: str) -> list[str]:
        """What one of dbparity's detectors found in this test."""
        return [str(each["message"]) for each in self.test["findings"] if each["detector"] == detector]

    def last_line(self) -> str:
        """What went wrong, in one line; empty where nothing did."""
        if not self.failures:
            return ""
        failure = self.failures[0]
        said = next((line.strip() for line in str(failure["message"]).splitlines() if line.strip()), "")
        name = str(failure["type"]).removeprefix("builtins.").rpartition(".")[2]
        return shortened(f"{name}: {said}" if name else said)


def shortened(text: str, width: int = WIDTH) -> str:
    """The text in one line that fits a terminal."""
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 3] + "..."


def _first(pattern: re.Pattern[str], sql: str) -> str:
    found = pattern.match(sql)
    return _bare(found.group(1)) if found else ""


def _bare(name: str) -> str:
    return name.replace('"', "").rpartition(".")[2]
