"""One spelling for each column type: VARCHAR(16) and character varying(16) are the same thing."""

from __future__ import annotations

import re

POSTGRESQL = {
    "bool": "boolean",
    "character": "char",
    "character varying": "varchar",
    "decimal": "numeric",
    "int": "integer",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "time": "time without time zone",
    "timestamp": "timestamp without time zone",
    "timestamptz": "timestamp with time zone",
    "varbit": "bit varying",
}
SQLITE = {
    "bool": "boolean",
    "character": "char",
    "character varying": "varchar",
    "decimal": "numeric",
    "double": "float",
    "double precision": "float",
    "int": "integer",
    "real": "float",
    "timestamp": "datetime",
}
SINGLE_PRECISION_BITS = 24

_COLLATION = re.compile(r"\scollate\s+\S+")
_PARTS = re.compile(r"(?P<head>[^(\[]*)(?P<size>\([^)]*\))?(?P<tail>[^\[]*)(?P<array>[\[\]\d]*)")


def canonical(spelling: str, dialect: str) -> str:
    """Return the spelling under which equal types of this dialect are equal strings."""
    text = _COLLATION.sub("", " ".join(spelling.lower().replace('"', "").split()))
    text = re.sub(r"\s*([(),])\s*", r"\1", text)
    parts = _PARTS.fullmatch(text)
    if parts is None:
        return text
    head, size, tail = parts["head"].strip(), parts["size"] or "", parts["tail"]
    if dialect == "postgresql":
        head, size = _postgresql(head.rsplit(".", 1)[-1], size, tail)
    else:
        head = SQLITE.get(head, head)
    # PostgreSQL does not keep how many dimensions an array was declared with.
    return f"{head}{size}{tail}{'[]' if parts['array'] else ''}"


def _postgresql(head: str, size: str, tail: str) -> tuple[str, str]:
    if head == "float":
        bits = int(size.strip("()") or SINGLE_PRECISION_BITS + 1)
        return ("real" if bits <= SINGLE_PRECISION_BITS else "double precision"), ""
    if head in {"time", "timestamp"} and (size or tail):
        # "timestamp(3)with time zone" is already whole; "timestamp(3)" alone lacks its zone.
        return head, size if tail else f"{size}without time zone"
    head = POSTGRESQL.get(head, head)
    if head in {"char", "bit"} and not size:
        size = "(1)"
    if head == "numeric" and size and "," not in size:
        size = size.replace(")", ",0)")
    return head, size
