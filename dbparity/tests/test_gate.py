"""The gate before the first test: what it builds, what it mends, what it refuses, and in which words."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from emptied_database import emptied
from gates import execute, migrating, project_at, tables
from migrated import MODELS, POSTS, USERS, Project
from sqlalchemy.engine import make_url

from dbparity.config import Config, Schema
from dbparity.provision.gate import Did, GateError, ensure_database, open_gate
from dbparity.provision.patience import Patience
from dbparity.schema import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dbparity.testing.postgres import PrivateCluster

QUICK = Patience(lock=0.5, busy=0.5, table=0.5)


@pytest.fixture(params=["sqlite", "postgresql+psycopg", "postgresql+asyncpg"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    driver: str = request.param
    if driver.startswith("sqlite"):
        return f"{driver}:///{tmp_path / 'app.db'}"
    return emptied(request.getfixturevalue("shared")).replace("postgresql+asyncpg", driver)


@pytest.fixture
def plain(cluster: PrivateCluster) -> Iterator[str]:
    """A database that nothing says is for tests, of a user who may not know where the server's files are."""
    name = f"shop_{secrets.token_hex(4)}"
    cluster.sql(f"CREATE ROLE {name} LOGIN PASSWORD 'open'")
    cluster.sql(f"CREATE DATABASE {name} OWNER {name}")
    yield (
        make_url(cluster.url(name)).set(username=name, password="open").render_as_string(hide_password=False)
    )
    cluster.drop_database(name)
    cluster.sql(f"DROP ROLE {name}")


def test_an_empty_database_is_migrated_and_then_found(url: str, tmp_path: Path) -> None:
    project_at(url, tmp_path)
    built = open_gate(url, MODELS, migrating(tmp_path))
    assert built.did is Did.BUILT
    assert "migrated to r2 (2 revisions in alembic.ini)" in built.line
    assert tables(url) == {"alembic_version", "users", "posts"}
    found = open_gate(url, MODELS, migrating(tmp_path))
    assert found.did is Did.FOUND
    assert "2 tables as the models say, at r2" in found.line


def test_an_empty_database_is_created_from_the_models_and_then_found(url: str, tmp_path: Path) -> None:
    config = Config(root=tmp_path, schema=Schema.CREATE)
    assert "created 2 tables from the models" in open_gate(url, MODELS, config).line
    assert open_gate(url, MODELS, config).did is Did.FOUND
    assert tables(url) == {"users", "posts"}


def test_a_stamp_without_tables_is_mended_on_a_disposable_database(url: str, tmp_path: Path) -> None:
    project_at(url, tmp_path)
    open_gate(url, MODELS, migrating(tmp_path))
    execute(url, "DROP TABLE posts", "DROP TABLE users")
    mended = open_gate(url, MODELS, migrating(tmp_path))
    assert mended.did is Did.MENDED
    assert "was stamped-but-empty" in mended.line
    assert "dropped 1 table because" in mended.line
    assert tables(url) == {"alembic_version", "users", "posts"}


def test_a_stamp_without_tables_is_refused_where_the_database_is_not_known_to_be_disposable(
    plain: str, tmp_path: Path
) -> None:
    project = project_at(plain, tmp_path)
    project.write_ini(project.url)
    project.alembic("stamp head")
    with pytest.raises(GateError) as refused:
        open_gate(plain, MODELS, migrating(tmp_path))
    assert refused.value.report
    assert refused.value.report.verdict is Verdict.STAMPED_BUT_EMPTY
    assert "stamped-but-empty" in str(refused.value)
    assert "does not say that it is for tests (disposable = true in [tool.dbparity] would say so)" in str(
        refused.value
    )
    assert tables(plain) == {"alembic_version"}
    assert open_gate(plain, MODELS, migrating(tmp_path, disposable=True)).did is Did.MENDED


def test_tables_with_rows_are_dropped_only_if_the_project_has_said_so(url: str, tmp_path: Path) -> None:
    project_at(url, tmp_path)
    open_gate(url, MODELS, migrating(tmp_path))
    execute(url, "INSERT INTO users VALUES (1, 'ada')", "DROP TABLE posts")
    with pytest.raises(
        GateError, match=r"not mended by building it anew: tables hold rows \((public\.|main\.)?users\)"
    ):
        open_gate(url, MODELS, migrating(tmp_path))
    assert "users" in tables(url)
    mended = open_gate(url, MODELS, migrating(tmp_path, disposable=True))
    assert "[tool.dbparity] says disposable = true" in mended.line
    assert tables(url) == {"alembic_version", "users", "posts"}


