"""What a new database must have of the configured one, so that tests see the same collation and settings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from dbparity.provision.spelling import literal, quoted

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.engine import URL

LISTS = frozenset(
    {"search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries"},
)
"""Settings that the server keeps already quoted, item by item."""

_DATABASE = """
SELECT (to_jsonb(d) || jsonb_build_object('spelled', pg_encoding_to_char(d.encoding)))::text
FROM pg_database d WHERE d.datname = :name
"""
_SETTINGS = """
SELECT unnest(s.setconfig) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
WHERE d.datname = :name AND s.setrole = 0
"""


@dataclass(frozen=True)
class Likeness:
    """The base's own encoding and collation, as a clause of CREATE DATABASE, and its own settings."""

    clause: str = ""
    """Empty where the base is as any new database of the server."""
    settings: tuple[str, ...] = ()
    """As ALTER DATABASE … SET takes them."""

    @classmethod
    def read(cls, connection: Connection, base: URL) -> Likeness:
        """Ask the server; a base that does not exist yet is like any other."""
        there = _described(connection, base.database)
        usual = _described(connection, "template1")
        settings = connection.scalars(sa.text(_SETTINGS), {"name": base.database})
        same = there is None or usual is None or _locale(there) == _locale(usual)
        return cls("" if same else _clause(there or {}), tuple(map(_setting, settings)))


def _described(connection: Connection, name: str | None) -> dict[str, Any] | None:
    text = connection.scalar(sa.text(_DATABASE), {"name": name})
    return dict(json.loads(text)) if text else None


def _locale(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["spelled"], row["datcollate"], row["datctype"], row.get("datlocprovider"), _icu(row)


def _icu(row: dict[str, Any]) -> str | None:
    """The ICU or built-in locale: the column was renamed in PostgreSQL 17."""
    return row.get("datlocale") or row.get("daticulocale")


def _clause(row: dict[str, Any]) -> str:
    clause = (
        f" TEMPLATE template0 ENCODING {literal(row['spelled'])}"
        f" LC_COLLATE {literal(row['datcollate'])} LC_CTYPE {literal(row['datctype'])}"
    )
    match row.get("datlocprovider"):
        case "i":
            return f"{clause} LOCALE_PROVIDER icu ICU_LOCALE {literal(_icu(row) or 'und')}"
        case "b":
            return f"{clause} LOCALE_PROVIDER builtin BUILTIN_LOCALE {literal(_icu(row) or 'C')}"
        case _:
            return clause


def _setting(text: str) -> str:
    name, _, value = text.partition("=")
    spelled = value if name.lower() in LISTS else literal(value)
    return f"{'.'.join(map(quoted, name.split('.')))} TO {spelled}"
