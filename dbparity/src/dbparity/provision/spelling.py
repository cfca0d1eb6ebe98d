"""How things are spelled for a PostgreSQL server, and what its refusals mean in plain words."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import sqlalchemy as sa

from dbparity.provision.errors import DatabaseRefusedError
from dbparity.sqlstate import sqlstate
from dbparity.targets import identity_of

if TYPE_CHECKING:
    from sqlalchemy import TextClause
    from sqlalchemy.engine import URL
    from sqlalchemy.exc import DBAPIError

NOT_ALLOWED, TOO_MANY, FULL = "42501", "53300", "53100"


def quoted(identifier: str) -> str:
    """The SQL spelling of a name, whatever characters it has."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """The SQL spelling of a string."""
    return "'" + text.replace("\\", "/").replace("'", "''") + "'"


def statement(sql: str) -> TextClause:
    """SQL that has no parameters, whatever colons and per cent signs are in it."""
    return sa.text(sql.replace(":", r"\:"))


def key_number(key: str) -> int:
    """The number that an advisory lock of this name has: 63 bits, so that it is positive everywhere."""
    return int.from_bytes(hashlib.sha256(f"dbparity {key}".encode()).digest()[:8], "big") >> 1


def refusal(error: DBAPIError | None, base: URL, what: str) -> DatabaseRefusedError:
    """What the server refused, and what can be done about it."""
    where, role = identity_of(base), base.username or "this role"
    code = sqlstate(error)
    reason = str(error.orig).strip().splitlines()[0] if error is not None else "no answer"
    advice = {
        NOT_ALLOWED: f' Allow it once: ALTER ROLE "{role}" CREATEDB. Or use isolation = "savepoint".',
        TOO_MANY: " The server has no connection left: raise max_connections or use fewer workers.",
        FULL: " The disk of the server is full.",
    }.get(code, "")
    return DatabaseRefusedError(f"{where.host}:{where.port} would not {what}: {reason}.{advice}")