@pytest.mark.parametrize(
    ("false", "verdict"),
    [
        (("DELETE FROM alembic_version",), "unversioned"),
        (("UPDATE alembic_version SET version_num = 'gone'",), "unknown-revision"),
        (("DROP TABLE posts",), "partly-applied"),
        (("ALTER TABLE users ADD COLUMN age INTEGER NOT NULL",), "drift"),
    ],
)
def test_other_false_states_are_mended_too(
    lent: str, tmp_path: Path, false: tuple[str, ...], verdict: str
) -> None:
    project_at(lent, tmp_path)
    open_gate(lent, MODELS, migrating(tmp_path))
    execute(lent, *false)
    mended = open_gate(lent, MODELS, migrating(tmp_path))
    assert mended.did is Did.MENDED
    assert f"was {verdict}" in mended.line
    assert mended.report.true


def test_what_is_pending_is_applied_without_dropping_anything(url: str, tmp_path: Path) -> None:
    project = project_at(url, tmp_path)
    later = project.versions / "r2.py"
    text = later.read_text()
    later.unlink()
    open_gate(url, _first(), migrating(tmp_path))
    execute(url, "INSERT INTO users VALUES (1, 'ada')")
    later.write_text(text)
    assert open_gate(url, MODELS, migrating(tmp_path)).did is Did.BUILT
    assert tables(url) == {"alembic_version", "users", "posts"}


def _first() -> sa.MetaData:
    users = sa.MetaData()
    MODELS.tables["users"].to_metadata(users)
    return users


def test_verify_builds_nothing(url: str, tmp_path: Path) -> None:
    project_at(url, tmp_path)
    if url.startswith("sqlite"):
        (tmp_path / "app.db").touch()
    with pytest.raises(GateError, match=r'(?s)^empty: .*Nothing was built: schema = "verify"\.'):
        open_gate(url, MODELS, migrating(tmp_path, schema=Schema.VERIFY))
    assert tables(url) == set()
    open_gate(url, MODELS, migrating(tmp_path))
    assert open_gate(url, MODELS, migrating(tmp_path, schema=Schema.VERIFY)).did is Did.FOUND


def test_a_build_that_makes_no_tables_is_not_taken_for_one(lent: str, tmp_path: Path) -> None:
    project = project_at(lent, tmp_path)
    project.revision("r1", "pass")
    project.revision("r2", "pass", "r1")
    with pytest.raises(GateError) as refused:
        open_gate(lent, MODELS, migrating(tmp_path))
    assert refused.value.report
    assert refused.value.report.verdict is Verdict.EMPTY_MIGRATION
    assert "after the build, which reported success" in str(refused.value)


def test_models_that_no_migration_makes_are_reported_after_the_build(lent: str, tmp_path: Path) -> None:
    project_at(lent, tmp_path)
    more = sa.MetaData()
    for table in MODELS.tables.values():
        table.to_metadata(more)
    sa.Table("tags", more, sa.Column("id", sa.Integer, primary_key=True))
    with pytest.raises(GateError, match="table tags is missing"):
        open_gate(lent, more, migrating(tmp_path))


def test_tables_of_others_beside_the_models_are_no_reason_to_stop(lent: str, tmp_path: Path) -> None:
    project_at(lent, tmp_path)
    open_gate(lent, MODELS, migrating(tmp_path))
    execute(lent, "CREATE TABLE jobs (id integer)")
    assert open_gate(lent, MODELS, migrating(tmp_path)).did is Did.FOUND
    assert "jobs" in tables(lent)


def test_what_an_earlier_schema_left_does_not_stop_the_build(lent: str, tmp_path: Path) -> None:
    project = project_at(lent, tmp_path)
    made = "op.execute(\"CREATE TYPE colour AS ENUM ('red')\")"
    project.revision("r1", f"{made}\n    {USERS}")
    execute(lent, "CREATE TYPE colour AS ENUM ('red')")
    mended = open_gate(lent, MODELS, migrating(tmp_path))
    assert mended.did is Did.MENDED
    assert "something was left of an earlier schema" in mended.line


