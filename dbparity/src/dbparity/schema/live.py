"""What is really there, from the database's own catalogue in a handful of queries.

Not through SQLAlchemy's Inspector: on SQLite it asks table by table (four times over the budget through
aiosqlite), and it warns about types and expression indexes it does not know, which a suite that turns
warnings into errors would take for a failure of the schema.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from dbparity.schema import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

    from dbparity.schema.shape import Elsewhere, Table


class UnsupportedDatabaseError(ValueError):
    """The connection leads to a database whose catalogue dbparity cannot read."""


def default_schema(connection: Connection) -> str | None:
    """Return the schema where a table without one would be created; None where there is none."""
    return _reader(connection).default_schema(connection)


def read(connection: Connection, schemas: Collection[str]) -> dict[str, Table]:
    """Read the tables that unqualified names reach, and those of the `schemas` that models name."""
    return _reader(connection).read(connection, schemas)


def seek(connection: Connection, names: Collection[str]) -> Elsewhere:
    """Look for tables that unqualified names do not reach."""
    return _reader(connection).seek(connection, names)


def revisions(connection: Connection, version_table: str) -> tuple[str, ...] | None:
    """Return what Alembic's version table says; None where there is no such table."""
    schema, _, name = version_table.rpartition(".")
    if not sa.inspect(connection).has_table(name, schema=schema or None):
        return None
    number = sa.column("version_num", sa.String)
    return tuple(connection.scalars(sa.select(number).select_from(sa.table(name, schema=schema or None))))


def _reader(connection: Connection) -> postgresql.Reader | sqlite.Reader:
    match connection.dialect.name:
        case "postgresql":
            return postgresql.Reader()
        case "sqlite":
            return sqlite.Reader()
        case other:
            msg = f"dbparity compares PostgreSQL and SQLite, not {other}."
            raise UnsupportedDatabaseError(msg)
