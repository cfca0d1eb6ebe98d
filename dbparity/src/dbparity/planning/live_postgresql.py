"""The catalogue of a live PostgreSQL database, read without waiting for anybody's lock."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from dbparity.planning import types
from dbparity.planning.catalogue import Catalogue, Column, Constraint, Index, Table
from dbparity.planning.tokens import spelled, tokens

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy import Connection

LOCK_WAIT_MS = 500
STATEMENT_MS = 10_000
NARROW = 50
"""Bytes of a row of a table that nobody has analyzed."""

_OWN = "n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'"
_TABLES = sa.text(f"""
SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind, c.reltuples::bigint AS rows,
  c.relpages::bigint * current_setting('block_size')::bigint AS size,
  pg_catalog.pg_stat_get_live_tuples(c.oid) AS live, pg_catalog.pg_table_is_visible(c.oid) AS visible
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'v', 'S', 'f') AND {_OWN}
""")  # noqa: S608 - text of ours
_COLUMNS = sa.text(f"""
SELECT a.attrelid AS oid, a.attname AS name, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
  a.attnotnull AS required, a.atthasdef AS filled, a.attidentity::text AS identity, a.attgenerated::text AS made
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'm') AND {_OWN} ORDER BY a.attnum
""")  # noqa: S608 - text of ours
_CONSTRAINTS = sa.text(f"""
SELECT k.oid AS number, k.conrelid AS oid, k.conname AS name, k.contype::text AS kind, k.confrelid AS refers,
  k.convalidated AS valid, ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u(num, place)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num ORDER BY u.place) AS columns,
  ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = k.confrelid AND a.attnum = ANY(k.confkey)) AS there
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_namespace n ON n.oid = k.connamespace
WHERE k.conrelid <> 0 AND {_OWN}
""")  # noqa: S608 - text of ours
_INDEXES = sa.text(f"""
SELECT i.indrelid AS oid, c.relname AS name, i.indisunique AS unique,
  ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)) AS columns,
  ARRAY(SELECT DISTINCT a.attname::text FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attribute a
    ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL) AND d.objid = i.indexrelid AND d.refobjid = i.indrelid
    AND d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = d.classid) AS rests_on
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE {_OWN}
""")  # noqa: S608 - text of ours
_CHILDREN = sa.text("SELECT inhparent AS above, inhrelid AS oid FROM pg_catalog.pg_inherits")
_DEFAULTS = sa.text("SELECT partrelid AS above, partdefid AS oid FROM pg_catalog.pg_partitioned_table")
_READ_BY_VIEWS = sa.text("""
SELECT DISTINCT r.ev_class AS view, d.refobjid AS oid FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND d.classid = 'pg_catalog.pg_rewrite'::regclass
WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid <> r.ev_class
""")
_VOLATILE = sa.text("SELECT DISTINCT proname::text FROM pg_catalog.pg_proc WHERE provolatile = 'v'")
_DOMAINS = sa.text("""
SELECT t.typname::text FROM pg_catalog.pg_type t JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype
WHERE t.typtype = 'd' AND (t.typnotnull OR b.typtype = 'd'
  OR EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.contypid = t.oid))
""")
_HELD = sa.text("""
SELECT l.relation AS oid, l.pid, a.application_name AS application, a.state FROM pg_catalog.pg_locks l
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.granted AND l.mode = 'AccessExclusiveLock' AND l.locktype = 'relation'
  AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
""")
_SIZES = sa.text("""
SELECT pg_catalog.pg_table_size(:oid) AS size, pg_catalog.pg_relation_size(:oid) AS main,
  pg_catalog.pg_indexes_size(:oid) AS indexes
