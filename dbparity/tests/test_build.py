"""Building by the user's own migrations: whatever env.py is like, in the right database, without a trace here."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from emptied_database import emptied
from migrated import ASYNC, BEGUN, CONFIGURE, MODELS, POSTS, SYNC, Project
from sqlalchemy import create_engine

from dbparity.config import Config, Schema
from dbparity.isolation.routing import RedirectTo, Router
from dbparity.observer import Observer
from dbparity.provision.build import NotBuiltError, build
from dbparity.provision.guarded import BlockedError, OverdueError
from dbparity.provision.leading import WrongDatabaseError
from dbparity.provision.migrating import MigrationFailedError
from dbparity.provision.patience import Patience
from dbparity.targets import identity_of
from dbparity.watch import Watch

if TYPE_CHECKING:
    from pathlib import Path

    from dbparity.testing.postgres import PrivateCluster

FROM_VARIABLE = SYNC.replace(
    'config.get_main_option("sqlalchemy.url")', 'os.environ["SHOP_DATABASE"]'
).replace("from alembic", "import os\n\nfrom alembic", 1)
HANDED_IN = """
from alembic import context
from migrated import MODELS

connectable = context.config.attributes.get("connection")
if connectable is None:
    raise SystemExit("a connection is needed")
context.configure(connection=connectable, target_metadata=MODELS)
with context.begin_transaction():
    context.run_migrations()
"""
HANDED_IN_AS_ENGINE = HANDED_IN.replace(
    """context.configure(connection=connectable, target_metadata=MODELS)
with context.begin_transaction():
    context.run_migrations()
""",
    """with connectable.connect() as connection:
    context.configure(connection=connection, target_metadata=MODELS)
    with context.begin_transaction():
        context.run_migrations()
