"""The comparison itself, and what its result is called."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dbparity.schema import declared, live
from dbparity.schema.difference import differences
from dbparity.schema.report import Difference, Kind, Report, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy import Connection, MetaData

    from dbparity.schema.shape import Elsewhere

MIGRATE = "run the migrations"


def compare(
    connection: Connection,
    metadata: MetaData,
    *,
    version_table: str = "alembic_version",
    ignore_tables: Collection[str] = (),
) -> Report:
    """Compare the tables that are really there with the models.

    Only reads, and leaves no transaction behind where there was none. `version_table` is Alembic's, with its
    schema if it has one; `ignore_tables` are tables of others, neither missed nor found too many. Server
    defaults, comments, and the text of expressions, predicates and checks are not compared.
    """
    check_filled(metadata)
    with unchanged(connection):
        return _report(connection, metadata, version_table, set(ignore_tables))


def check_filled(metadata: MetaData) -> None:
    """Refuse metadata without tables, which every database would match."""
    if not metadata.tables:
        msg = "The metadata has no tables: import the modules that declare the models before comparing."
        raise ValueError(msg)


@contextmanager
def unchanged(connection: Connection) -> Iterator[bool]:
    """Leave no transaction behind where there was none; tells whether there was one."""
    borrowed = connection.in_transaction()
    try:
        yield borrowed
    finally:
        if not borrowed:
            connection.rollback()


@dataclass(frozen=True)
class Tables:
    """The tables of the models, and what differs from them in the database."""

    models: frozenset[str]
    live: frozenset[str]
    differences: tuple[Difference, ...]
    elsewhere: str = ""
    """Where the missing tables are instead, if somewhere else holds every one of them."""

    schemas: tuple[str, ...] = ()
    """The schemas of that place."""

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(each.table for each in self.differences if each.kind is Kind.TABLE_MISSING)

    @property
    def none_there(self) -> bool:
        return bool(self.missing) and len(self.missing) == len(self.models)


def tables(connection: Connection, metadata: MetaData, ignored: Collection[str]) -> Tables:
    """Compare table by table, without a look at the version table."""
    default = live.default_schema(connection)
    models = declared.read(metadata, connection.dialect, default)
    there = live.read(connection, {table.schema for table in metadata.tables.values() if table.schema})
    # Where models name the default schema outright, so does the live side.
    for name in {*ignored, *(f"{default}.{name}" for name in ignored)}:
        models.pop(name, None)
        there.pop(name, None)
    found = Tables(frozenset(models), frozenset(there), tuple(differences(models, there)))
    missing = list(found.missing)
    if not missing:
        return found
    sought = live.seek(connection, missing)
    told = _told(sought, missing, nowhere=default is None)
    return replace(found, elsewhere=told, schemas=tuple(sorted(set(sought.schemas.values()))) if told else ())


def _report(connection: Connection, metadata: MetaData, version_table: str, ignored: set[str]) -> Report:
    seen = tables(connection, metadata, ignored | {version_table, version_table.rpartition(".")[2]})
    found = seen.differences
    if not seen.missing:
        return _matched(found)
    if not seen.none_there:
        return Report(Verdict.PARTLY_APPLIED, found, hint=seen.elsewhere or MIGRATE)
    return _nothing_there(found, live.revisions(connection, version_table), seen.elsewhere)


def _matched(found: tuple[Difference, ...]) -> Report:
    if not found:
        return Report(Verdict.READY)
    return Report(Verdict.DRIFT, found, hint="run the migrations, or write the one that is missing")


def _nothing_there(
    found: tuple[Difference, ...], revisions: tuple[str, ...] | None, elsewhere: str
) -> Report:
    """Name the state of a database without a single table of the models."""
    if elsewhere:
        return Report(Verdict.WRONG_SCHEMA, found, revisions or (), elsewhere)
    if revisions:
        hint = (
            f"the version table says {', '.join(revisions)}, but nothing is there: stamp base, then {MIGRATE}"
        )
        return Report(Verdict.STAMPED_BUT_EMPTY, found, revisions, hint)
    return Report(Verdict.EMPTY if revisions is None else Verdict.VERSION_EMPTY, found, hint=MIGRATE)


def _told(elsewhere: Elsewhere, missing: list[str], *, nowhere: bool) -> str:
    """Say where the missing tables are, if other schemas hold every one of them."""
    if nowhere:
        return f"search_path {elsewhere.search_path} names no schema that exists"
    if not all(name in elsewhere.schemas for name in missing):
        return ""
    schemas = sorted({elsewhere.schemas[name] for name in missing})
    places = f"schema {schemas[0]}" if len(schemas) == 1 else f"schemas {', '.join(schemas)}"
    return f"tables of that name are in {places}, which search_path {elsewhere.search_path} does not reach"
