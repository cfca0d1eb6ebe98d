"""What the state as a whole is called, what is to be done about it, and what a comparison costs."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy import Column, ForeignKey, Integer, String, Table
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from dbparity.schema import Report, UnsupportedDatabaseError, Verdict, compare

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Live

    from dbparity.testing.postgres import PrivateCluster

VERSION_TABLE = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"
STAMP = "INSERT INTO alembic_version VALUES ('3f2a9c')"


def models(count: int = 3, schema: str | None = None) -> sa.MetaData:
    metadata = sa.MetaData()
    first = f"{schema}.t0.id" if schema else "t0.id"
    for number in range(count):
        Table(
            f"t{number}",
            metadata,
            Column("id", Integer, primary_key=True),
            Column("name", String(30), unique=True, nullable=False),
            Column("at", sa.DateTime(timezone=True), index=True),
            Column("first", ForeignKey(first), nullable=True),
            schema=schema,
        )
    return metadata


def report_of(live: Live, metadata: sa.MetaData, **options: str) -> Report:
    return live.run(lambda connection: compare(connection, metadata, **options))


def test_tables_that_match_are_ready_whatever_the_version_table_says(live: Live) -> None:
    live.run(models().create_all)
    unversioned = report_of(live, models())
    live.execute(VERSION_TABLE, STAMP)

    assert unversioned.summary() == "the tables match the models"
    assert [each.verdict for each in (unversioned, report_of(live, models()))] == [Verdict.READY] * 2


def test_a_database_without_anything_is_empty(live: Live) -> None:
    report = report_of(live, models())

    assert report.verdict is Verdict.EMPTY
    assert report.summary() == "3 tables missing: t0, t1, t2 (run the migrations)"


def test_a_stamp_without_tables_is_called_stamped_but_empty(live: Live) -> None:
    live.execute(VERSION_TABLE, STAMP)
    report = report_of(live, models())

    assert report.verdict is Verdict.STAMPED_BUT_EMPTY
    assert report.revisions == ("3f2a9c",)
    assert report.summary() == (
        "3 tables missing: t0, t1, t2 (the version table says 3f2a9c, but nothing is there:"
        " stamp base, then run the migrations)"
    )


def test_a_version_table_without_a_row_is_no_stamp(live: Live) -> None:
    live.execute(VERSION_TABLE)
    report = report_of(live, models())

    assert (report.verdict, report.revisions) == (Verdict.VERSION_EMPTY, ())


def test_a_version_table_of_another_name_is_read_and_is_no_extra_table(live: Live) -> None:
    live.execute(VERSION_TABLE.replace("alembic_version", "our_version"))
    live.execute(STAMP.replace("alembic_version", "our_version"))

    assert report_of(live, models(), version_table="our_version").verdict is Verdict.STAMPED_BUT_EMPTY
    live.run(models().create_all)
    assert report_of(live, models(), version_table="our_version").true


def test_a_version_table_in_a_schema_of_its_own_is_read(postgres: Live) -> None:
    postgres.execute("CREATE SCHEMA ops", VERSION_TABLE.replace("alembic", "ops.alembic"))
    postgres.execute(STAMP.replace("alembic", "ops.alembic"))

    assert report_of(postgres, models(), version_table="ops.alembic_version").revisions == ("3f2a9c",)
    assert report_of(postgres, models()).verdict is Verdict.EMPTY


def test_some_tables_without_the_others_are_partly_applied(live: Live) -> None:
    live.run(models(1).create_all)
    live.execute(VERSION_TABLE, STAMP)
    report = report_of(live, models(9))

    assert report.verdict is Verdict.PARTLY_APPLIED
    assert report.summary() == "8 tables missing: t1, t2, t3, t4, t5 and 3 more (run the migrations)"


def test_drift_tells_its_first_difference_and_counts_the_rest(live: Live) -> None:
    live.run(models(1).create_all)
    live.execute("DROP INDEX ix_t0_at", "ALTER TABLE t0 ADD COLUMN one INTEGER")
    report = report_of(live, models(1))

    assert report.verdict is Verdict.DRIFT
    assert report.summary() == (
        "column t0.one is in the database, not in the models, and 1 more difference"
        " (run the migrations, or write the one that is missing)"
    )


def test_a_report_survives_json(live: Live) -> None:
    report = report_of(live, models(1))

    assert json.loads(json.dumps(report.as_dict())) == {
        "verdict": "empty",
        "true": False,
        "summary": "1 table missing: t0 (run the migrations)",
        "revisions": [],
        "differences": [
            {"kind": "table-missing", "table": "t0", "name": "t0", "sentence": "table t0 is missing"}
        ],
    }


def test_tables_in_another_schema_are_told_with_the_search_path(postgres: Live) -> None:
    postgres.execute("CREATE SCHEMA tenant", "SET LOCAL search_path TO tenant")
    postgres.run(models().create_all)
    assert report_of(postgres, models()).true
    postgres.execute("SET LOCAL search_path TO public", VERSION_TABLE, STAMP)
    report = report_of(postgres, models())

    assert report.verdict is Verdict.WRONG_SCHEMA
    assert report.summary() == (
        "3 tables missing: t0, t1, t2"
        " (tables of that name are in schema tenant, which search_path public does not reach)"
    )


def test_one_namesake_in_another_schema_does_not_make_it_the_wrong_one(postgres: Live) -> None:
    postgres.execute("CREATE SCHEMA auth", "CREATE TABLE auth.t0 (id int)")

    assert report_of(postgres, models()).verdict is Verdict.EMPTY


def test_a_search_path_that_leads_nowhere_is_said(postgres: Live) -> None:
    postgres.execute("SET LOCAL search_path TO nowhere")
    report = report_of(postgres, models(1))

    assert report.verdict is Verdict.WRONG_SCHEMA
    assert report.summary() == "1 table missing: t0 (search_path nowhere names no schema that exists)"


@pytest.mark.parametrize("schema", ["tenant", "public"])
def test_models_that_name_their_schema_are_looked_for_there(postgres: Live, schema: str) -> None:
    postgres.execute("CREATE SCHEMA IF NOT EXISTS tenant")
    empty = report_of(postgres, models(schema=schema))
    postgres.run(models(schema=schema).create_all)

    assert [each.name for each in empty.differences] == [f"{schema}.t{number}" for number in range(3)]
    assert report_of(postgres, models(schema=schema)).differences == ()


def test_models_that_name_the_default_schema_here_and_there_mean_one_schema(postgres: Live) -> None:
    mixed = models()
    Table("named", mixed, Column("id", Integer, primary_key=True), schema="public")
    postgres.run(mixed.create_all)

    assert report_of(postgres, mixed).differences == ()


def test_an_attached_file_of_sqlite_serves_as_a_schema(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/main.db", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql("ATTACH DATABASE ? AS side", (f"{tmp_path}/side.db",))
        assert compare(connection, models(schema="side")).verdict is Verdict.EMPTY
        models(schema="side").create_all(connection)
        assert compare(connection, models(schema="side")).differences == ()


def test_models_that_were_never_imported_are_an_error_and_not_a_match(live: Live) -> None:
    with pytest.raises(ValueError, match="import the modules that declare the models"):
        report_of(live, sa.MetaData())


class DuckDialect(SQLiteDialect_pysqlite):
    """Another vendor's dialect, as such packages register theirs."""

    name = "duck"
    supports_statement_cache = True


