"""Values of columns: when two of them mean the same, and how they are shown without giving a secret away."""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from numbers import Number
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect
    from sqlalchemy.types import TypeEngine

SECRET = re.compile(r"password|passwd|secret|token|hash|api_?key|credential", re.IGNORECASE)
MASK = "***"
SHOWN = 40
"""How many characters of a value are shown."""


def same(held: object, stored: object, kind: TypeEngine[Any], dialect: Dialect) -> bool:
    """Whether a value in Python means what the database holds: it may have been written in other words.

    A session keeps what the application assigned, and the database what it made of it: rounded, padded,
    without a time zone, a UUID of a string. That is no staleness.
    """
    if held is stored or bool(kind.compare_values(held, stored)):
        return True
    if held is None or stored is None:
        return False
    if _alike(held, stored, getattr(kind, "scale", None)):
        return True
    with suppress(Exception):  # a type of the application may refuse what it did not expect
        bind = kind.dialect_impl(dialect).bind_processor(dialect)
        if bind is not None:
            written = bind(held)
            if written != bind(held):
                return True  # salted anew each time: there is no telling
            return bool(written == bind(stored))
    return False


def _alike(held: Any, stored: Any, scale: int | None) -> bool:  # noqa: ANN401 - whatever a column holds
    if isinstance(held, datetime) and isinstance(stored, datetime):
        return abs((_aware(held) - _aware(stored)).total_seconds()) < 1 or _naive(held) == _naive(stored)
    if _number(held) and _number(stored):
        places = 0.5 * 10 ** -(scale if scale is not None else 9)
        return math.isclose(float(held), float(stored), rel_tol=1e-6, abs_tol=places)
    if isinstance(held, (bytes, bytearray, memoryview)):
        return bytes(held) == bytes(stored)
    if isinstance(held, (dict, list, tuple)) and isinstance(stored, (dict, list, tuple)):
        return json.dumps(held, default=str) == json.dumps(stored, default=str)
    return str(held).rstrip() == str(stored).rstrip()


def _number(value: object) -> bool:
    return isinstance(value, (Number, Decimal)) and not isinstance(value, complex)


def _aware(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None, microsecond=0)


def shown(name: str, value: object) -> str:
    """A value for people; masked where the name of its column tells of a secret."""
    if SECRET.search(name) and value is not None:
        return MASK
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
