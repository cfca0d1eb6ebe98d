"""Statements and their parameters as people read them: on one line, short, and without secrets."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dbparity.sessions.values import MASK, SECRET, shown

MOST_PARAMETERS = 8
_SPACE = re.compile(r"\s+")
_COLUMNS = re.compile(r"^SELECT (?:(?! FROM ).){40,}?(?= FROM )")
_LITERAL = re.compile(r"'(?:[^']|'')*'")
_PLACEHOLDER = re.compile(
    r"(?:%\(\w+\)s|\$\d+)(?:::[A-Z]+(?:\([\d, ]+\))?(?: WITH(?:OUT)? TIME ZONE| VARYING| PRECISION)?(?:\[\])?)?"
)
_QUALIFIER = re.compile(r'"?\w+"?\.')
_OPERANDS = re.compile(r"\bWHERE\b|\bSET\b|\bINSERT INTO [^(]*", re.IGNORECASE)
_NUMBERED = re.compile(r"(?:_\d+)+$")


def one_line(statement: str) -> str:
    """A statement on one line; long lists of columns are left out, and literals where a secret is spoken of."""
    line = _PLACEHOLDER.sub("?", _COLUMNS.sub("SELECT …", _SPACE.sub(" ", statement).strip()))
    return _LITERAL.sub(f"'{MASK}'", line) if SECRET.search(line) else line


def parameters(statement: str, given: Any) -> str:  # noqa: ANN401 - what a driver takes
    """The parameters of one execution, in brackets; empty where there are none."""
    if not given:
        return ""
    secretive = SECRET.search(statement) is not None
    if isinstance(given, Mapping):
        about = _condition(statement)
        secretive = SECRET.search(about) is not None
        parts = [f"{_stem(name)}={_value(name, value, about, secretive)}" for name, value in given.items()]
    elif isinstance(given, Sequence) and not isinstance(given, (str, bytes)):
        parts = [MASK if secretive else shown("", value) for value in given]
    else:
        parts = [MASK if secretive else shown("", given)]
    more = f", … {len(parts) - MOST_PARAMETERS} more" if len(parts) > MOST_PARAMETERS else ""
    return f"[{', '.join(parts[:MOST_PARAMETERS])}{more}]"


def _value(name: str, value: object, about: str, secretive: bool) -> str:  # noqa: FBT001 - a plain fact
    """A named parameter belongs to a column of its name, or is an operand of who knows what."""
    stem = _stem(name)
    if SECRET.search(name) or (secretive and not _is_column(stem, about)):
        return MASK
    return shown(stem, value)


def _is_column(stem: str, statement: str) -> bool:
    """Whether a column of that name is compared or assigned; `lower(token) = :lower_1` has none."""
    spelled = rf'(?:^|[\s.,("]){re.escape(stem)}"?\s*(?:=|<|>|!|,|\)|IN\b|LIKE\b)'
    return re.search(spelled, statement, re.IGNORECASE) is not None


def _condition(statement: str) -> str:
    """The part of a statement that named parameters stand in, without the names of tables.

    A SELECT names its columns whatever it asks for, and a table of tokens has keys that are no secret.
    """
    columns = _QUALIFIER.sub("", statement)
    begin = _OPERANDS.search(columns)
    return columns[begin.end() :] if begin else columns


def _stem(name: str) -> str:
    return _NUMBERED.sub("", name)