""")
_CHECKS = sa.text("""
SELECT conname, pg_catalog.pg_get_expr(conbin, conrelid) AS text FROM pg_catalog.pg_constraint
WHERE conrelid = :oid AND contype = 'c'
""")
_KINDS = {
    "c": "check",
    "f": "foreign key",
    "u": "unique",
    "p": "primary key",
    "x": "exclude",
    "n": "not null",
}
_TABLE_KINDS = {"f": "foreign", "p": "partitioned", "v": "view", "m": "stored view", "S": "sequence"}


@contextmanager
def read_only(connection: Connection) -> Iterator[None]:
    """Let the server refuse every write, and every wait for longer than a moment; undone at the end."""
    with undone(connection):
        connection.exec_driver_sql("SET LOCAL transaction_read_only = on")
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {LOCK_WAIT_MS}")
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {STATEMENT_MS}")
        yield


@contextmanager
def undone(connection: Connection) -> Iterator[None]:
    """A savepoint that is rolled back: settings and locks are as before."""
    savepoint = connection.begin_nested()
    try:
        yield
    finally:
        savepoint.rollback()


def read(connection: Connection) -> Catalogue:
    """Read every table of the users; sizes are those of the last ANALYZE or VACUUM."""
    at = Catalogue()
    at.version = int((connection.dialect.server_version_info or (0,))[0])
    at.volatile = frozenset(connection.scalars(_VOLATILE))
    at.domains = frozenset(connection.scalars(_DOMAINS))
    at.utc = str(connection.scalar(sa.text("SHOW timezone"))).upper() in {"UTC", "ETC/UTC", "GMT"}
    numbers = _tables(connection, at)
    _details(connection, numbers)
    for above, child in connection.execute(_CHILDREN):
        if above in numbers and child in numbers:
            numbers[above].children.append(numbers[child].name)
    for above, child in connection.execute(_DEFAULTS):
        if above in numbers and child in numbers:
            numbers[above].rest = numbers[child].name
    for view, table in connection.execute(_READ_BY_VIEWS):
        if view in numbers and table in numbers:
            numbers[view].sources.append(numbers[table].name)
    return at


def _tables(connection: Connection, at: Catalogue) -> dict[int, Table]:
    numbers = {}
    for row in connection.execute(_TABLES):
        full = f"{row.schema}.{row.name}"
        name = row.name if row.visible else full
        if row.visible:
            at.schemas[full] = name
        rows = row.rows if row.rows >= 0 else row.live
        rows = None if row.kind == "f" else rows
        kind = _TABLE_KINDS.get(row.kind, "table")
        at.tables[name] = numbers[row.oid] = Table(
            name, rows, row.size, estimated=True, kind=kind, oid=row.oid, known=True
        )
    return numbers


def _details(connection: Connection, numbers: dict[int, Table]) -> None:
    for row in connection.execute(_COLUMNS):
        if row.oid in numbers:
            default = "default" if row.filled or row.identity else ""
            numbers[row.oid].columns[row.name] = Column(
                types.normal(row.type), not row.required, default, bool(row.made)
            )
    for row in connection.execute(_CONSTRAINTS):
        if row.oid in numbers and row.kind in _KINDS:
            refers = numbers[row.refers].name if row.refers in numbers else ""
            numbers[row.oid].constraints[row.name] = Constraint(
                _KINDS[row.kind], tuple(row.columns), refers, tuple(row.there), valid=row.valid
            )
    for row in connection.execute(_INDEXES):
        if row.oid in numbers:
            numbers[row.oid].indexes[row.name] = Index(tuple(row.columns), row.unique, tuple(row.rests_on))


def look_closer(connection: Connection, at: Catalogue, names: Collection[str]) -> list[str]:
    """Measure these tables and read their checks; return who holds those that cannot be looked at now."""
    held = {row.oid: row for row in connection.execute(_HELD)}
    notes = []
    for table in [each for each in at.tables.values() if each.name in names and each.oid]:
        if table.oid in held:
            row = held[table.oid]
            who = f"process {row.pid}" + (f" ({row.application})" if row.application else "")
            notes.append(
                f"{table.name} is held by {who} with ACCESS EXCLUSIVE at this moment: the migration would wait"
                " for it. Its size is that of the last ANALYZE."
            )
        elif table.kind in {"table", "stored view"}:
            _measure(connection, table)
    return notes


def _measure(connection: Connection, table: Table) -> None:
    try:
        with undone(connection):
            found = connection.execute(_SIZES, {"oid": table.oid}).one()
            checks = connection.execute(_CHECKS, {"oid": table.oid}).all()
    except DBAPIError:  # somebody took it meanwhile, or it is gone
        return
    table.rows = _rows(table, found.main)
    table.size, table.index_size = found.size, found.indexes
    for name, text in checks:
        if name in table.constraints:
            table.constraints[name].text = spelled(tokens(text))


def _rows(table: Table, size: int) -> int | None:
    """The rows of the statistics, grown as the table has since then, as the planner does it.

    Without statistics, as after pg_upgrade or pg_restore, a file that is not empty is taken to be full of rows.
    """
    if table.rows and table.size and size > table.size:
        return round(table.rows * size / table.size)
    return table.rows or size // NARROW
