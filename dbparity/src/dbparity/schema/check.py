"""The comparison itself, and what its result is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbparity.schema import declared, live
from dbparity.schema.difference import differences
from dbparity.schema.report import Difference, Kind, Report, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection

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
    if not metadata.tables:
        msg = "The metadata has no tables: import the modules that declare the models before comparing."
        raise ValueError(msg)
    borrowed = connection.in_transaction()
    try:
        return _report(connection, metadata, version_table, set(ignore_tables))
    finally:
        if not borrowed:
            connection.rollback()


def _report(connection: Connection, metadata: MetaData, version_table: str, ignored: set[str]) -> Report:
    default = live.default_schema(connection)
    models = declared.read(metadata, connection.dialect, default)
    there = live.read(connection, {table.schema for table in metadata.tables.values() if table.schema})
    for name in ignored | {version_table, version_table.rpartition(".")[2]}:
        models.pop(name, None)
        there.pop(name, None)
    found = tuple(differences(models, there))
    missing = [each.table for each in found if each.kind is Kind.TABLE_MISSING]
    if not missing:
        return _matched(found)
    elsewhere = _told(live.seek(connection, missing), missing, nowhere=default is None)
    if len(missing) < len(models):
        return Report(Verdict.PARTLY_APPLIED, found, hint=elsewhere or MIGRATE)
    return _nothing_there(found, live.revisions(connection, version_table), elsewhere)


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
