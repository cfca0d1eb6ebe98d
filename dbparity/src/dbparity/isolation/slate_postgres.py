"""The slate of a PostgreSQL database: one statement empties any number of tables, whatever refers to what.

All parts of a statement see the same rows, and foreign keys are checked when it is through: so tables that
refer to each other, in whatever order or circle, are emptied by one DELETE that has the others as its CTEs, in
one round trip, and filled again by one INSERT of that kind.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from dbparity.isolation.dirty import Names
from dbparity.isolation.slate import SEEDS_MOST, BlockedError, Blocker, Known, Table
from dbparity.provision.held import HeldConnection
from dbparity.provision.party import COLUMNS, Holder
from dbparity.provision.spelling import literal, quoted, statement
from dbparity.sqlstate import LOCK_NOT_AVAILABLE, sqlstate

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sqlalchemy import Connection, TextClause
    from sqlalchemy.engine import URL

T = TypeVar("T")

LOCK_MILLISECONDS = 1000
REFERRED, NOT_ALLOWED = "23503", "42501"
SETTINGS = (
    f"SET lock_timeout = {LOCK_MILLISECONDS}",
    "SET statement_timeout = '25s'",
    "SET synchronous_commit = off",  # tests' rows need not survive a power cut
    "SET row_security = off",  # rather an error than rows that a policy hides from us
)
PRIVILEGED = "SET session_replication_role = replica"
"""Neither triggers nor foreign keys: emptying a table shall not write an audit trail. Superusers alone may."""

_OURS = """n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_t%'
  AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.objid = c.oid AND e.deptype = 'e'
                  AND e.classid = 'pg_class'::regclass)"""
_TABLES = f"""
SELECT c.oid::bigint AS oid, n.nspname AS schema, c.relname AS name, c.relkind::text AS kind, r.root::bigint AS root,
  c.relhasrules OR (c.relkind = 'r' AND c.relhassubclass)
    OR EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) AS indirect,
  coalesce((SELECT string_agg(a.attname, chr(31) ORDER BY a.attnum) FROM pg_attribute a
   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''), '') AS columns
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT CASE WHEN c.relispartition THEN pg_partition_root(c.oid) ELSE c.oid END AS root) r
WHERE c.relkind IN ('r', 'p', 'v') AND {_OURS} ORDER BY 2, 3
"""  # noqa: S608 - fixed text
_KEYS = "SELECT conrelid::bigint, confrelid::bigint FROM pg_constraint WHERE contype = 'f'"
_FUNCTIONS = """
SELECT DISTINCT lower(p.proname) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.provolatile = 'v' AND p.prokind IN ('f', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.objid = p.oid AND e.deptype = 'e'
                  AND e.classid = 'pg_proc'::regclass)
"""
_SEQUENCES = """
SELECT quote_ident(schemaname) || '.' || quote_ident(sequencename), coalesce(last_value, start_value),
       last_value IS NOT NULL
FROM pg_sequences
"""
_BLOCKERS = f"""
SELECT {COLUMNS} FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND EXISTS (
  SELECT 1 FROM pg_locks l WHERE l.pid = a.pid AND l.granted AND l.relation = ANY (CAST(:tables AS regclass[]))
    AND l.mode <> 'AccessShareLock')
"""  # noqa: S608 - column names
_STRANGERS = f"""
SELECT {COLUMNS} FROM pg_stat_activity a
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'
  AND a.application_name NOT LIKE 'dbparity%'
