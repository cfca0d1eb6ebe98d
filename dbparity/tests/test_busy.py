"""Somebody else changes the schema at this moment: said who, without waiting for them."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from migrated import MODELS, Project

from dbparity.schema import Report, Verdict, inspect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dbparity.testing.postgres import PrivateCluster

SOON_SECONDS = 3.0
LOCK = 0x6462_7061_7269_7479


@pytest.fixture(scope="module")
def lent(cluster: PrivateCluster) -> Iterator[str]:
    with cluster.database() as url:
        yield url.replace("+asyncpg", "+psycopg")


@pytest.fixture
def postgres(lent: str, tmp_path: Path) -> Project:
    return Project(tmp_path, lent).cleared().usual()


@pytest.fixture
def sqlite(tmp_path: Path) -> Project:
    return Project(tmp_path, f"sqlite:///{tmp_path}/shop.db").usual()


def report_of(project: Project, **options: object) -> Report:
    started = time.monotonic()
    with project.connection() as connection:
        report = inspect(connection, MODELS, project.ini, **options)  # type: ignore[arg-type]
    assert time.monotonic() - started < SOON_SECONDS
    return report


@contextlib.contextmanager
def meanwhile(project: Project, *statements: str) -> Iterator[int]:
    """Somebody else has run these, and not committed; their process."""
    with project.connection() as other:
        for statement in statements:
            other.exec_driver_sql(statement)
        yield other.scalar(sa.text("SELECT pg_backend_pid()")) or 0
        other.rollback()


def test_tables_that_are_not_committed_yet_are_somebodys_migration(postgres: Project) -> None:
    with meanwhile(postgres, "CREATE TABLE users (id int)") as pid:
        report = report_of(postgres)

    assert report.verdict is Verdict.BUSY
    assert f"process {pid} has made 1 table or index that is not committed" in report.hint
    assert "in a transaction begun 20" in report.hint
    assert "its last statement was: SELECT pg_backend_pid()" in report.hint
    assert f"SELECT pg_terminate_backend({pid});" in str(report.remedy)
    assert report_of(postgres).verdict is Verdict.EMPTY


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE alembic_version SET version_num = 'r3'", "is writing the version table"),
        ("ALTER TABLE alembic_version ADD COLUMN x int", "is writing the version table"),
        ("DROP TABLE alembic_version", "is writing the version table"),
        ("ALTER TABLE users ADD COLUMN x int", "holds a lock on users"),
        ("CREATE INDEX ON posts (author)", "holds a lock on posts"),
        ("DROP TABLE posts, users", "holds a lock on posts, users"),
    ],
)
def test_a_change_of_what_is_there_makes_even_a_sound_schema_busy(
    postgres: Project, statement: str, said: str
) -> None:
    postgres.alembic("upgrade head")
    with meanwhile(postgres, statement) as pid:
        report = report_of(postgres)

    assert report.verdict is Verdict.BUSY
    assert f"process {pid} {said}" in report.hint
    assert report_of(postgres).true


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO users VALUES (1, 'Ada')",
        "SELECT * FROM users FOR UPDATE",
        "SELECT * FROM alembic_version",
        "CREATE TEMPORARY TABLE scratch (id int)",
        "SELECT pg_advisory_lock(1)",
    ],
)
def test_people_who_work_with_a_sound_schema_do_not_make_it_busy(postgres: Project, statement: str) -> None:
    postgres.alembic("upgrade head")
    with meanwhile(postgres, statement):
        assert report_of(postgres, build_locks=[LOCK]).true


def test_a_builder_is_known_by_its_lock_and_one_of_the_callers_own_is_no_news(postgres: Project) -> None:
    with meanwhile(postgres, f"SELECT pg_advisory_lock({LOCK})") as pid:
        report = report_of(postgres, build_locks=[LOCK])
        own = report_of(postgres, build_locks=[LOCK], own_backends=[pid])
        unknown = report_of(postgres)

    assert report.verdict is Verdict.BUSY
    assert f"process {pid} holds the lock of those who build the schema" in report.hint
    assert [own.verdict, unknown.verdict] == [Verdict.EMPTY] * 2


def test_a_password_in_somebodys_statement_is_not_repeated(
    postgres: Project, cluster: PrivateCluster
) -> None:
    with postgres.connection() as other:
        other.exec_driver_sql("CREATE TABLE posts (id int)")
        other.exec_driver_sql("CREATE ROLE ada PASSWORD 'hunter2'")
        report = report_of(postgres)
        other.rollback()

    assert "CREATE ROLE ada PASSWORD '***'" in " ".join(report.render().split())
    assert "hunter2" not in report.render() + str(report.as_dict())


def test_a_borrowed_transaction_is_usable_after_a_busy_report(postgres: Project) -> None:
    postgres.alembic("upgrade head")
    with (
        meanwhile(postgres, "LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE"),
        postgres.connection() as mine,
    ):
        mine.exec_driver_sql("INSERT INTO users VALUES (1, 'Ada')")
        report = inspect(mine, MODELS, postgres.ini)
        assert mine.exec_driver_sql("SELECT name FROM users").scalars().all() == ["Ada"]

    assert report.verdict is Verdict.BUSY


def test_a_lock_that_is_taken_between_looking_and_reading_is_not_waited_for(postgres: Project) -> None:
    postgres.alembic("upgrade head")
    with postgres.connection() as other, postgres.connection() as mine:

        def lock(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            if "pg_locks" in statement:
                other.exec_driver_sql("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")

        sa.event.listen(mine, "after_cursor_execute", lock)
        mine.begin()
        mine.exec_driver_sql("INSERT INTO users VALUES (1, 'Ada')")
        started = time.monotonic()
        report = inspect(mine, MODELS, postgres.ini)
        assert time.monotonic() - started < SOON_SECONDS
        assert mine.exec_driver_sql("SELECT name FROM users").scalars().all() == ["Ada"]
        other.rollback()

    assert report.verdict is Verdict.BUSY
    assert "a lock was waited for" in report.hint


def test_a_migration_that_commits_while_it_looks_is_not_taken_for_a_false_state(postgres: Project) -> None:
    """Else: no tables at the first query, a stamp at the second, and the verdict stamped-but-empty."""
    reads: list[str] = []

    def migrate(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        reads.append(statement)
        if "pg_attribute" in statement and len(reads) < 8:
            postgres.alembic("upgrade head")

    with postgres.connection() as connection:
        sa.event.listen(connection, "after_cursor_execute", migrate)
        report = inspect(connection, MODELS, postgres.ini)

    assert report.verdict is Verdict.READY, report.render()


@pytest.mark.parametrize("mode", ["IMMEDIATE", "EXCLUSIVE"])
@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_a_file_that_somebody_is_writing_is_busy(sqlite: Project, mode: str, journal: str) -> None:
    with contextlib.closing(sqlite3.connect(sqlite.folder / "shop.db", isolation_level=None)) as other:
        other.execute(f"PRAGMA journal_mode = {journal}")
        other.execute(f"BEGIN {mode}")
        other.execute("CREATE TABLE users (id INTEGER)")
        report = report_of(sqlite)
        other.execute("ROLLBACK")

    assert report.verdict is Verdict.BUSY, report.render()
    assert f"process {os.getpid()} is writing" in report.hint
    assert report_of(sqlite).verdict is Verdict.EMPTY


def test_asking_whether_a_file_is_written_leaves_it_alone(sqlite: Project) -> None:
    sqlite.execute("CREATE TABLE others (id INTEGER)")
    file = sqlite.folder / "shop.db"
    before = (file.read_bytes(), file.stat().st_mtime_ns)

    assert report_of(sqlite).verdict is Verdict.EMPTY
    assert (file.read_bytes(), file.stat().st_mtime_ns) == before
    assert not list(sqlite.folder.glob("shop.db-*"))


def test_what_this_connection_itself_writes_does_not_make_it_busy(sqlite: Project) -> None:
    sqlite.execute("CREATE TABLE others (id INTEGER)")
    with sqlite.connection() as connection:
        connection.exec_driver_sql("INSERT INTO others VALUES (1)")
        assert inspect(connection, MODELS, sqlite.ini).verdict is Verdict.EMPTY
