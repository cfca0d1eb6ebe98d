"""Emptying a database that is in a false state, so that it can be built anew: only a disposable one."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from dbparity.provision.errors import ProvisionError
from dbparity.targets import identity_of
from dbparity.testing.orphans import PREFIX

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData
    from sqlalchemy.engine import URL

    from dbparity.config import Config
    from dbparity.provision.truth import Reach

TEST_WORD = re.compile(r"tests?|testing|pytest|testdb|dbtest|ci|dbparity")
SHOWN = 5
VERSION_TABLE = "alembic_version"

# What an extension brought is its own (deptype 'e'). A table goes with its sequences, its row type and its
# constraints, so that much of this list is gone when its turn comes: IF EXISTS.
_PLACED = "JOIN pg_namespace n ON n.oid = {namespace} WHERE n.nspname = ANY (CAST(:schemas AS text[]))"
_OWN = "AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = {table}.oid AND d.deptype = 'e')"
_DROPS = sa.text(f"""
SELECT format('DROP %s IF EXISTS %I.%I CASCADE', CASE c.relkind WHEN 'v' THEN 'VIEW'
  WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END,
  n.nspname, c.relname)
FROM pg_class c {_PLACED.format(namespace="c.relnamespace")}
  AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'S') {_OWN.format(table="c")}
UNION ALL
SELECT format('DROP %s IF EXISTS %I.%I CASCADE', CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END,
  n.nspname, t.typname)
FROM pg_type t {_PLACED.format(namespace="t.typnamespace")}
  AND t.typtype IN ('e', 'd') {_OWN.format(table="t")}
UNION ALL
SELECT format('DROP ROUTINE IF EXISTS %s CASCADE', CAST(p.oid AS regprocedure))
FROM pg_proc p {_PLACED.format(namespace="p.pronamespace")} {_OWN.format(table="p")}
""")  # noqa: S608 - the pieces above
_TABLES = sa.text(f"""
SELECT n.nspname, c.relname FROM pg_class c {_PLACED.format(namespace="c.relnamespace")}
  AND c.relkind IN ('r', 'p') AND NOT c.relispartition {_OWN.format(table="c")} ORDER BY 1, 2
""")  # noqa: S608 - the pieces above


class HoldsRowsError(ProvisionError):
    """Tables that would be dropped hold rows; the message names them."""


@dataclass(frozen=True)
class Disposable:
    """Whether a database may be dropped and built anew, and why."""

    yes: bool
    reason: str
    """Completes "it is disposable: …" or "it is not known to be disposable: …"."""
    rows_too: bool = False
    """The project has said so itself, so that not even rows are kept."""


def disposable(url: URL, config: Config, way_in: Reach | None = None) -> Disposable:
    """Judge by what the project says, else by the database's name and place."""
    if config.disposable is not None:
        said = "true" if config.disposable else "false"
        return Disposable(config.disposable, f"[tool.dbparity] says disposable = {said}", config.disposable)
    name = identity_of(url).database
    if url.get_backend_name() == "sqlite":
        path = Path(name)
        if _temporary(path):
            return Disposable(True, "it is a temporary file")
        name = path.stem
    if any(TEST_WORD.fullmatch(word) for word in re.split(r"[^a-z]+", name.lower())):
        return Disposable(True, f"its name, {name}, says that it is for tests")
    if way_in is not None and url.get_backend_name() == "postgresql" and _private(way_in):
        return Disposable(True, "its server is a private one of dbparity")
    return Disposable(False, f"its name, {name}, does not say that it is for tests")


def _temporary(path: Path) -> bool:
    places = {Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"), Path("/dev/shm")}  # noqa: S108 - looked at
    return any(path.is_relative_to(place.resolve()) for place in places)


def _private(way_in: Reach) -> bool:
    try:
        folder = way_in.call(lambda connection: connection.scalar(sa.text("SHOW data_directory")))
    except DBAPIError:  # only a superuser may know
        return False
    return any(part.startswith(PREFIX) for part in Path(str(folder)).parts)


def emptied(connection: Connection, metadata: MetaData, *, rows_too: bool) -> int:
    """Drop what is there, in one transaction; return how many tables that were."""
    tables, drops = (
        _postgresql(connection, metadata) if connection.dialect.name == "postgresql" else _sqlite(connection)
    )
    holding = [] if rows_too else [name for name in tables if _holds_rows(connection, name)]
    if holding:
        connection.rollback()
        shown = ", ".join(holding[:SHOWN]) + (
            f" and {len(holding) - SHOWN} more" if len(holding) > SHOWN else ""
        )
        raise HoldsRowsError(shown.replace('"', ""))
    for statement in drops:
        connection.exec_driver_sql(statement)
    connection.commit()
    return len(tables)


def _postgresql(connection: Connection, metadata: MetaData) -> tuple[list[str], list[str]]:
    here = connection.scalar(sa.text("SELECT current_schema()"))
    schemas = {here} | {table.schema for table in metadata.tables.values()}
    bound = {"schemas": sorted(each for each in schemas if each)}
    drops = list(connection.scalars(_DROPS, bound))
    quote = connection.dialect.identifier_preparer.quote
    return [f"{quote(row[0])}.{quote(row[1])}" for row in connection.execute(_TABLES, bound)], drops


def _sqlite(connection: Connection) -> tuple[list[str], list[str]]:
    connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
    found = connection.exec_driver_sql(
        "SELECT type, name, sql LIKE 'CREATE VIRTUAL%' AS virtual FROM sqlite_master"
        " WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 3 DESC"
    ).all()
    quote = connection.dialect.identifier_preparer.quote
    drops = [f"DROP {kind.upper()} IF EXISTS {quote(name)}" for kind, name, _ in found]
    return [quote(name) for kind, name, virtual in found if kind == "table" and not virtual], drops


def _holds_rows(connection: Connection, table: str) -> bool:
    if table.rpartition(".")[2].strip('"') == VERSION_TABLE:
        return False
    return connection.exec_driver_sql(f"SELECT 1 FROM {table} LIMIT 1").first() is not None  # noqa: S608 - quoted