"""  # noqa: S608 - column names


class PostgresSlate:
    """One connection in autocommit, with settings that nobody else shall have."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._held: HeldConnection | None = None
        self._sequences: list[tuple[str, int, bool]] = []
        self._probe: tuple[Known | None, TextClause] = None, sa.text("")

    def learn(self) -> Known:
        """Read the tables, and the rows that are in them now."""
        self._sequences = [tuple(row) for row in self._call(lambda it: it.execute(sa.text(_SEQUENCES)).all())]
        known = self._call(_catalogue)
        large = set()
        for key in sorted(self.filled(known)):
            rows = self._rows(known.tables[key])
            if len(rows) > SEEDS_MOST:
                large.add(key)
            else:
                known.seeds[key] = rows
        return replace(known, too_large=frozenset(large))

    def relearn(self, known: Known) -> Known:
        """Read the tables again, and keep what is remembered of their rows."""
        now = self._call(_catalogue)
        seeds = {key: rows for key, rows in known.seeds.items() if key in now.tables}
        return replace(now, seeds=seeds, too_large=known.too_large & now.tables.keys())

    def empty(self, known: Known, tables: Sequence[Table]) -> None:
        """Take every row out of these, and put those back that were there."""
        if not tables:
            return
        try:
            self._execute(_together([_deletion(each) for each in tables]))
            self._restore(known, [each for each in tables if each.key in known.seeds])
        except DBAPIError as error:
            if sqlstate(error) == REFERRED and (unseen := self.filled(known) - {each.key for each in tables}):
                self.empty(known, [*tables, *(known.tables[key] for key in unseen)])
                return
            if sqlstate(error) != LOCK_NOT_AVAILABLE:
                raise
            raise BlockedError(self._blockers(tables)) from error

    def filled(self, known: Known) -> set[str]:
        """One query for all, which the server prepares once."""
        tables = known.unseeded
        if not tables:
            return set()
        if self._probe[0] is not known:
            query = ", ".join(f"EXISTS (SELECT FROM {each.spelled})" for each in tables)
            self._probe = known, statement(f"SELECT ARRAY[{query}]")
        probe = self._probe[1]
        found = self._call(lambda it: it.execute(probe).scalar_one())
        return {table.key for table, has_rows in zip(tables, found, strict=True) if has_rows}

    def altered(self, known: Known) -> set[str]:
        """Compare what is remembered with what is there."""
        return {
            key for key, rows in known.seeds.items() if sorted(rows) != sorted(self._rows(known.tables[key]))
        }

    def reset_sequences(self) -> None:
        """Let every sequence continue as it did before the first test, in one round trip."""
        if self._sequences:
            values = ", ".join(f"({literal(n)}, {value}, {called})" for n, value, called in self._sequences)
            query = f"SELECT setval(n::regclass, v, c) FROM (VALUES {values}) AS s (n, v, c)"  # noqa: S608 - spelled
            self._execute(query)

    def strangers(self) -> list[str]:
        """The connections to this database that are not dbparity's."""
        return [str(Holder.of(row)) for row in self._call(lambda it: it.execute(sa.text(_STRANGERS)).all())]

    def end(self, pids: Collection[int]) -> None:
        """End these server processes, and wait until their locks are gone."""
        for pid in pids:
            self._execute(f"SELECT pg_terminate_backend({int(pid)})")

    def close(self) -> None:
        """Close the connection."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def _restore(self, known: Known, tables: Sequence[Table]) -> None:
        if not tables:
            return
        parts = [_insertion(each, f"rows{number}") for number, each in enumerate(tables)]
        rows = {f"rows{number}": list(known.seeds[each.key]) for number, each in enumerate(tables)}
        self._call(lambda it: it.execute(sa.text(_together(parts)), rows))

    def _rows(self, table: Table) -> list[str]:
        query = f"SELECT (dbparity_row.*)::text FROM {table.spelled} dbparity_row LIMIT {SEEDS_MOST + 1}"  # noqa: S608 - quoted
        return list(self._call(lambda it: it.scalars(statement(query)).all()))

    def _blockers(self, tables: Sequence[Table]) -> list[Blocker]:
        names = {"tables": [each.spelled.removeprefix("ONLY ") for each in tables]}
        rows = self._call(lambda it: it.execute(sa.text(_BLOCKERS), names).all())
        return [Blocker(holder.pid, str(holder)) for holder in map(Holder.of, rows)]

    def _execute(self, sql: str) -> None:
        self._call(lambda it: it.execute(statement(sql)))

    def _call(self, work: Callable[[Connection], T]) -> T:
        """Ask through the connection; through a new one, once, where a test has ended it."""
        try:
            return self._connected().call(work)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
        self.close()
        return self._connected().call(work)

    def _connected(self) -> HeldConnection:
        if self._held is None:
            self._held = HeldConnection(self._url, "dbparity empties tables")
            self._held.call(_settle)
        return self._held


def _settle(connection: Connection) -> None:
    for each in SETTINGS:
        connection.exec_driver_sql(each)
    try:
        connection.exec_driver_sql(PRIVILEGED)
    except DBAPIError as error:
        if sqlstate(error) != NOT_ALLOWED:
            raise


def _catalogue(connection: Connection) -> Known:
    rows = connection.execute(sa.text(_TABLES)).all()
    usual = "public"
    keys = {row.oid: row.name if row.schema == usual else f"{row.schema}.{row.name}" for row in rows}
    tables = {
        keys[row.oid]: _table(row, keys[row.oid]) for row in rows if row.kind != "v" and row.root == row.oid
    }
    words: dict[str, set[str]] = {}
    for row in rows:
        if row.kind != "v" and keys.get(row.root) in tables:
            words.setdefault(row.name.lower(), set()).add(keys[row.root])
    referring: dict[str, set[str]] = {}
    for child, parent in connection.execute(sa.text(_KEYS)):
        if child in keys and parent in keys:
            referring.setdefault(keys[parent], set()).add(keys[child])
    names = Names(
        {word: frozenset(found) for word, found in words.items()},
        frozenset(row.name.lower() for row in rows if row.indirect or row.kind == "v"),
        frozenset(connection.scalars(sa.text(_FUNCTIONS))),
    )
    return Known(tables, {key: frozenset(found) for key, found in referring.items()}, names)


def _table(row: Any, key: str) -> Table:  # noqa: ANN401 - a row of _TABLES
    spelled = f"{quoted(row.schema)}.{quoted(row.name)}"
    # What inherits from a table is a table of its own; what is a part of one is not.
    return Table(key, spelled if row.kind == "p" else f"ONLY {spelled}", tuple(row.columns.split("\x1f")))


def _together(parts: Sequence[str]) -> str:
    """One statement of many that write."""
    *others, last = parts
    if not others:
        return last
    return "WITH " + ", ".join(f"d{number} AS ({part})" for number, part in enumerate(others)) + f" {last}"


def _deletion(table: Table) -> str:
    return f"DELETE FROM {table.spelled}"  # noqa: S608 - quoted


def _insertion(table: Table, parameter: str) -> str:
    spelled = table.spelled.removeprefix("ONLY ")
    columns = ", ".join(map(quoted, table.columns)).replace(":", r"\:")
    fields = ", ".join(f"(r).{quoted(each)}" for each in table.columns).replace(":", r"\:")
    return (
        f"INSERT INTO {spelled} ({columns}) OVERRIDING SYSTEM VALUE SELECT {fields} FROM "  # noqa: S608 - quoted
        f"(SELECT CAST(unnest(CAST(:{parameter} AS text[])) AS {spelled}) AS r OFFSET 0) AS s"
    )
