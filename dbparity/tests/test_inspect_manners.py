"""How an inspection behaves: what it takes, what it leaves alone, and how its report reads."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic.config import Config
from migrated import MODELS, USERS, Project
from sqlalchemy.ext.asyncio import create_async_engine

from dbparity.schema import MigrationsError, Report, Verdict, inspect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dbparity.testing.postgres import PrivateCluster


@pytest.fixture(scope="module")
def lent(request: pytest.FixtureRequest) -> Iterator[str]:
    """One database for all the tests that do not ask what happened in it before."""
    with request.getfixturevalue("cluster").database() as url:
        yield url.replace("+asyncpg", "+psycopg")


@pytest.fixture(params=["sqlite", "postgresql"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    if request.param == "sqlite":
        return Project(tmp_path, f"sqlite:///{tmp_path}/shop.db")
    return Project(tmp_path, request.getfixturevalue("lent")).cleared()


@pytest.fixture
def postgres(cluster: PrivateCluster, tmp_path: Path) -> Iterator[Project]:
    with cluster.database() as url:
        yield Project(tmp_path, url.replace("+asyncpg", "+psycopg"))


@pytest.fixture
def sqlite(tmp_path: Path) -> Project:
    return Project(tmp_path, f"sqlite:///{tmp_path}/shop.db")


def report_of(project: Project, models: sa.MetaData = MODELS, **options: object) -> Report:
    with project.connection() as connection:
        return inspect(connection, models, project.ini, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["ini", "str", "folder", "project", "config", "toml"])
def test_migrations_may_be_named_in_many_ways(sqlite: Project, form: str) -> None:
    sqlite.usual().alembic("upgrade head")
    migrations = sqlite.folder / "migrations"
    toml = sqlite.folder / "sub" / "pyproject.toml"
    toml.parent.mkdir()
    toml.write_text(f'[tool.alembic]\nscript_location = "{migrations}"\n')
    forms: dict[str, str | Path | Config] = {
        "ini": sqlite.ini,
        "str": str(sqlite.ini),
        "folder": migrations,
        "project": sqlite.folder,
        "config": Config(str(sqlite.ini)),
        "toml": toml,
    }
    path = sys.path.copy()
    with sqlite.connection() as connection:
        report = inspect(connection, MODELS, forms[form])

    assert (report.verdict, report.available) == (Verdict.READY, ("r2",))
    assert sys.path == path


def test_env_py_is_never_run(sqlite: Project) -> None:
    sqlite.usual().alembic("upgrade head")
    sqlite.write_env("raise SystemExit('env.py was run')")
    ready = report_of(sqlite)
    sqlite.execute("DELETE FROM alembic_version")

    assert ready.true
    assert report_of(sqlite).verdict is Verdict.UNVERSIONED


def test_an_ini_of_older_times_causes_no_warning(sqlite: Project) -> None:
    sqlite.usual().alembic("upgrade head")
    sqlite.ini.write_text(sqlite.ini.read_text().replace("path_separator = os\n", ""))

    assert report_of(sqlite).true


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda project: project.ini.unlink(), "there is no .*alembic.ini"),
        (lambda project: project.revision("bad", "this is no Python"), "invalid syntax"),
        (lambda project: project.revision("orphan", "pass", "gone"), "gone"),
        (
            lambda project: (project.versions / "odd.py").write_text("undefined()"),
            "'undefined' is not defined",
        ),
        (lambda project: (project.folder / "migrations").rename(project.folder / "moved"), "doesn't exist"),
    ],
)
def test_migrations_that_cannot_be_read_are_an_error_that_says_why(
    sqlite: Project, fault: object, said: str
) -> None:
    sqlite.usual()
    fault(sqlite)  # type: ignore[operator]

    with pytest.raises(MigrationsError, match=said):
        report_of(sqlite)


def test_models_that_were_never_imported_are_an_error(sqlite: Project) -> None:
    with pytest.raises(ValueError, match="import the modules that declare the models"):
        report_of(sqlite.usual(), sa.MetaData())


def test_a_report_survives_json_and_fits_a_screen(postgres: Project, cluster: PrivateCluster) -> None:
    postgres.usual().alembic("stamp head")
    report = report_of(postgres)
    data = json.loads(json.dumps(report.as_dict()))
    lines = report.render().splitlines()

    assert (data["verdict"], data["applied"], data["available"]) == ("stamped-but-empty", ["r2"], ["r2"])
    assert data["remedy"]["commands"] == ["alembic stamp --purge base", "alembic upgrade head"]
    assert data["way"].startswith("way 1: `alembic stamp`")
    assert lines[0] == (
        "stamped-but-empty: alembic_version says r2, and not one table of the models is there"
    )
    assert "alembic stamp --purge base" in [line.strip().removeprefix("mend").strip() for line in lines]
    assert len(lines) <= 24
    assert max(len(line) for line in lines) <= 120
    assert cluster.password not in report.render()


def test_a_summary_is_one_line_whatever_the_verdict(project: Project) -> None:
    project.usual().alembic("upgrade head")
    assert report_of(project).summary() == "the tables match the models"
    project.execute("DELETE FROM alembic_version")
    assert report_of(project).summary() == "tables of the models are there, and alembic_version says nothing"


def test_an_async_connection_is_inspected_like_any_other(project: Project) -> None:
    project.usual().alembic("upgrade head")
    url = project.url.replace("+psycopg", "+asyncpg").replace("sqlite:", "sqlite+aiosqlite:")

    async def asked() -> list[Report]:
        engine = create_async_engine(url, poolclass=sa.NullPool)
        reports = []
        async with engine.connect() as connection:
            reports.append(await connection.run_sync(inspect, MODELS, project.ini))
            _ = await connection.exec_driver_sql("DELETE FROM alembic_version")
            reports.append(await connection.run_sync(inspect, MODELS, project.ini))
            await connection.rollback()
        await engine.dispose()
        return reports

    assert [each.verdict for each in asyncio.run(asked())] == [Verdict.READY, Verdict.UNVERSIONED]


@pytest.mark.parametrize("autocommit", [False, True])
def test_the_connection_is_left_as_it_was_found(project: Project, *, autocommit: bool) -> None:
    setting = "SHOW lock_timeout" if "postgresql" in project.url else "PRAGMA busy_timeout"
    with project.usual().connection() as connection:
        if autocommit:
            connection.execution_options(isolation_level="AUTOCOMMIT")
        before = connection.exec_driver_sql(setting).scalar()
        connection.rollback()
        inspect(connection, MODELS, project.ini)
        assert not connection.in_transaction()
        connection.begin()
        MODELS.create_all(connection)
        inspect(connection, MODELS, project.ini)
        assert connection.exec_driver_sql(setting).scalar() == before
        connection.commit()
        assert inspect(connection, MODELS).true


def test_the_number_of_queries_does_not_grow_with_the_schema(project: Project) -> None:
    models = sa.MetaData()
    for number in range(50):
        sa.Table(f"t{number}", models, sa.Column("id", sa.Integer, primary_key=True))
    project.revision("r1", USERS)
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    with project.connection() as connection:
        models.create_all(connection)
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('r1')")
        sa.event.listen(connection, "before_cursor_execute", note)
        report = inspect(connection, models, project.ini)

    assert report.true, report.render()
    assert len(statements) <= 15
