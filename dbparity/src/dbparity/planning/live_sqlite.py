"""The catalogue of a live SQLite database, and a copy of its tables without their rows."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from dbparity.planning import definitions
from dbparity.planning.catalogue import Catalogue, Index, Table
from dbparity.planning.sqlite import lowered
from dbparity.planning.tokens import Reader, columns, tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Engine, Row

COUNTED = 2_000_000
"""Rows that are counted; of a larger table the highest rowid is taken."""

SAMPLED = 1_000
"""Rows that are looked at to learn how wide they are."""

_MADE = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"


def read(connection: Connection) -> Catalogue:
    """Read every table from the statement that made it."""
    at = Catalogue(volatile=frozenset())
    made = connection.exec_driver_sql(_MADE).all()
    for row in made:
        if row.type in {"table", "view"}:
            at.tables[row.name.lower()] = _table(row)
    for row in made:
        if row.type == "index":
            words = Reader(tokens(lowered(row.sql)))
            unique = words.take("CREATE UNIQUE INDEX")
            words.seek("ON")
            words.name()
            at.table(row.tbl_name.lower()).indexes[row.name.lower()] = Index(
                columns(words.group()), bool(unique)
            )
    return at


def _table(row: Row[tuple[str, str, str, str]]) -> Table:
    words = Reader(tokens(lowered(row.sql)))
    words.seek("TABLE", "VIEW")
    words.take("IF NOT EXISTS")
    words.name()
    name = row.name.lower()
    table = definitions.table(name, words.group()) if row.type == "table" else Table(name, kind="view")
    table.new, table.known, table.rows, table.size = False, True, None, None
    return table


def look_closer(connection: Connection, at: Catalogue, names: set[str]) -> None:
    """Count the rows of these tables, up to a limit."""
    for table in [each for each in at.tables.values() if each.name in names and each.kind == "table"]:
        quoted = connection.dialect.identifier_preparer.quote_identifier(table.name)
        limited = f"SELECT count(*) FROM (SELECT 1 FROM {quoted} LIMIT {COUNTED + 1})"  # noqa: S608 - quoted
        counted = int(connection.exec_driver_sql(limited).scalar() or 0)
        if counted > COUNTED:
            table.estimated = True
            counted = int(connection.exec_driver_sql(f"SELECT max(rowid) FROM {quoted}").scalar() or counted)  # noqa: S608 - quoted
        table.rows = counted
        table.size = round(counted * _width(connection, table, quoted))


def _width(connection: Connection, table: Table, quoted: str) -> float:
    """Bytes of a row, by the first rows of the table."""
    quote = connection.dialect.identifier_preparer.quote_identifier
    sizes = " + ".join(f"coalesce(length({quote(name)}), 0)" for name in table.columns) or "0"
    sampled = f"SELECT avg({sizes}) FROM (SELECT * FROM {quoted} LIMIT {SAMPLED})"  # noqa: S608 - quoted
    return float(connection.exec_driver_sql(sampled).scalar() or 0)


def who_waits(connection: Connection) -> str:
    """How it keeps writers and readers apart, in a sentence."""
    mode = str(connection.exec_driver_sql("PRAGMA journal_mode").scalar())
    readers = "readers go on" if mode == "wal" else f"readers wait too while it commits (journal mode {mode})"
    return f"One writer at a time: all others wait from the first statement to the COMMIT; {readers}."


def copy_of(connection: Connection, version_table: str, heads: Sequence[str]) -> Engine:
    """An engine on a database in memory with the same tables, and no row but the version's."""
    made = connection.exec_driver_sql(_MADE).all()
    memory = sqlite3.connect(":memory:", check_same_thread=False)
    # Virtual tables first: they make tables of their own, which are then there already.
    for row in sorted(made, key=lambda row: (_order(row), made.index(row))):
        there = memory.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (row.name,)).fetchone()
        if not there and not row.name.startswith("sqlite_"):
            memory.execute(row.sql)
    quoted = connection.dialect.identifier_preparer.quote_identifier(version_table)
    if any(row.name == version_table for row in made):
        memory.executemany(f"INSERT INTO {quoted} VALUES (?)", [(head,) for head in heads])  # noqa: S608 - quoted
    memory.commit()
    return sa.create_engine("sqlite://", creator=lambda: memory, poolclass=StaticPool)


def _order(row: Row[tuple[str, str, str, str]]) -> int:
    if row.type == "table":
        return 0 if "VIRTUAL" in row.sql[:20].upper() else 1
    return {"view": 2, "index": 3}.get(row.type, 4)
