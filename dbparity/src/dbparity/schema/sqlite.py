"""SQLite's catalogue read into shapes: four queries a file, by its table-valued pragmas."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from dbparity.schema.shape import Check, Column, Elsewhere, ForeignKey, Index, Table
from dbparity.schema.spelling import canonical

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy import Connection

# One statement a file (the main one, or an attached one); {schema} is quoted where it stands.
_TABLES = "FROM {schema}.sqlite_master m"
_ORDINARY = "WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
_DEFINITIONS = f"SELECT m.name, m.sql {_TABLES} {_ORDINARY}"
# hidden = 1 is a hidden column of a virtual table; 2 and 3 are generated columns, which are columns.
_COLUMNS = f"""
SELECT m.name, x.name, x.type, x."notnull", x.pk, x.dflt_value IS NOT NULL OR x.hidden <> 0
{_TABLES} JOIN pragma_table_xinfo(m.name, ?) x
{_ORDINARY} AND x.hidden <> 1 ORDER BY m.name, x.cid
"""
_INDEXES = f"""
SELECT m.name, l.name, l."unique", l.origin, l.partial, i.name
{_TABLES} JOIN pragma_index_list(m.name, ?) l JOIN pragma_index_info(l.name, ?) i
{_ORDINARY} AND l.origin <> 'pk' ORDER BY m.name, l.name, i.seqno
"""
_FOREIGN_KEYS = f"""
SELECT m.name, f.id, f."from", f."table", f."to", f.on_delete, f.on_update
{_TABLES} JOIN pragma_foreign_key_list(m.name, ?) f {_ORDINARY} ORDER BY m.name, f.id, f.seq
"""
# SQLite keeps a table's checks nowhere but in its text.
_CHECK = re.compile(
    r"""'(?:[^']|'')*' | --[^\n]* | /\*.*?\*/
      | (?:\bconstraint\s+(?:"(?P<quoted>[^"]+)"|(?P<plain>\w+))\s+)? (?<!["\w]) (?P<check>check) \s*\(""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


class Reader:
    def default_schema(self, _: Connection) -> str | None:
        return "main"

    def read(self, connection: Connection, schemas: Collection[str]) -> dict[str, Table]:
        tables: dict[str, Table] = {}
        attached = {row[1] for row in connection.exec_driver_sql("PRAGMA database_list")}
        if "main" not in schemas:
            tables |= _read_file(connection, "main", "")
        for schema in sorted(attached.intersection(schemas)):
            tables |= _read_file(connection, schema, f"{schema}.")
        return tables

    def seek(self, _: Connection, __: Collection[str]) -> Elsewhere:
        return Elsewhere()


def _read_file(connection: Connection, schema: str, prefix: str) -> dict[str, Table]:
    """Read one database file; SQLite has no schemas, an attached file has a name that serves as one."""

    def rows(statement: str, parameters: int) -> Iterator[Any]:
        quoted = statement.format(schema=connection.dialect.identifier_preparer.quote(schema))
        found = connection.exec_driver_sql(quoted, (schema,) * parameters)
        # What somebody has made since the first query is not among the tables: no row of it is of use.
        return (row for row in found if not parameters or row[0] in tables)

    tables: dict[str, Table] = {}
    tables |= {name: Table(prefix + name, checks=_checks(sql)) for name, sql in rows(_DEFINITIONS, 0)}
    _add_columns(tables, rows(_COLUMNS, 1))
    _add_indexes(tables, rows(_INDEXES, 2))
    _add_foreign_keys(tables, rows(_FOREIGN_KEYS, 1))
    return {table.name: table for table in tables.values()}


def _checks(definition: str) -> list[Check]:
    found = (match for match in _CHECK.finditer(definition) if match["check"])
    return [Check(match["quoted"] or match["plain"]) for match in found]


def _add_columns(tables: dict[str, Table], rows: Iterator[Any]) -> None:
    keys: dict[str, dict[int, str]] = defaultdict(dict)
    for name, column, spelled, required, place, filled in rows:
        kind = canonical(spelled, "sqlite")
        # INTEGER PRIMARY KEY is the row's number: it is never NULL, whether or not NOT NULL was written.
        never_null = required or (place and kind == "integer")
        tables[name].columns[column] = Column(column, kind, nullable=not never_null, has_default=bool(filled))
        if place:
            keys[name][place] = column
    for name, places in keys.items():
        tables[name].primary_key = tuple(places[place] for place in sorted(places))


def _add_indexes(tables: dict[str, Table], rows: Iterator[Any]) -> None:
    columns: dict[tuple[Any, ...], list[str | None]] = defaultdict(list)
    for *index, column in rows:
        columns[tuple(index)].append(column)
    for (name, index, unique, origin, partial), names in columns.items():
        if origin == "u":
            tables[name].uniques.add(frozenset(column for column in names if column is not None))
        else:
            tables[name].indexes.append(Index(index, tuple(names), bool(unique), bool(partial)))


def _add_foreign_keys(tables: dict[str, Table], rows: Iterator[Any]) -> None:
    pairs: dict[tuple[Any, ...], list[tuple[str, str | None]]] = defaultdict(list)
    for name, number, column, target, target_column, on_delete, on_update in rows:
        pairs[name, number, target, on_delete, on_update].append((column, target_column))
    for (name, _, target, on_delete, on_update), found in pairs.items():
        # No column named after the table: the key leads to its primary key.
        implied = tables[target].primary_key if target in tables else ()
        targets = [
            named or implied[place] if named or implied else "" for place, (_, named) in enumerate(found)
        ]
        columns = frozenset(zip((column for column, _ in found), targets, strict=True))
        tables[name].foreign_keys.append(ForeignKey(columns, target, on_delete, on_update))
