"""The ways that lead to another database, another schema or a template, and the one that takes several at once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from migrated import CONFIGURE, MODELS, SYNC, TESTS, USERS_AND_POSTS, Project

from dbparity.schema import Report, Verdict, inspect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import sqlalchemy as sa

    from dbparity.testing.postgres import PrivateCluster

DEADLINE_SECONDS = 30.0
BY_VARIABLE = SYNC.replace(
    'config.get_main_option("sqlalchemy.url"), pool', 'os.environ["SHOP_DATABASE"], pool'
)
BY_VARIABLE = BY_VARIABLE.replace("\nfrom alembic", "\nimport os\n\nfrom alembic", 1)
LEADING_ELSEWHERE = SYNC.replace(
    CONFIGURE,
    '        connection.execute(text("SET search_path TO tenant"))\n        connection.commit()\n'
    '        context.configure(connection=connection, target_metadata=MODELS, version_table_schema="public")\n',
)
# Made its tables, and holds them until somebody lets the lock go.
WAITING = f'{USERS_AND_POSTS}\n    op.execute("SELECT pg_advisory_xact_lock(16)")'


@pytest.fixture
def project(cluster: PrivateCluster, tmp_path: Path) -> Iterator[Project]:
    with cluster.database() as url:
        yield Project(tmp_path, url.replace("+asyncpg", "+psycopg"))


def report_of(project: Project, **options: object) -> Report:
    with project.connection() as connection:
        return inspect(connection, MODELS, project.ini, **options)  # type: ignore[arg-type]


def way_of(report: Report) -> int:
    assert report.way is not None
    return report.way.number


def test_way_11_the_ini_names_another_database(project: Project, cluster: PrivateCluster) -> None:
    with cluster.database() as other:
        project.write_ini(other)
        project.write_ini(other.replace("+asyncpg", "+psycopg"))
        project.usual().alembic("upgrade head")
        report = report_of(project)

    assert (report.verdict, way_of(report)) == (Verdict.WRONG_SCHEMA, 11)
    assert other.rpartition("/")[2] in report.way.evidence[0]  # type: ignore[union-attr]
    assert report.way.evidence[0].startswith("alembic.ini names postgresql+psycopg://postgres:***@")  # type: ignore[union-attr]
    assert cluster.password not in report.render() + str(report.as_dict())
    project.write_ini(project.url)
    project.obey(report.remedy.commands)  # type: ignore[union-attr]
    assert report_of(project).true


def test_way_11_a_variable_that_env_py_reads_names_another_database(
    project: Project, cluster: PrivateCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.usual().write_env(BY_VARIABLE)
    with cluster.database() as other:
        monkeypatch.setenv("SHOP_DATABASE", other.replace("+asyncpg", "+psycopg"))
        project.alembic("upgrade head")
        report = report_of(project)
    monkeypatch.setenv("SHOP_DATABASE", project.url)
    project.alembic("upgrade head")

    assert (report.verdict, way_of(report)) == (Verdict.WRONG_SCHEMA, 11)
    assert "env.py line 21, by SHOP_DATABASE, names" in report.hint
    assert report_of(project).true


def test_the_same_database_by_another_spelling_of_its_url_is_no_other(project: Project) -> None:
    project.usual().write_ini(project.url.replace("+psycopg", "+asyncpg").replace("127.0.0.1", "localhost"))

    assert report_of(project).verdict is Verdict.EMPTY
    assert report_of(project).evidence == ()


def test_a_url_that_the_caller_says_the_migrations_go_to_is_believed(project: Project) -> None:
    project.usual().write_ini("postgresql://localhost/elsewhere")

    assert report_of(project).verdict is Verdict.WRONG_SCHEMA
    assert report_of(project, migrations_url=project.url).verdict is Verdict.EMPTY


def test_a_url_that_was_never_filled_in_names_nothing(project: Project) -> None:
    project.usual().write_ini("driver://user:pass@localhost/dbname")

    assert report_of(project).verdict is Verdict.EMPTY


def test_way_12_tables_and_version_table_in_different_schemas(project: Project) -> None:
    project.execute("CREATE SCHEMA tenant")
    project.usual().write_env(LEADING_ELSEWHERE)
    project.alembic("upgrade head")
    report = report_of(project)

    assert (report.verdict, way_of(report)) == (Verdict.WRONG_SCHEMA, 12)
    evidence = "\n".join(report.way.evidence)  # type: ignore[union-attr]
    assert "tables of that name are in schema tenant" in evidence
    assert "this connection reads alembic_version: r2" in evidence
    assert "env.py line 23: version_table_schema is 'public'" in evidence
    project.obey(report.remedy.commands)  # type: ignore[union-attr]
    assert report_of(project).true


def test_way_12_the_other_way_round_names_the_schema_of_the_version_table(project: Project) -> None:
    project.execute("CREATE SCHEMA ops")
    project.usual().write_env(SYNC.replace(
        "connection=connection,", 'connection=connection, version_table_schema="ops",'
    ))  # fmt: skip
    project.alembic("upgrade head")
    report = report_of(project)

    assert (report.verdict, way_of(report)) == (Verdict.UNVERSIONED, 12)
    assert 'version_table to "ops.alembic_version"' in str(report.remedy)
    assert report_of(project, version_table="ops.alembic_version").true


def test_way_13_a_version_table_that_every_new_database_is_born_with(
    cluster: PrivateCluster, tmp_path: Path
) -> None:
    template = Project(tmp_path, cluster.url("template1", "psycopg")).usual()
    try:
        template.alembic("stamp head")
        with cluster.database() as url:
            born = Project(tmp_path, url.replace("+asyncpg", "+psycopg"))
            report = report_of(born)
            born.obey(report.remedy.commands)  # type: ignore[union-attr]
            mended = report_of(born)
    finally:
        template.execute("DROP TABLE IF EXISTS alembic_version")
    with cluster.database() as url:
        sound = Project(tmp_path, url.replace("+asyncpg", "+psycopg"))
        sound.alembic("upgrade head")

        assert report_of(sound).true
    assert (report.verdict, way_of(report)) == (Verdict.STAMPED_BUT_EMPTY, 13)
    assert "older than this database" in report.way.evidence[0]  # type: ignore[union-attr]
    assert "DROP TABLE alembic_version;" in report.remedy.first  # type: ignore[union-attr]
    assert mended.true


def upgrading(project: Project) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=project.folder, env=environment, stderr=pipe, stdout=pipe, text=True)


def eventually(connection: sa.Connection, condition: Callable[[Report], bool], project: Project) -> Report:
    deadline = time.monotonic() + DEADLINE_SECONDS
    report = inspect(connection, MODELS, project.ini)
    while not condition(report) and time.monotonic() < deadline:
        report = inspect(connection, MODELS, project.ini)
    return report


def test_way_16_three_upgrades_at_once(project: Project) -> None:
    project.revision("r1", WAITING)
    with project.connection() as holder:
        holder.exec_driver_sql("SELECT pg_advisory_lock(16)")
        holder.commit()
        upgrades = [upgrading(project) for _ in range(3)]
        try:
            with project.connection() as connection:
                report = eventually(connection, all_wait, project)
                holder.exec_driver_sql("SELECT pg_advisory_unlock(16)")
                for each in upgrades:
                    each.communicate(timeout=DEADLINE_SECONDS)
                ended = [each.returncode for each in upgrades]
                after = inspect(connection, MODELS, project.ini)
        finally:
            for each in upgrades:
                each.kill()

    assert (report.verdict, way_of(report)) == (Verdict.BUSY, 16)
    assert "has made " in ways_evidence(report)[0]
    assert "it is running: SELECT pg_advisory_xact_lock(16)" in ways_evidence(report)[0]
    assert all("waits for it: CREATE TABLE alembic_version" in each for each in ways_evidence(report)[1:]), (
        report.way
    )
    assert sorted(ended) == [0, 1, 1]
    assert after.true


def all_wait(report: Report) -> bool:
    evidence = ways_evidence(report)
    # What a session runs and whom it waits for are not read at one instant: look until both are of one.
    return (
        len(evidence) == 3
        and "pg_advisory_xact_lock" in evidence[0]
        and all("CREATE TABLE alembic_version" in each for each in evidence[1:])
    )


def ways_evidence(report: Report) -> tuple[str, ...]:
    return report.way.evidence if report.way and report.verdict is Verdict.BUSY else ()