def test_a_database_it_cannot_read_is_refused_by_name() -> None:
    registry.register("duck", __name__, "DuckDialect")
    with (
        sa.create_engine("duck://", poolclass=sa.NullPool).connect() as connection,
        pytest.raises(UnsupportedDatabaseError, match="PostgreSQL and SQLite, not duck"),
    ):
        compare(connection, models())


def test_the_connection_is_left_as_it_was_found(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/live.db", poolclass=sa.NullPool)
    with engine.connect() as connection:
        compare(connection, models())
        assert not connection.in_transaction()
        connection.begin()
        models().create_all(connection)
        compare(connection, models())
        assert connection.in_transaction()
        connection.commit()
        assert compare(connection, models()).true


def test_the_number_of_queries_does_not_grow_with_the_schema(live: Live) -> None:
    def counted(connection: sa.Connection, metadata: sa.MetaData) -> int:
        statements: list[str] = []

        def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            statements.append(statement)

        sa.event.listen(connection, "before_cursor_execute", note)
        assert compare(connection, metadata).true
        sa.event.remove(connection, "before_cursor_execute", note)
        return len(statements)

    live.run(models(2).create_all)
    few = live.run(lambda connection: counted(connection, models(2)))
    live.run(models(50).create_all)

    assert live.run(lambda connection: counted(connection, models(50))) == few <= 5


def test_a_table_made_while_it_looks_is_no_error(live: Live, tmp_path: Path, cluster: PrivateCluster) -> None:
    """Readiness is asked while migrations run: between any two queries a table may appear."""
    made = "CREATE TABLE late (id INTEGER PRIMARY KEY, n INTEGER UNIQUE CHECK (n > 0) REFERENCES late (id))"

    def make() -> None:
        if live.dialect == "postgresql":
            cluster.sql(made, "live")
            return
        with closing(sqlite3.connect(tmp_path / "live.db")) as other:
            other.execute(made)

    def compared(connection: sa.Connection) -> Report:
        reads: list[str] = []

        def after(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            reads.append(statement)
            if len(reads) == 2:
                make()

        sa.event.listen(connection, "after_cursor_execute", after)
        report = compare(connection, models(1))
        sa.event.remove(connection, "after_cursor_execute", after)
        return report

    try:
        assert live.run(compared).verdict is Verdict.EMPTY
        assert "late" in {each.table for each in report_of(live, models(1)).differences}
    finally:
        cluster.sql("DROP TABLE IF EXISTS late", "live")


def test_importing_it_does_not_import_alembic() -> None:
    code = "import dbparity.schema, sys; sys.exit('alembic' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
