"""What a statement does to a transaction, read off its text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from functools import lru_cache


class Weight(IntEnum):
    """What a rollback has to undo."""

    NONE = 0
    """Reads."""
    UNSURE = 1
    """Changes a setting, or calls a function that may do anything: undone where nothing stands against it."""
    WRITE = 2
    """Changes rows or tables."""


class Kind(Enum):
    WORK = auto()
    """Whatever is no control of transactions."""
    BEGIN = auto()
    COMMIT = auto()
    ROLLBACK = auto()
    SAVEPOINT = auto()
    RELEASE = auto()
    ROLLBACK_TO = auto()
    LEVEL = auto()
    """Asks for an isolation level."""
    PRAGMA = auto()
    TWO_PHASE = auto()


@dataclass(frozen=True, slots=True)
class Statement:
    kind: Kind
    weight: Weight = Weight.NONE
    name: str = ""
    """The savepoint that it names."""
    is_dml: bool = False
    """Whether Python's sqlite3 would begin a transaction for it."""
    counts: bool = False
    """Whether it has changed nothing where its row count is 0. Triggers that fire without a row are left out."""
    tables: frozenset[str] = frozenset()
    """The tables it writes to, as far as they can be read off."""
    words: frozenset[str] = frozenset()
    """The names it mentions, in case it reads them."""


_BLANK = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?\*/|[(;])*", re.DOTALL)
_NAME = r'("(?:[^"]|"")+"|\w+)'
_CONTROL = tuple(
    (kind, re.compile(pattern + r"\s*;?\s*$", re.IGNORECASE))
    for kind, pattern in (
        (Kind.TWO_PHASE, r"(?:PREPARE\s+TRANSACTION|COMMIT\s+PREPARED|ROLLBACK\s+PREPARED)\b.*"),
        (
            Kind.ROLLBACK_TO,
            rf"(?:ROLLBACK|ABORT)(?:\s+(?:WORK|TRANSACTION))?\s+TO(?:\s+SAVEPOINT)?\s+{_NAME}",
        ),
        (Kind.LEVEL, r"SET\s+(?:SESSION\s+CHARACTERISTICS\s+AS\s+)?TRANSACTION\b.*"),
        (Kind.BEGIN, r"(?:BEGIN|START\s+TRANSACTION)\b.*"),
        (Kind.COMMIT, r"(?:COMMIT|END)(?:\s+(?:WORK|TRANSACTION))?"),
        (Kind.ROLLBACK, r"(?:ROLLBACK|ABORT)(?:\s+(?:WORK|TRANSACTION))?"),
        (Kind.SAVEPOINT, rf"SAVEPOINT\s+{_NAME}"),
        (Kind.RELEASE, rf"RELEASE(?:\s+SAVEPOINT)?\s+{_NAME}"),
        (Kind.PRAGMA, r"PRAGMA\b.*"),
    )
)
_CONTROL_WORDS = frozenset(
    {
        "PREPARE",
        "COMMIT",
        "ROLLBACK",
        "ABORT",
        "SET",
        "BEGIN",
        "START",
        "END",
        "SAVEPOINT",
        "RELEASE",
        "PRAGMA",
    }
)
_READS = frozenset({"", "SELECT", "VALUES", "SHOW", "TABLE", "FETCH", "EXPLAIN", "WITH", "DECLARE", "CLOSE"})
_DML = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE"})
_COUNTED = frozenset({"INSERT", "UPDATE", "DELETE", "WITH"})
# FOR UPDATE locks rows, and DO UPDATE belongs to the INSERT before it.
_UPDATE = r"(?<!FOR\s)(?<!KEY\s)(?<!DO\s)UPDATE"
_CHANGES = re.compile(rf"\b(?:INSERT|{_UPDATE}|DELETE|MERGE)\b", re.IGNORECASE)
_INTO = re.compile(r"\bINTO\b", re.IGNORECASE)
_FROM = re.compile(r"\bFROM\b", re.IGNORECASE)
_CALLS = re.compile(r"([\w.]+)\s*\(")
_HARMLESS_WORDS = """
now current_timestamp clock_timestamp version pg_catalog.version current_schema current_schemas current_database
count coalesce cast exists select in max min sum lower upper length random abs values date datetime strftime
sqlite_version last_insert_rowid pg_backend_pid current_setting pg_sleep txid_current
"""
_HARMLESS = frozenset(_HARMLESS_WORDS.split())
_TARGET = re.compile(
    rf"\b(?:INSERT\s+(?:OR\s+\w+\s+)?INTO|REPLACE\s+INTO|{_UPDATE}(?:\s+ONLY)?|DELETE\s+FROM(?:\s+ONLY)?|MERGE\s+INTO"
    rf"|TRUNCATE(?:\s+TABLE)?)\s+(?:{_NAME}\.)?{_NAME}",
    re.IGNORECASE,
)


@lru_cache(maxsize=1024)
def read(text: object) -> Statement:
    """Tell what a statement is; what cannot be read is taken for a write."""
    if not isinstance(text, str):
        return Statement(Kind.WORK, Weight.WRITE)
    start = _BLANK.match(text)
    body = text[start.end() if start else 0 :]
    head = (re.match(r"\w*", body) or [""])[0].upper()
    if head in _CONTROL_WORDS:
        for kind, pattern in _CONTROL:
            if (found := pattern.match(body)) is not None:
                name = next((group for group in found.groups() if group), "")
                return Statement(kind, name=_plain(name))
    return Statement(
        Kind.WORK,
        _weight(head, body),
        is_dml=head in _DML,
        counts=head in _COUNTED and len(_CHANGES.findall(body)) == 1,
        tables=frozenset(_plain(found.group(2)) for found in _TARGET.finditer(body)),
        words=frozenset(re.findall(r"\w+", body)) if head != "INSERT" else frozenset(),
    )


def _weight(head: str, body: str) -> Weight:
    if head in {"SET", "RESET", "LOCK"}:
        return Weight.UNSURE
    if head not in _READS:
        return Weight.WRITE
    if head in {"WITH", "EXPLAIN"} and _CHANGES.search(body):
        return Weight.WRITE
    if head == "SELECT" and _INTO.search(body):
        return Weight.WRITE
    if head == "SELECT" and not _FROM.search(body) and _unknown_calls(body):
        return Weight.UNSURE
    return Weight.NONE


def _unknown_calls(body: str) -> bool:
    return any(name.lower() not in _HARMLESS for name in _CALLS.findall(body))


def _plain(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
