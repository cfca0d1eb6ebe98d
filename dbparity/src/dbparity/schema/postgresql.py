"""PostgreSQL's catalogue read into shapes, in three queries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from dbparity.schema.shape import Check, Column, Elsewhere, ForeignKey, Index, Table
from dbparity.schema.spelling import canonical

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

ACTIONS = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}

# Ordinary, partitioned and foreign tables; not the partitions themselves, nor what an extension brought.
_TABLES = """
  pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
"""
_REACHED = """
  c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition
  AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
  AND (pg_catalog.pg_table_is_visible(c.oid) OR n.nspname = ANY (CAST(:schemas AS text[])))
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e'
                  AND d.classid = CAST('pg_catalog.pg_class' AS regclass))
"""
_NAME = """
  CASE WHEN n.nspname = ANY (CAST(:schemas AS text[])) THEN n.nspname || '.' || c.relname
       ELSE CAST(c.relname AS text) END
"""


def _columns_at(numbers: str, relation: str) -> str:
    """Return SQL for the column names at these attribute numbers, in their order; NULL for an expression."""
    return f"""ARRAY(
      SELECT CAST(a.attname AS text) FROM unnest({numbers}) WITH ORDINALITY AS u(number, place)
      LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = {relation} AND a.attnum = u.number
      ORDER BY u.place)"""  # noqa: S608 - names of catalogue columns, from below


_COLUMNS = sa.text(f"""
SELECT {_NAME}, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
  a.atthasdef OR a.attidentity <> '',
  CASE WHEN t.typtype = 'e' THEN ARRAY(SELECT CAST(e.enumlabel AS text) FROM pg_catalog.pg_enum e
    WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) END
FROM {_TABLES}
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE {_REACHED} ORDER BY 1, a.attnum
""")  # noqa: S608 - the pieces above
_CONSTRAINTS = sa.text(f"""
SELECT {_NAME}, CAST(k.contype AS text), k.conname, {_columns_at("k.conkey", "k.conrelid")},
  f.relname, {_columns_at("k.confkey", "k.confrelid")},
  CAST(k.confdeltype AS text), CAST(k.confupdtype AS text)
FROM {_TABLES} JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid
LEFT JOIN pg_catalog.pg_class f ON f.oid = k.confrelid
WHERE k.contype IN ('p', 'u', 'f', 'c') AND {_REACHED} ORDER BY 1, k.conname
""")  # noqa: S608 - the pieces above
# An index that failed half-way (CREATE INDEX CONCURRENTLY) is not valid: it serves nobody and is not there.
_INDEXES = sa.text(f"""
SELECT {_NAME}, i.relname, {_columns_at("x.keys", "c.oid")}, x.indisunique, x.partial
FROM {_TABLES} JOIN (
  SELECT indrelid, indexrelid, indisunique, indpred IS NOT NULL AS partial,
         (CAST(indkey AS int2[]))[0:indnkeyatts - 1] AS keys
  FROM pg_catalog.pg_index WHERE indisvalid AND NOT indisprimary
) x ON x.indrelid = c.oid JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
WHERE {_REACHED} AND NOT EXISTS (
  SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = x.indexrelid AND k.contype IN ('p', 'u', 'x'))
ORDER BY 1, 2
""")  # noqa: S608 - the pieces above
_ELSEWHERE = sa.text("""
SELECT c.relname, min(n.nspname) FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
  AND NOT pg_catalog.pg_table_is_visible(c.oid) AND c.relname = ANY (CAST(:names AS text[]))
GROUP BY c.relname
""")


class Reader:
    def default_schema(self, connection: Connection) -> str | None:
        found: str | None = connection.scalar(sa.text("SELECT current_schema()"))
        return found

    def read(self, connection: Connection, schemas: Collection[str]) -> dict[str, Table]:
        bound = {"schemas": list(schemas)}
        tables: dict[str, Table] = {}
        for name, column, spelled, required, filled, labels in connection.execute(_COLUMNS, bound):
            table = tables.setdefault(name, Table(name))
            if column is not None:
                kind = canonical(spelled, "postgresql")
                table.columns[column] = Column(column, kind, not required, tuple(labels or ()), filled)
        for name, *constraint in connection.execute(_CONSTRAINTS, bound):
            if name in tables:  # else made by somebody since the query above
                _add_constraint(tables[name], *constraint)
        for name, index, columns, unique, partial in connection.execute(_INDEXES, bound):
            if name in tables:
                tables[name].indexes.append(Index(index, tuple(columns), unique, partial))
        return tables

    def seek(self, connection: Connection, names: Collection[str]) -> Elsewhere:
        schemas = {row[0]: row[1] for row in connection.execute(_ELSEWHERE, {"names": list(names)})}
        return Elsewhere(schemas, connection.scalar(sa.text("SHOW search_path")) or "")


def _add_constraint(  # noqa: PLR0913, PLR0917 - one row of the query above
    table: Table,
    kind: str,
    name: str,
    columns: list[str],
    target: str | None,
    target_columns: list[str],
    on_delete: str,
    on_update: str,
) -> None:
    match kind:
        case "p":
            table.primary_key = tuple(columns)
        case "u":
            table.uniques.add(frozenset(columns))
        case "c":
            table.checks.append(Check(name))
        case _:
            pairs = frozenset(zip(columns, target_columns, strict=True))
            key = ForeignKey(pairs, target or "", ACTIONS[on_delete], ACTIONS[on_update])
            table.foreign_keys.append(key)
