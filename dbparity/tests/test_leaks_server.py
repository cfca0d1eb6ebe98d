"""The same on a server and with an async driver, whose connections no finaliser can give back."""

from __future__ import annotations

import asyncio
import gc
import warnings
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import pytest
from leaking import INSERT, only, running
from sqlalchemy import MetaData, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from dbparity.config import Config, Strictness
from dbparity.isolation.discard import discard
from dbparity.observer import Observer
from dbparity.provision.database import TestDatabase
from dbparity.sessions.leaks import Leaks
from dbparity.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.pool import ConnectionPoolEntry

    from dbparity.testing.postgres import PrivateCluster

pytestmark = pytest.mark.usefixtures("collector_held")


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch([Leaks()], {})
    watch.start()
    yield watch
    watch.stop()


@pytest.fixture(scope="module")
def items(cluster: PrivateCluster) -> Iterator[str]:
    with cluster.database() as url:
        cluster.sql("CREATE TABLE item (name text)", url.rpartition("/")[2])
        yield url


@pytest.fixture
def postgres(items: str, tmp_path: Path) -> Iterator[TestDatabase]:
    url = make_url(items)
    observer = Observer(url.set(drivername="postgresql+psycopg"))
    config, metadata = Config(root=tmp_path), MetaData()
    yield TestDatabase(url, url, metadata, config, observer, "run", "main")
    observer.close()


@pytest.fixture
def apg(postgres: TestDatabase) -> Iterator[AsyncEngine]:
    engine = create_async_engine(postgres.url, pool_size=1, max_overflow=0, pool_timeout=1)
    records: WeakSet[ConnectionPoolEntry] = WeakSet()
    event.listen(engine.sync_engine.pool, "connect", lambda _, record: records.add(record))
    yield engine
    for record in list(records):
        discard(record)  # the loop that it was made on is closed


async def insert(engine: AsyncEngine) -> AsyncSession:
    session = AsyncSession(engine)
    await session.execute(INSERT)
    return session


async def insert_and_close(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        await session.execute(INSERT)
        await session.commit()


async def insert_and_dispose(engine: AsyncEngine) -> None:
    await insert_and_close(engine)
    await engine.dispose()


def test_the_server_is_asked_and_the_next_test_meets_no_lock(
    watch: Watch, apg: AsyncEngine, postgres: TestDatabase
) -> None:
    with running(watch, database=postgres):
        session = asyncio.run(insert(apg))
    finding = only(watch)
    assert "test_leaks_server.py:" in finding.message
    assert finding.evidence[2].startswith("server process ")
    assert "idle in transaction" in finding.evidence[2]
    assert "holding locks on item" in finding.evidence[2]
    assert "INSERT INTO item" in finding.evidence[2]
    locked = postgres.observer.call(_truncated)
    assert locked == 0
    asyncio.run(insert_and_dispose(apg))
    del session


def _truncated(connection: Any) -> int:
    """Only when nobody holds a lock on the table: the server may take a moment to notice the end."""
    connection.execute(text("SET lock_timeout = '5s'"))
    connection.execute(text("TRUNCATE item"))
    return int(connection.scalar(text("SELECT count(*) FROM item")))


def test_an_async_session_left_to_the_garbage_collector_is_a_leak(
    watch: Watch, apg: AsyncEngine, postgres: TestDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    async def forget() -> None:
        session = await insert(apg)
        cycle = SimpleNamespace(session=session)
        cycle.itself = cycle

    with running(watch, database=postgres):
        asyncio.run(forget())
    assert "a transaction open" in only(watch).message
    assert caplog.records == []  # it was closed before the collector met it


def test_an_async_session_that_the_garbage_collector_has_met_is_one_too(
    watch: Watch, apg: AsyncEngine, postgres: TestDatabase
) -> None:
    async def forget() -> None:
        await insert(apg)
        with warnings.catch_warnings():  # SQLAlchemy says so itself, where nobody may be listening
            warnings.simplefilter("ignore")
            gc.collect()

    with running(watch, database=postgres):
        asyncio.run(forget())
    assert "to the garbage collector" in only(watch).message


def test_a_closed_async_session_is_sound(watch: Watch, apg: AsyncEngine, postgres: TestDatabase) -> None:
    with running(watch, database=postgres):
        asyncio.run(insert_and_dispose(apg))
    assert watch.findings == []


def test_a_background_task_that_holds_a_transaction_is_named(
    watch: Watch, apg: AsyncEngine, postgres: TestDatabase
) -> None:
    begun, never = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        async with AsyncSession(apg) as session:
            await session.execute(INSERT)
            begun.set()
            await never.wait()

    async def request() -> asyncio.Task[None]:
        with watch.request("POST /jobs"):
            task = asyncio.create_task(work())
        await begun.wait()
        return task

    with asyncio.Runner() as runner:  # one for all tests
        with running(watch, "test_a.py::test_first", database=postgres):
            task = runner.run(request())
        with running(watch, "test_a.py::test_second", database=postgres):
            runner.run(insert_and_close(apg))
        runner.run(_cancelled(task))
        runner.run(apg.dispose())
    finding = only(watch)
    assert finding.test == "test_a.py::test_first"
    assert "in request 1 (POST /jobs)" in finding.message


# ---- the server


def test_a_transaction_on_a_detached_connection_is_met_on_the_server(
    watch: Watch, postgres: TestDatabase
) -> None:
    engine = create_engine(postgres.url.set(drivername="postgresql+psycopg"))
    with running(watch, database=postgres):
        connection = engine.connect()
        connection.execute(INSERT)
        connection.detach()
    assert watch.findings == []
    watch.end_run()
    finding = only(watch)
    assert finding.strictness is Strictness.WARN
    assert "that test_a.py::test_it at " in finding.message
    assert "idle in transaction" in finding.message
    connection.close()
    engine.dispose()


def test_a_run_whose_pools_are_warm_leaves_nothing_on_the_server(
    watch: Watch, postgres: TestDatabase
) -> None:
    engine = create_engine(postgres.url.set(drivername="postgresql+psycopg"))
    with running(watch, database=postgres), engine.connect() as connection:
        connection.execute(INSERT)
    watch.end_run()
    assert watch.findings == []
    engine.dispose()


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def test_a_background_task_that_is_cancelled_with_its_loop_is_sound(
    watch: Watch, apg: AsyncEngine, postgres: TestDatabase
) -> None:
    async def work(begun: asyncio.Event) -> None:
        async with AsyncSession(apg) as session:
            await session.execute(INSERT)
            begun.set()
            await asyncio.Event().wait()

    async def start() -> asyncio.Task[None]:
        begun = asyncio.Event()
        task = asyncio.create_task(work(begun))
        await begun.wait()
        return task

    with running(watch, database=postgres):
        task = asyncio.run(start())
    assert task.cancelled()
    assert watch.findings == []
