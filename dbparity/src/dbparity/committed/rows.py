"""Reading what is committed: rows as plain values, counts, and whole tables to compare with later.

Tables of up to `FULL` rows are read in full, so that a difference can be shown row by row. Of larger ones the
count and a digest of every row are kept (computed by PostgreSQL itself): a difference is noticed, but not shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, func, literal, null, select, union_all

from dbparity.sessions.values import shown

if TYPE_CHECKING:
    from sqlalchemy import Connection, Dialect, Select, Table

    from dbparity.committed.entities import Entity

FULL = 1000
CHUNK = 200
"""SQLite takes 500 SELECTs in a UNION."""
LOCK_TIMEOUT = "5s"


class BusyTableError(RuntimeError):
    """A table cannot be read, because an open transaction holds it locked."""


class Row(Mapping[str, Any]):
    """A committed row: values by attribute or column name, `row.email` or `row["email"]`; never an ORM object."""

    __slots__ = ("_spellings", "_values")

    def __init__(self, values: Mapping[str, Any], spellings: Mapping[str, str]) -> None:
        object.__setattr__(self, "_values", values)
        object.__setattr__(self, "_spellings", spellings)

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - whatever the column holds
        return self._values[self._spellings.get(name, name)]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the same
        try:
            return self[name]
        except KeyError:
            msg = f"This row has no column {name!r}; it has {', '.join(self)}."
            raise AttributeError(msg) from None

    def __setattr__(self, name: str, value: object) -> None:
        msg = "A committed row cannot be changed."
        raise AttributeError(msg)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        """For people: secrets masked, long values shortened."""
        return f"Row({', '.join(f'{name}={shown(name, value)}' for name, value in self._values.items())})"


@dataclass(frozen=True)
class Content:
    """A table at one moment."""

    count: int
    rows: tuple[tuple[Any, ...], ...] | None
    """All of them; None where there are too many."""
    digest: object = None


def read_rows(connection: Connection, entity: Entity, wanted: Mapping[str, Any]) -> list[Row]:
    """The rows with these values, in the order of the primary key."""
    keys = {entity.key_of(name): value for name, value in wanted.items()}
    statement = _select(entity, {key: value for key, value in keys.items() if not _is_json(entity, key)})
    found = [Row(dict(row._mapping), entity.spellings) for row in connection.execute(statement)]  # noqa: SLF001
    in_python = {key: value for key, value in keys.items() if _is_json(entity, key)}
    return [row for row in found if all(row[key] == value for key, value in in_python.items())]


def _select(entity: Entity, equal: Mapping[str, Any]) -> Select[Any]:
    statement = select(*(column.label(key) for key, column in entity.columns.items())).select_from(
        entity.source
    )
    if entity.criterion is not None:
        statement = statement.where(entity.criterion)
    for key, value in equal.items():
        column = entity.columns[key]
        statement = statement.where(column.is_(null()) if value is None else column == value)
    return statement.order_by(*entity.primary_key)


def _is_json(entity: Entity, key: str) -> bool:
    """PostgreSQL's json has no equality."""
    return isinstance(entity.columns[key].type, JSON)


def read_counts(connection: Connection, entities: Iterable[Entity]) -> list[int]:
    """How many rows each has, in one round trip."""
    counts = []
    for number, entity in enumerate(entities):
        count = select(literal(number).label("number"), func.count().label("rows")).select_from(entity.source)
        counts.append(count if entity.criterion is None else count.where(entity.criterion))
    found = {row.number: row.rows for row in connection.execute(union_all(*counts))} if counts else {}
    return [found[number] for number in range(len(counts))]


class Snapshots:
    """Reads all tables at one moment; the SQL for it is made once."""

    def __init__(self, tables: Iterable[Table]) -> None:
        self._tables = list(tables)
        self._sql: list[str] = []

    def read(self, connection: Connection) -> dict[str, Content]:
        """One round trip for the counts of all tables, and one for each table that has rows."""
        if not self._sql:
            self._sql = list(self._counting(connection.dialect))
        counts = {row[0]: row[1] for sql in self._sql for row in connection.exec_driver_sql(sql)}
        return {
            str(table.key): _content(connection, table, counts[number])
            for number, table in enumerate(self._tables)
        }

    def _counting(self, dialect: Dialect) -> Iterator[str]:
        """Counts up to one more than `FULL`: nobody waits for the exact count of a huge table twice."""
        preparer = dialect.identifier_preparer
        parts = [
            f"SELECT {number}, (SELECT count(*) FROM (SELECT 1 FROM {preparer.format_table(table)} "  # noqa: S608 - names of the models' own tables, quoted
            f"LIMIT {FULL + 1}) AS t)"
            for number, table in enumerate(self._tables)
        ]
        for start in range(0, len(parts), CHUNK):
            yield " UNION ALL ".join(parts[start : start + CHUNK])


def _content(connection: Connection, table: Table, count: int) -> Content:
    if count == 0:
        return Content(0, ())
    if count <= FULL:
        rows = tuple(tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key)))
        return Content(len(rows), rows)
    if connection.dialect.name == "postgresql":
        name = connection.dialect.identifier_preparer.format_table(table)
        sql = f"SELECT count(*), sum(hashtextextended(t::text, 0)) FROM {name} AS t"  # noqa: S608 - as above
        count, digest = connection.exec_driver_sql(sql).one()
        return Content(count, None, digest)
    hashes = [hash(repr(tuple(row))) for row in connection.execute(select(table))]
    return Content(len(hashes), None, sum(hashes))


def limit_locks(connection: Connection) -> None:
    """Never wait long for somebody's lock."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
