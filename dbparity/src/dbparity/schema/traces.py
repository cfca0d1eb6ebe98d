"""What tables leave behind in the catalogue when they are rolled back, dropped, truncated or copied.

Looked at only where a schema is false. The counters of PostgreSQL are its statistics, which a backend hands in
when it is idle or ends, and which a crash forgets: what they show did happen, what they do not show may have.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from sqlalchemy import Connection

# Every table has two rows in pg_type, one for its row and one for the array of it. Ids are handed out by one
# counter for the whole server: what is older than its database was copied from the template.
_COUNTERS = sa.text("""
SELECT current_setting('track_counts') = 'on', s.n_tup_ins, s.n_tup_del,
  (SELECT count(*) FROM pg_catalog.pg_type t WHERE t.oid > d.oid),
  CAST(v.oid AS bigint) < CAST(d.oid AS bigint), v.relfilenode <> v.oid, w.n_tup_ins, w.n_tup_del
FROM pg_catalog.pg_database d
JOIN pg_catalog.pg_stat_all_tables s ON s.relid = CAST('pg_catalog.pg_type' AS regclass)
LEFT JOIN pg_catalog.pg_class v ON v.oid = CAST(:version AS oid)
LEFT JOIN pg_catalog.pg_stat_all_tables w ON w.relid = v.oid
WHERE d.datname = current_database()
""")
_LEFT = sa.text("""
SELECT 'TYPE', CAST(t.typname AS text)
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE t.typtype = 'e' AND n.nspname NOT LIKE 'pg\\_%' AND pg_catalog.pg_type_is_visible(t.oid)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.atttypid IN (t.oid, t.typarray))
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = t.oid AND d.deptype = 'e')
UNION ALL
SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' ELSE 'MATERIALIZED VIEW' END,
  CAST(c.relname AS text)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('S', 'v', 'm') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
  AND pg_catalog.pg_table_is_visible(c.oid)
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('a', 'i', 'e'))
ORDER BY 1, 2
""")
_ROWS_A_TABLE = 2


@dataclass(frozen=True)
class Traces:
    """What happened in this database before, as far as it can be seen."""

    known: bool = False
    """Whether the counts below are complete, as far as they can be."""

    made: int = 0
    """Tables (or types) ever written into the catalogue of this database, the version table among them."""

    dropped: int = 0
    vanished: int = 0
    """Tables that were written, were not dropped and are not there: their transaction was rolled back."""

    inherited: bool | None = None
    """Whether the version table came with the template of the database; None where that cannot be told."""

    truncated: bool = False
    """Whether the version table was emptied by TRUNCATE."""

    noted: int = 0
    unnoted: int = 0
    """Revisions ever written into the version table, and deleted from it."""

    leftovers: tuple[tuple[str, str], ...] = ()
    """Kind and name of what is there without a table that uses it."""


def read(connection: Connection, version_table: int | None) -> Traces:
    """Read what the database remembers; `version_table` is PostgreSQL's number of it."""
    if connection.dialect.name == "sqlite":
        return _sqlite(connection)
    row = connection.execute(_COUNTERS, {"version": version_table}).first()
    left = tuple((kind, name) for kind, name in connection.execute(_LEFT))
    if row is None:
        return Traces(leftovers=left)
    counted, written, deleted, there, inherited, rewritten, noted, unnoted = row
    return Traces(
        known=bool(counted) and written - deleted >= there,
        made=-(-written // _ROWS_A_TABLE),
        dropped=-(-deleted // _ROWS_A_TABLE),
        vanished=max(0, written - deleted - there) // _ROWS_A_TABLE,
        inherited=inherited,
        truncated=bool(rewritten),
        noted=noted or 0,
        unnoted=unnoted or 0,
        leftovers=left,
    )


def _sqlite(connection: Connection) -> Traces:
    """Tables that were dropped leave free pages, and every change of the schema was counted."""
    free = connection.exec_driver_sql("PRAGMA freelist_count").scalar() or 0
    changes = connection.exec_driver_sql("PRAGMA schema_version").scalar() or 0
    objects = "SELECT count(*) FROM sqlite_master WHERE sql IS NOT NULL"
    there = connection.exec_driver_sql(objects).scalar() or 0
    dropped = (changes - there + 1) // 2 if changes > there else 0
    return Traces(known=True, made=there + dropped, dropped=max(dropped, int(free > 0)))
