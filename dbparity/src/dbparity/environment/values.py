"""The types of variables: what a text must look like to be one, and which texts mean the same."""

from __future__ import annotations

import math
import re
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

Value = str | int | float | bool | tuple[str, ...]

_TRUE = frozenset({"true", "1", "yes", "on", "t", "y"})
_FALSE = frozenset({"false", "0", "no", "off", "f", "n"})


class Type(StrEnum):
    """How a variable's text is read."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    URL = "url"
    PATH = "path"
    LIST = "list"
    """Words with commas between them."""


WRITTEN = {
    Type.STRING: "a text",
    Type.INTEGER: "an integer, such as 16",
    Type.NUMBER: "a number, such as 0.5",
    Type.BOOLEAN: "true or false",
    Type.URL: "an address, such as https://host/path",
    Type.PATH: "a path",
    Type.LIST: "words with commas between them",
}
NEVER_EMPTY = frozenset({Type.INTEGER, Type.NUMBER, Type.BOOLEAN})
"""Of these an empty text is ill-typed; of the others it can mean that the variable is not set."""


def parsed(kind: Type, text: str) -> Value:
    """What the text means. Raises ValueError where it is none of the type."""
    return _READERS[kind](text)


def shown(value: Value | None) -> str:
    """A value for people."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    text = ",".join(value) if isinstance(value, tuple) else str(value)
    return text or "empty"


def _integer(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()):
        raise ValueError
    return int(text)


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _boolean(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ValueError
    return word in _TRUE


def _url(text: str) -> str:
    scheme, separator, rest = text.partition("://")
    parts = urlsplit(f"{scheme}://{rest.rpartition('@')[2]}")  # passwords with / # or ? are common, and work
    _ = parts.port  # raises where it is none
    if not separator or not parts.scheme or not (parts.netloc or parts.path):
        raise ValueError
    return text.rstrip("/")


def _path(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError
    return text


def _list(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


_READERS: dict[Type, Callable[[str], Value]] = {
    Type.STRING: str,
    Type.INTEGER: _integer,
    Type.NUMBER: _number,
    Type.BOOLEAN: _boolean,
    Type.URL: _url,
    Type.PATH: _path,
    Type.LIST: _list,
}
