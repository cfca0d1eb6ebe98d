"""Types of columns in one spelling, and whether PostgreSQL rewrites a table to change one into another."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbparity.planning.tokens import Token

_SAME = {
    "varchar": "character varying",
    "char varying": "character varying",
    "char": "character",
    "bpchar": "character",
    "int": "integer",
    "int4": "integer",
    "serial": "integer",
    "serial4": "integer",
    "int8": "bigint",
    "bigserial": "bigint",
    "serial8": "bigint",
    "int2": "smallint",
    "smallserial": "smallint",
    "serial2": "smallint",
    "bool": "boolean",
    "decimal": "numeric",
    "dec": "numeric",
    "float4": "real",
    "float8": "double precision",
    "float": "double precision",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "time": "time without time zone",
    "timetz": "time with time zone",
    "varbit": "bit varying",
}
SERIAL = frozenset({"serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"})
_ARGUMENTS = re.compile(r"\s*\(([\d\s,]+)\)\s*")
STAMPS = frozenset({"timestamp without time zone", "timestamp with time zone"})
_LIMITED = frozenset({"character varying", "bit varying", *STAMPS})
"""Types whose number in parentheses is only a limit."""


def normal(written: str | Sequence[Token]) -> str:
    """A type in one spelling: `VARCHAR(50)` and `character varying(50)` are the same."""
    text = written if isinstance(written, str) else " ".join(token.text for token in written)
    text = text.lower().replace(" . ", ".").replace('"', "").removeprefix("pg_catalog.").strip()
    found = _ARGUMENTS.search(text)
    numbers = ",".join(found[1].replace(" ", "").split(",")) if found else ""
    base = " ".join(_ARGUMENTS.sub(" ", text).split()).replace(" [ ]", "[]").replace(" []", "[]")
    base = _SAME.get(base, base)
    if base == "character" and not numbers:
        numbers = "1"
    return f"{base}({numbers})" if numbers else base


def stays_in_place(old: str, new: str, *, utc: bool) -> bool:
    """Whether PostgreSQL changes the type without rewriting the table; what is not known to be so is not."""
    (before, had), (after, has) = _apart(old), _apart(new)
    if before != after:
        return _same_bytes(before, after, utc=utc) and _wider(had, has)
    if before == "numeric":
        return not has or (had[1:] == has[1:] and _wider(had, has))
    return old == new or (before in _LIMITED and _wider(had, has))


def _same_bytes(before: str, after: str, *, utc: bool) -> bool:
    texts = {"character varying", "text"}
    return (
        {before, after} == texts or (before, after) == ("cidr", "inet") or (utc and {before, after} == STAMPS)
    )


def holds_all(old: str, new: str, *, utc: bool) -> bool:
    """Whether every value of the old type is one of the new, so that code which writes old values goes on."""
    order = ("smallint", "integer", "bigint")
    if old in order and new in order:
        return order.index(old) <= order.index(new)
    return stays_in_place(old, new, utc=utc) and not ({old, new} & STAMPS and old != new)


def _wider(had: tuple[int, ...], has: tuple[int, ...]) -> bool:
    return not has or (bool(had) and had[0] <= has[0])


def _apart(type_: str) -> tuple[str, tuple[int, ...]]:
    base, _, numbers = type_.rstrip(")").partition("(")
    return base, tuple(int(number) for number in numbers.split(",") if number)
