"""JSON as RFC 8259 means it, and as every other reader of the same bytes would read it (S-085, S-087, S-088).

Refused, where Python's own reader is lenient: a byte order mark, other encodings, a name twice in an object,
NaN and Infinity, numbers that overflow, half a surrogate pair, and nesting deeper than any form of ours.
"""

import json
import math
import re
from typing import Any, NoReturn

DEPTH = 16

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(r"[\[{}\]]")


class BadJsonError(ValueError):
    """What was sent is not strict JSON; the words say why and never quote it."""


def loads(raw: bytes) -> object:
    """The value of this document. BadJsonError if it is not one, strictly."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BadJsonError("The body is not UTF-8.") from None
    if text.startswith("\ufeff"):
        raise BadJsonError("The body starts with a byte order mark.")
    if text.count("{") + text.count("[") > DEPTH and _depth(text) > DEPTH:
        raise BadJsonError(f"The body is nested more than {DEPTH} levels deep.")
    try:
        value: object = _decoder.decode(text)
    except BadJsonError:
        raise
    except (ValueError, RecursionError):
        raise BadJsonError("The body is not well-formed JSON.") from None
    if "\\u" in text and _has_surrogate(value):
        raise BadJsonError("The body holds half of a surrogate pair.")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadJsonError("An object in the body has the same name twice.")
    return found


def _constant(_name: str) -> NoReturn:
    raise BadJsonError("The body holds a number that JSON does not have.")


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise BadJsonError("The body holds a number that is too large.")
    return value


_decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_number)


def _depth(text: str) -> int:
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _has_surrogate(value: object) -> bool:
    if isinstance(value, str):
        return any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, dict):
        return any(_has_surrogate(name) or _has_surrogate(inner) for name, inner in value.items())
    return isinstance(value, list) and any(map(_has_surrogate, value))
