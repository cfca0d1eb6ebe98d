"""The databases these tests run on: a SQLite file and a private PostgreSQL server, both real."""

from __future__ import annotations

import asyncio
import gc
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import emptied_database
import planned
import pytest
import sqlalchemy as sa
from isolated import Suite, fill
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from dbparity.isolation.savepoint import SavepointIsolation
from dbparity.observer import close_background_loop
from dbparity.testing.postgres import PostgresMissing, PrivateCluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sqlalchemy import Connection, Engine

T = TypeVar("T")


class Live:
    """A connection to a real database in a transaction that nobody will keep."""

    def __init__(self, runner: asyncio.Runner, connection: AsyncConnection) -> None:
        self.runner = runner
        self.connection = connection
        self.dialect = connection.dialect.name

    def run(self, work: Callable[[Connection], T]) -> T:
        return self.runner.run(self.connection.run_sync(work))

    def execute(self, *statements: str) -> None:
        for statement in statements:
            self.runner.run(self.connection.exec_driver_sql(statement))


@pytest.fixture(scope="session")
def cluster() -> Iterator[PrivateCluster]:
    yield from _served(PrivateCluster())


@pytest.fixture(scope="session")
def quick_cluster() -> Iterator[PrivateCluster]:
    """A server that does not wait for the disk: for tests that make many databases."""
    yield from _served(PrivateCluster({"fsync": "off", "max_wal_size": "4GB"}))


@pytest.fixture(scope="session")
def _one_database(quick_cluster: PrivateCluster) -> Iterator[str]:
    with quick_cluster.database() as made:
        yield made


@pytest.fixture
def emptied(quick_cluster: PrivateCluster, _one_database: str) -> sa.URL:
    """A PostgreSQL database for all, without a table: cheaper than one for each test."""
    url = sa.make_url(_one_database)
    quick_cluster.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public", str(url.database))
    return url


@pytest.fixture(scope="module")
def shared(cluster: PrivateCluster) -> Iterator[str]:
    """One PostgreSQL database for all tests of a file: each empties it first, by `lent`."""
    with cluster.database() as url:
        yield url
    close_background_loop()


@pytest.fixture
def lent(shared: str) -> str:
    """That database, without anything in it."""
    return emptied_database.emptied(shared)


@pytest.fixture(scope="module")
def filled(cluster: PrivateCluster) -> Iterator[sa.URL]:
    """One PostgreSQL database with tables for all tests of a file: nothing may ever stay in it."""
    with cluster.database() as made:
        url = sa.make_url(made)
        fill(url)
        yield url


@pytest.fixture
def filled_by(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], sa.URL]:
    """A database with tables, as a driver is led to it."""

    def by(driver: str) -> sa.URL:
        if not driver.startswith("sqlite"):
            url: sa.URL = request.getfixturevalue("filled")
            return url.set(drivername=f"postgresql+{driver}")
        url = sa.make_url(f"{driver}:///{tmp_path}/app.db")
        fill(url)
        return url

    return by


@pytest.fixture
def running(
    filled_by: Callable[[str], sa.URL], tmp_path: Path
) -> Callable[[str], AbstractContextManager[Suite]]:
    """An application on such a database, watched for as long as a `with` lasts."""

    @contextmanager
    def on(driver: str) -> Iterator[Suite]:
        with Suite(filled_by(driver), tmp_path).running() as suite:
            yield suite
        close_background_loop()

    return on


@pytest.fixture(params=["sqlite", "sqlite+aiosqlite", "psycopg", "psycopg_async", "asyncpg"])
def suite(
    request: pytest.FixtureRequest, running: Callable[[str], AbstractContextManager[Suite]]
) -> Iterator[Suite]:
    """The same, by each driver."""
    with running(request.param) as suite:
        yield suite


@pytest.fixture
def isolation(suite: Suite) -> Iterator[SavepointIsolation]:
    """Its savepoint isolation."""
    isolation = SavepointIsolation(suite.database, suite.router, suite.watch)
    yield isolation
    isolation.close()


@pytest.fixture
def collector_held() -> Iterator[None]:
    """The garbage collector runs when it is called, and has met what earlier tests left: its own time is chance."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="module")
def planned_engine(quick_cluster: PrivateCluster) -> Iterator[Engine]:
    """A database with tables of all kinds, to compare plans with; nothing stays in it."""
    with quick_cluster.database() as url:
        engine = planned.made(url)
        yield engine
        engine.dispose()


@pytest.fixture(scope="module")
def watcher(planned_engine: Engine) -> Iterator[Connection]:
    """A connection there that sees what another one locks."""
    with planned_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        yield connection


@pytest.fixture
def connection(planned_engine: Engine) -> Iterator[Connection]:
    """A connection there whose work is undone."""
    with planned_engine.connect() as connection:
        yield connection


def _served(server: PrivateCluster) -> Iterator[PrivateCluster]:
    try:
        server.start()
    except PostgresMissing as missing:
        if os.environ.get("DASHTAM_REQUIRE_POSTGRES") == "1":
            raise
        pytest.skip(f"NOT TESTED ON POSTGRESQL: {missing}")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def live_url(cluster: PrivateCluster) -> str:
    """A database that nobody else writes to."""
    return cluster.create_database("live")


@pytest.fixture(params=["sqlite", "postgresql"])
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Live]:
    if request.param == "sqlite":
        yield from _connected(f"sqlite+aiosqlite:///{tmp_path}/live.db")
    else:
        yield from _connected(request.getfixturevalue("live_url"))


@pytest.fixture
def postgres(live_url: str) -> Iterator[Live]:
    yield from _connected(live_url)


def _connected(url: str) -> Iterator[Live]:
    engine = create_async_engine(url)
    with asyncio.Runner() as runner:
        connection = runner.run(_begun(engine))
        try:
            yield Live(runner, connection)
        finally:
            runner.run(connection.rollback())
            runner.run(connection.close())
            runner.run(engine.dispose())


async def _begun(engine: AsyncEngine) -> AsyncConnection:
    connection = await engine.connect()
    _ = await connection.begin()
    return connection