def test_leftovers_with_rows_are_left_where_they_are(lent: str, tmp_path: Path) -> None:
    project = project_at(lent, tmp_path)
    project.revision("r1", f'op.execute("CREATE TABLE jobs (id integer)")\n    {USERS}')
    execute(lent, "CREATE TABLE jobs (id integer)", "INSERT INTO jobs VALUES (1)")
    with pytest.raises(
        GateError, match=r'(?s)^The migrations failed at .*r1\.py:\d+: .*"jobs" already exists'
    ):
        open_gate(lent, MODELS, migrating(tmp_path))
    assert tables(lent) == {"jobs"}


def test_a_migration_that_fails_is_told_with_its_line_and_what_it_left(lent: str, tmp_path: Path) -> None:
    project_at(lent, tmp_path).revision("r2", f'{POSTS}\n    op.execute("SELECT no_such_column")', "r1")
    with pytest.raises(GateError) as failed:
        open_gate(lent, MODELS, migrating(tmp_path))
    message = str(failed.value)
    assert "r2.py:" in message
    assert 'column "no_such_column" does not exist' in message
    assert "Running upgrade r1 -> r2" in message
    assert "That left the database so:\nempty" in message


def test_a_missing_database_is_made_if_it_is_for_tests(cluster: PrivateCluster, tmp_path: Path) -> None:
    url = cluster.url(f"test_{secrets.token_hex(4)}")
    project_at(url, tmp_path)
    with pytest.raises(
        GateError, match=r'There is no database test_\w+ on 127.0.0.1:\d+. It was not made: schema = "verify"'
    ):
        open_gate(url, MODELS, migrating(tmp_path, schema=Schema.VERIFY))
    made = open_gate(url, MODELS, migrating(tmp_path))
    cluster.drop_database(str(make_url(url).database))
    assert made.did is Did.BUILT
    assert "made the database; migrated" in made.line


def test_a_missing_database_can_be_made_before_the_gate(cluster: PrivateCluster, tmp_path: Path) -> None:
    url = cluster.url(f"test_{secrets.token_hex(4)}")
    config = Config(root=tmp_path, schema=Schema.CREATE)
    assert ensure_database(url, config)
    assert not ensure_database(url, config)
    assert open_gate(url, MODELS, config).did is Did.BUILT
    cluster.drop_database(str(make_url(url).database))
    with pytest.raises(GateError, match=r"^No connection to localhost:1/shop"):
        ensure_database("postgresql+psycopg://127.0.0.1:1/shop", config)
    assert not ensure_database("sqlite://", config)
    assert ensure_database(f"sqlite:///{tmp_path}/app.db", config)
    assert not ensure_database(f"sqlite:///{tmp_path}/app.db", config)


def test_a_database_that_is_born_with_a_stamp_is_mended(cluster: PrivateCluster, tmp_path: Path) -> None:
    with cluster.database() as template:
        project_at(template, tmp_path)
        execute(template, "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        execute(template, "INSERT INTO alembic_version VALUES ('r2')")
        with cluster.database(template=make_url(template).database) as url:
            mended = open_gate(url, MODELS, migrating(tmp_path))
            assert mended.did is Did.MENDED
            assert "was stamped-but-empty" in mended.line


@pytest.mark.parametrize(
    ("wrong", "verdict"),
    [
        (
            lambda project: project.write_env(
                project.env.replace("with context.begin_transaction()", "if True")
            ),
            "empty",
        ),
        (lambda project: [each.unlink() for each in project.versions.glob("*.py")], "version-empty"),
        (
            lambda project: project.revision("r1", f'if os.getenv("SHOP_CI"):\n        {USERS}'),
            "partly-applied",
        ),
    ],
    ids=["way 5: no transaction", "way 8: no revisions", "way 10: a guarded body"],
)
def test_migrations_that_report_success_and_make_nothing_are_found_out(
    lent: str, tmp_path: Path, wrong: Callable[[Project], object], verdict: str
) -> None:
    project = project_at(lent, tmp_path)
    project.revision("r2", POSTS.replace(', sa.ForeignKey("users.id")', ""), "r1")
    wrong(project)
    with pytest.raises(GateError, match=r"after the build, which reported success") as refused:
        open_gate(lent, MODELS, migrating(tmp_path))
    assert refused.value.report
    assert refused.value.report.verdict == verdict
