"""The gate as a run of pytest meets it: no test on a false schema, and words instead of a traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from inner import QUICK
from migrated import MODELS, Project

if TYPE_CHECKING:
    from pathlib import Path

    from dbparity.testing.postgres import PrivateCluster

CONFIGURED = """
[tool.pytest.ini_options]
filterwarnings = ["error"]

[tool.dbparity]
metadata = "migrated:MODELS"
migrations = "alembic.ini"
"""
UNASKING = """
def test_asks_for_nothing():
    pass
"""
STOPPED = 3
USAGE = 4


def written(folder: Path, url: str, *lines: str) -> Project:
    """A project with migrations and one test that asks for no fixture."""
    (folder / "pyproject.toml").write_text("\n".join([CONFIGURED, f'database_url = "{url}"', *lines]))
    (folder / "test_it.py").write_text(UNASKING)
    return Project(folder, url).usual()


def stamped_and_emptied(project: Project) -> Project:
    """What a suite's `drop_all` leaves: the stamp of a schema that is gone."""
    project.alembic("upgrade head")
    with project.connection() as connection:
        MODELS.drop_all(connection)
        connection.commit()
    return project


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess(*QUICK, *arguments)


@pytest.fixture
def file(pytester: pytest.Pytester) -> str:
    return f"sqlite:///{pytester.path}/shop_test.db"


def test_a_stamped_empty_database_stops_the_run_before_its_first_test(
    pytester: pytest.Pytester, file: str
) -> None:
    stamped_and_emptied(written(pytester.path, file, 'schema = "verify"'))
    result = run(pytester)
    assert result.ret == STOPPED
    result.assert_outcomes()
    result.stdout.fnmatch_lines(
        [
            "*dbparity: nothing was run.",
            "stamped-but-empty: alembic_version says r2, and not one table of the models is there",
            "*way 2: the tables were dropped afterwards (metadata.drop_all()*",
            "*2 tables were dropped in this database",
            "*mend *alembic stamp --purge base",
            "*alembic upgrade head",
            'Nothing was built: schema = "verify".*',
        ]
    )
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_it_is_mended_where_the_database_is_disposable_and_said_once(
    pytester: pytest.Pytester, file: str
) -> None:
    stamped_and_emptied(written(pytester.path, file))
    result = run(pytester)
    result.assert_outcomes(passed=1)
    mended = [line for line in result.outlines if "mended: " in line]
    assert len(mended) == 1
    assert "mended: was stamped-but-empty (" in mended[0]
    assert "dropped 1 table because" in mended[0]
    assert "migrated to r2 (2 revisions in alembic.ini)" in mended[0]


def test_the_same_on_postgresql(pytester: pytest.Pytester, cluster: PrivateCluster) -> None:
    with cluster.database() as lent:
        url = lent.replace("asyncpg", "psycopg")
        project = stamped_and_emptied(written(pytester.path, url, 'schema = "verify"'))
        stopped = run(pytester)
        assert stopped.ret == STOPPED
        stopped.stdout.fnmatch_lines(["stamped-but-empty: *", "*way 2: *", "*2 tables were dropped*"])
        mended = run(pytester, "--dbparity-schema=migrate")
        mended.assert_outcomes(passed=1)
        mended.stdout.fnmatch_lines(["dbparity: *mended: was stamped-but-empty*"])
        with project.connection() as connection:
            assert set(sa.inspect(connection).get_table_names()) == {"alembic_version", "users", "posts"}


@pytest.mark.parametrize(
    ("how", "line"),
    [
        ("migrate", "migrated to r2 (2 revisions in alembic.ini) in * s, in a database that was made for it"),
        ("create", "created 2 tables from the models in * s, in a database that was made for it"),
    ],
)
def test_what_was_built_is_said_once_and_then_found(
    pytester: pytest.Pytester, file: str, how: str, line: str
) -> None:
    written(pytester.path, file, f'schema = "{how}"')
    for expected in (line, "2 tables as the models say*"):
        result = run(pytester)
        result.assert_outcomes(passed=1)
        said = [each for each in result.outlines if each.startswith(f"dbparity: {pytester.path}")]
        assert len(said) == 1
        result.stdout.fnmatch_lines([f"dbparity: {pytester.path}/shop_test.db: {expected}"])