""",
)
HANDED_IN_WITH_A_STATEMENT = HANDED_IN.replace(
    "context.configure", "connectable.exec_driver_sql('SELECT 1')\ncontext.configure"
)


@pytest.fixture
def lent(lent: str) -> str:
    return lent.replace("asyncpg", "psycopg")


@pytest.fixture(params=["sqlite", "sqlite+aiosqlite", "postgresql+psycopg", "postgresql+asyncpg"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    driver: str = request.param
    if driver.startswith("sqlite"):
        return f"{driver}:///{tmp_path / 'app.db'}"
    return emptied(request.getfixturevalue("shared")).replace("postgresql+asyncpg", driver)


def project(folder: Path, env: str = SYNC) -> Project:
    return Project(folder, "driver://somewhere", env=env).usual()


def migrate(url: str, folder: Path, **options: Any) -> str:
    return build(url, MODELS, folder / "alembic.ini", Schema.MIGRATE, **options)


def tables(url: str) -> set[str]:
    observer = Observer(url, pooled=False)
    try:
        return set(observer.call(lambda connection: sa.inspect(connection).get_table_names()))
    finally:
        observer.close()


@pytest.mark.parametrize(
    "env",
    [SYNC, ASYNC, HANDED_IN, HANDED_IN_AS_ENGINE, HANDED_IN_WITH_A_STATEMENT],
    ids=["sync", "async", "handed in", "handed in as an engine", "handed in with a statement"],
)
def test_every_kind_of_env_py_is_run_with_every_kind_of_driver(url: str, tmp_path: Path, env: str) -> None:
    project(tmp_path, env)
    assert migrate(url, tmp_path, config=Config(root=tmp_path)).startswith(
        "migrated to r2 (2 revisions in alembic.ini)"
    )
    assert tables(url) == {"alembic_version", "users", "posts"}


def test_an_env_py_that_runs_a_loop_works_below_a_running_one(url: str, tmp_path: Path) -> None:
    project(tmp_path, ASYNC)

    async def inside() -> None:
        migrate(url, tmp_path)

    asyncio.run(inside())
    assert tables(url) == {"alembic_version", "users", "posts"}


def test_the_variable_of_the_database_is_set_meanwhile(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(tmp_path, FROM_VARIABLE)
    spelled = (
        "sqlite:///elsewhere.db"
        if url.startswith("sqlite")
        else "postgresql+psycopg://ada@localhost/elsewhere"
    )
    monkeypatch.setenv("SHOP_DATABASE", spelled)
    migrate(url, tmp_path, config=Config(root=tmp_path, database_url="env:SHOP_DATABASE"))
    assert tables(url) == {"alembic_version", "users", "posts"}
    assert os.environ["SHOP_DATABASE"] == spelled


def test_settings_that_were_read_before_lead_to_the_database_that_is_built(
    cluster: PrivateCluster, lent: str, tmp_path: Path
) -> None:
    with cluster.database() as other:
        base = other.replace("asyncpg", "psycopg")
        project(tmp_path, SYNC.replace('config.get_main_option("sqlalchemy.url")', repr(base)))
        migrate(lent, tmp_path, config=Config(root=tmp_path, database_url=base))
        assert tables(base) == set()
    assert tables(lent) == {"alembic_version", "users", "posts"}


def test_a_build_during_the_tests_is_not_led_where_they_work(
    cluster: PrivateCluster, lent: str, tmp_path: Path
) -> None:
    with cluster.database() as other, cluster.database() as elsewhere:
        base = other.replace("asyncpg", "psycopg")
        project(tmp_path, SYNC.replace('config.get_main_option("sqlalchemy.url")', repr(base)))
        watch = Watch([], {})
        router = Router(watch)
        router.install()
        router.lead(identity_of(base), RedirectTo(elsewhere))
        try:
            migrate(lent, tmp_path, config=Config(root=tmp_path, database_url=base))
        finally:
            router.uninstall()
        assert watch.findings == []
        assert tables(base) == tables(elsewhere) == set()
    assert tables(lent) == {"alembic_version", "users", "posts"}


def test_an_engine_of_the_application_keeps_no_connection_of_the_build(
    lent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop_database.py").write_text(
        f"import sqlalchemy\n\nengine = sqlalchemy.create_engine({lent!r})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    project(
        tmp_path,
        SYNC.replace(
            "    engine = create_engine",
            "    from shop_database import engine\n    _ = lambda: create_engine",
        ),
    )
    migrate(lent, tmp_path)
    from shop_database import engine  # type: ignore[import-not-found]  # noqa: PLC0415 - written above

    with engine.connect() as connection:
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "0"
        assert connection.exec_driver_sql("SHOW application_name").scalar() == ""
    engine.dispose()
    del sys.modules["shop_database"]


def test_another_database_is_refused_before_anything_is_done_there(
    cluster: PrivateCluster, lent: str, tmp_path: Path
) -> None:
    with cluster.database() as other:
        project(
            tmp_path,
            SYNC.replace(
                'config.get_main_option("sqlalchemy.url")', repr(other.replace("asyncpg", "psycopg"))
            ),
        )
        with pytest.raises(MigrationFailedError, match=r"env\.py asks for the database") as refused:
            migrate(lent, tmp_path)
        assert isinstance(refused.value.__cause__, WrongDatabaseError)
        assert tables(other) == tables(lent) == set()


@pytest.mark.parametrize(
    "env",
    [
        SYNC.replace(CONFIGURE, f'        connection.execute(text("SELECT 1"))\n{CONFIGURE}'),
        SYNC.replace(BEGUN, "        context.run_migrations()\n\n\nif"),
    ],
    ids=["a statement before configure", "no transaction"],
)
def test_success_without_tables_is_not_believed(lent: str, tmp_path: Path, env: str) -> None:
    project(tmp_path, env)
    with pytest.raises(NotBuiltError, match=r"(?s)^empty: .*env\.py line \d+"):
        migrate(lent, tmp_path)


def test_a_failure_is_told_with_place_statement_and_output(lent: str, tmp_path: Path) -> None:
    failing = project(tmp_path)
    failing.revision("r2", 'print("half-way")\n    op.execute("SELECT no_such_column")', "r1")
    with pytest.raises(MigrationFailedError) as failed:
        migrate(lent, tmp_path)
    lines = str(failed.value).splitlines()
    assert lines[0].startswith(f"The migrations failed at {tmp_path}/migrations/versions/r2.py:")
    assert 'ProgrammingError: column "no_such_column" does not exist' in lines[0]
    assert lines[1] == "  in SELECT no_such_column"
    assert "    half-way" in lines
    assert "    INFO [alembic.runtime.migration] Running upgrade r1 -> r2, r2" in lines


def test_a_password_is_not_shown(lent: str, tmp_path: Path) -> None:
    project(
        tmp_path,
        "from alembic import context\nraise SystemExit(context.config.get_main_option('sqlalchemy.url'))\n",
    )
    with pytest.raises(MigrationFailedError, match=r"postgresql\+psycopg://postgres:\*\*\*@127"):
        migrate(lent, tmp_path)


def test_output_does_not_reach_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project(tmp_path).revision("r2", f'print("said by a migration")\n    {POSTS}', "r1")
    migrate(f"sqlite:///{tmp_path}/app.db", tmp_path)
    print("said by the test")  # noqa: T201 - what a test says is heard
    assert capsys.readouterr() == ("said by the test\n", "")


def test_logging_is_as_it_was_after_an_env_py_that_configures_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    configured = project(tmp_path, SYNC.replace("config = context.config", FILE_CONFIG))
    configured.ini.write_text(configured.ini.read_text() + LOGGERS)
    root, mine = logging.getLogger(), logging.getLogger("shop.orders")
    before = root.handlers[:], root.level, mine.disabled, logging.getLogger("alembic").level
    migrate(f"sqlite:///{tmp_path}/app.db", tmp_path)
    assert (root.handlers, root.level, mine.disabled, logging.getLogger("alembic").level) == before
    mine.warning("still heard")
    assert "still heard" in caplog.text


FILE_CONFIG = """config = context.config
from logging.config import fileConfig
fileConfig(config.config_file_name)
"""
LOGGERS = """
[loggers]
keys = root,alembic
[handlers]
keys = console
[formatters]
keys = generic
[logger_root]
level = ERROR
handlers = console
[logger_alembic]
level = INFO
handlers =
qualname = alembic
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = generic
[formatter_generic]
format = %(levelname)s %(message)s
"""


def test_the_import_path_is_as_it_was(tmp_path: Path) -> None:
    before = sys.path.copy()
    project(tmp_path)
    migrate(f"sqlite:///{tmp_path}/app.db", tmp_path)
    assert sys.path == before


def test_a_migration_that_waits_for_a_locked_table_gives_up_and_names_who_has_it(
    lent: str, tmp_path: Path
) -> None:
    late = project(tmp_path)
    migrate(lent, tmp_path)
    late.revision("r3", 'op.execute("ALTER TABLE users ADD COLUMN age INTEGER")', "r2")
    engine = create_engine(lent, connect_args={"application_name": "a worker of the shop"})
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT * FROM users")
        began, said = time.monotonic(), list[str]()
        with pytest.raises(
            BlockedError, match=r'"a worker of the shop" from 127.0.0.1, idle in transaction for \d+ s'
        ):
            migrate(lent, tmp_path, patience=Patience(table=0.6), say=said.append)
        assert "waits for a lock held by backend" in said[0]
        assert time.monotonic() - began < 5
    engine.dispose()


def test_create_all_gives_up_on_a_locked_table_too(lent: str) -> None:
    engine = create_engine(lent)
    users = sa.MetaData()
    MODELS.tables["users"].to_metadata(users)
    build(lent, users, "", Schema.CREATE)
    with engine.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE users")
        with pytest.raises(BlockedError, match="last statement: LOCK TABLE users"):
            build(lent, MODELS, "", Schema.CREATE, patience=Patience(table=0.6))
    engine.dispose()


def test_a_build_that_takes_too_long_is_ended(lent: str, tmp_path: Path) -> None:
    project(tmp_path).revision("r2", 'op.execute("SELECT pg_sleep(60)")', "r1")
    with pytest.raises(OverdueError, match=r"took more than 0\.5 s"):
        migrate(lent, tmp_path, patience=Patience(build=0.5))
    assert tables(lent) == set()


def test_tables_are_created_from_the_models(url: str) -> None:
    assert build(url, MODELS, "", Schema.CREATE).startswith("created 2 tables from the models in 0.")
    assert tables(url) == {"users", "posts"}


def test_verify_is_no_way_to_build(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="verify"):
        build(f"sqlite:///{tmp_path}/app.db", MODELS, "", Schema.VERIFY)


def test_migrations_are_found_from_any_working_directory(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = project(tmp_path)
    usual.ini.write_text(usual.ini.read_text().replace("%(here)s/", ""))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    config = replace(Config(root=tmp_path), migrations="alembic.ini")
    assert "in alembic.ini)" in migrate(f"sqlite:///{tmp_path}/app.db", tmp_path, config=config)
