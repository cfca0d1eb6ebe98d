"""Alembic's version table: whether it is there, where else one of that name is, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from sqlalchemy import Connection

_FOUND = sa.text("""
SELECT c.oid, n.nspname, pg_catalog.pg_table_is_visible(c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = :name AND c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%'
  AND n.nspname <> 'information_schema' ORDER BY n.nspname
""")


@dataclass(frozen=True)
class VersionTable:
    """The version table that migrations and models agree on."""

    name: str
    """As it was asked for, with its schema if it has one."""

    there: bool = False
    number: int | None = None
    """PostgreSQL's own number of it."""

    elsewhere: tuple[str, ...] = ()
    """Schemas that hold a table of its name, which this one is not."""

    @property
    def quoted(self) -> str:
        """The name for SQL."""
        return ".".join(f'"{part}"' if not part.isidentifier() else part for part in self.name.split("."))


def find(connection: Connection, name: str) -> VersionTable:
    """Look for the version table without touching it: it may be locked."""
    schema, _, bare = name.rpartition(".")
    if connection.dialect.name != "postgresql":
        return VersionTable(name, sa.inspect(connection).has_table(bare, schema=schema or None))
    found = connection.execute(_FOUND, {"name": bare}).all()
    reached = [row for row in found if (row.nspname == schema if schema else row[2])]
    number = reached[0].oid if reached else None
    others = tuple(row.nspname for row in found if row.oid != number)
    return VersionTable(name, bool(reached), number, others)


def revisions(connection: Connection, table: VersionTable) -> tuple[str, ...] | None:
    """Return what it says; None where there is no such table."""
    if not table.there:
        return None
    schema, _, bare = table.name.rpartition(".")
    number = sa.column("version_num", sa.String)
    said = sa.select(number).select_from(sa.table(bare, schema=schema or None)).order_by(number)
    return tuple(connection.scalars(said))