def test_verify_builds_nothing(pytester: pytest.Pytester, file: str) -> None:
    written(pytester.path, file, 'schema = "verify"')
    result = run(pytester)
    assert result.ret == STOPPED
    result.stdout.fnmatch_lines(
        ['There is no file *shop_test.db. It was not made: schema = "verify" makes none.*']
    )
    assert not (pytester.path / "shop_test.db").exists()


def test_a_run_that_only_collects_touches_no_database(pytester: pytest.Pytester, file: str) -> None:
    written(pytester.path, file)
    result = run(pytester, "--collect-only")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*<Function test_asks_for_nothing>"])
    assert not (pytester.path / "shop_test.db").exists()


def test_a_server_that_nobody_can_reach_is_told_in_a_sentence(pytester: pytest.Pytester) -> None:
    written(pytester.path, "postgresql+psycopg://ada:secret@127.0.0.1:1/shop_test")
    result = run(pytester)
    assert result.ret == STOPPED
    result.stdout.fnmatch_lines(["*nothing was run.", "No connection to localhost:1/shop_test as ada: *"])
    said = result.stdout.str() + result.stderr.str()
    assert "Traceback" not in said
    assert "secret" not in said


def test_a_variable_that_is_not_set_stops_the_run_and_is_named(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHOP_DATABASE", raising=False)
    written(pytester.path, "env:SHOP_DATABASE")
    result = run(pytester)
    assert result.ret == STOPPED
    result.stdout.fnmatch_lines(
        [
            "dbparity: database in SHOP_DATABASE, which is not set, schema migrate from alembic.ini, *",
            "The variable SHOP_DATABASE, which database_url in *, is not set. Set it, or *",
        ]
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('isolation = "sandbox"', "isolation is 'sandbox'; it can be savepoint, delete, clone."),
        ('schemas = "migrate"', "has no key 'schemas'. It knows *schema*"),
        ("sessionmaker = 3", "sessionmaker must be a string, and is 3."),
        ("[tool.dbparity.detectors]\nleak = 'loud'", "detectors.leak is 'loud'; it can be off, warn, fail."),
        ("[tool.dbparity.detectors]\nleaks = 'fail'", "has no detector 'leaks'. It knows * leak, *"),
        ("detectors = 'off'", "detectors must be a table, and is 'off'."),
        ("disposable = 'yes'", "disposable must be true or false, and is 'yes'."),
    ],
)
def test_a_configuration_that_cannot_be_read_is_a_usage_error(
    pytester: pytest.Pytester, file: str, line: str, said: str
) -> None:
    written(pytester.path, file, line)
    result = run(pytester)
    assert result.ret == USAGE
    result.stderr.fnmatch_lines([f"ERROR: *{said}"])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_metadata_that_is_not_there_stops_the_run(pytester: pytest.Pytester, file: str) -> None:
    written(pytester.path, file)
    configuration = pytester.path / "pyproject.toml"
    configuration.write_text(configuration.read_text().replace("migrated:MODELS", "migrated:MODEL"))
    result = run(pytester)
    assert result.ret == STOPPED
    result.stdout.fnmatch_lines(["*'migrated:MODEL' cannot be imported: *Write it as module:attribute*"])


def test_a_project_without_a_configuration_is_left_alone(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{pytester.path}/own.db")
    pytester.makepyfile(
        """
        from sqlalchemy.orm import Session

        def test_nothing_is_watched(request):
            from dbparity.plugin.run import run_of
            run = run_of(request.config)
            assert not run.watch.detectors
            assert not run.is_static
            assert Session.__init__.__module__ == "sqlalchemy.orm.session"
        """
    )
    result = run(pytester)
    result.assert_outcomes(passed=1)
    assert "dbparity:" not in result.stdout.str()
    assert not (pytester.path / "own.db").exists()
