"""An engine used on another event loop than its connections were made on: named, and mended for those who follow."""

from __future__ import annotations

import asyncio
import gc
import logging
import warnings
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvloop
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from starlette.testclient import TestClient

from dbparity.config import Strictness
from dbparity.sessions.clients import Clients
from dbparity.sessions.loops import Loops
from dbparity.watch import RunningTest, Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from dbparity.testing.postgres import PrivateCluster


@pytest.fixture
def watch(caplog: pytest.LogCaptureFixture) -> Iterator[Watch]:
    watch = Watch([Loops(), Clients()], {})
    watch.start()
    with caplog.at_level(logging.ERROR), warnings.catch_warnings():
        warnings.simplefilter("error")
        yield watch
        gc.collect()
    watch.stop()
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


@pytest.fixture
def asyncpg(cluster: PrivateCluster) -> Iterator[Callable[..., AsyncEngine]]:
    yield from engines(cluster.url())


@pytest.fixture(params=["psycopg", "aiosqlite"])
def free(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., AsyncEngine]]:
    if request.param == "aiosqlite":
        yield from engines(f"sqlite+aiosqlite:///{tmp_path}/free.db")
    else:
        cluster: PrivateCluster = request.getfixturevalue("cluster")
        yield from engines(cluster.url().replace("asyncpg", "psycopg"))


def engines(url: str) -> Iterator[Callable[..., AsyncEngine]]:
    made: list[AsyncEngine] = []

    def make(**options: Any) -> AsyncEngine:
        made.append(create_async_engine(url, **options))
        return made[-1]

    yield make
    for each in made:
        asyncio.run(each.dispose())


async def ask(engine: AsyncEngine, times: int = 1) -> list[int]:
    async def once() -> int:
        async with engine.connect() as connection:
            return int((await connection.execute(text("SELECT 1"))).scalar_one())

    return await asyncio.gather(*(once() for _ in range(times)))


async def ask_and_dispose(engine: AsyncEngine) -> None:
    await ask(engine)
    await engine.dispose()


def run_test(watch: Watch, nodeid: str, engine: AsyncEngine, times: int = 1) -> None:
    """As pytest-asyncio runs a test: on an event loop of its own."""
    watch.begin_test(RunningTest(nodeid))
    assert asyncio.run(ask(engine, times)) == [1] * times
    watch.end_test()
    watch.forget_test()


def test_the_test_that_opened_the_connection_and_the_one_that_meets_it_are_named(
    watch: Watch, asyncpg: Callable[..., AsyncEngine]
) -> None:
    engine = asyncpg()
    run_test(watch, "test_a.py::test_first", engine)
    run_test(watch, "test_b.py::test_second", engine)
    [finding] = watch.findings
    assert finding.strictness is Strictness.FAIL
    assert finding.test == "test_b.py::test_second"
    assert finding.message.startswith("a connection that test_a.py::test_first at ")
    assert finding.message.count("test_loops.py:") == 2
    assert "on one event loop is used by test_b.py::test_second" in finding.message
    assert "asyncpg" in finding.evidence[0]
    assert "closed by now" in finding.evidence[0]
    assert "NullPool" in finding.remedy


def test_no_later_test_meets_a_broken_connection(watch: Watch, asyncpg: Callable[..., AsyncEngine]) -> None:
    engine = asyncpg(pool_size=3)
    for number in range(4):
        run_test(watch, f"test_a.py::test_{number}", engine, times=3)
    assert [each.test for each in watch.findings] == [f"test_a.py::test_{number}" for number in (1, 2, 3)]


def test_a_connection_of_a_uvloop_is_given_up_as_quietly(
    watch: Watch, asyncpg: Callable[..., AsyncEngine]
) -> None:
    engine = asyncpg()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # uvloop itself, as it closes with the socket open
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(ask(engine))
    run_test(watch, "test_a.py::test_it", engine)
    [finding] = watch.findings
    assert "code that ran outside of any test" in finding.message


def test_a_connection_of_a_loop_that_is_not_closed_is_closed_there(
    watch: Watch, asyncpg: Callable[..., AsyncEngine]
) -> None:
    engine = asyncpg()
    with asyncio.Runner() as other:
        other.run(ask(engine))
        run_test(watch, "test_a.py::test_it", engine)
        [finding] = watch.findings
        assert "does not run any more" in finding.evidence[0]


def test_a_test_client_without_with_is_told_to_be_entered(
    watch: Watch, asyncpg: Callable[..., AsyncEngine]
) -> None:
    client = TestClient(application(asyncpg()))
    watch.begin_test(RunningTest("test_a.py::test_it"))
    assert [client.get("/").json() for _ in range(3)] == [[1], [1], [1]]
    [finding] = watch.findings
    assert "test_a.py::test_it in request 1 (GET /) at " in finding.message
    assert "used by test_a.py::test_it in request 2 (GET /) at " in finding.message
    assert "with TestClient(app) as client" in finding.remedy


def test_a_test_client_that_is_entered_has_one_loop(
    watch: Watch, asyncpg: Callable[..., AsyncEngine]
) -> None:
    engine = asyncpg()
    watch.begin_test(RunningTest("test_a.py::test_it"))
    with TestClient(application(engine)) as client:
        assert [client.get("/").json() for _ in range(3)] == [[1], [1], [1]]
    assert watch.findings == []


def test_one_loop_for_all_tests_is_sound(watch: Watch, asyncpg: Callable[..., AsyncEngine]) -> None:
    engine = asyncpg()
    with asyncio.Runner() as runner:
        for number in range(3):
            watch.begin_test(RunningTest(f"test_a.py::test_{number}"))
            runner.run(ask(engine, 3))
            watch.end_test()
        runner.run(engine.dispose())
    assert watch.findings == []


def test_an_engine_that_pools_nothing_is_sound(watch: Watch, asyncpg: Callable[..., AsyncEngine]) -> None:
    engine = asyncpg(poolclass=NullPool)
    for number in range(3):
        run_test(watch, f"test_a.py::test_{number}", engine)
    assert watch.findings == []


def test_an_engine_disposed_of_with_each_loop_is_sound(
    watch: Watch, asyncpg: Callable[..., AsyncEngine]
) -> None:
    engine = asyncpg()
    for number in range(3):
        watch.begin_test(RunningTest(f"test_a.py::test_{number}"))
        asyncio.run(ask_and_dispose(engine))
        watch.end_test()
    assert watch.findings == []


def test_an_engine_is_disposed_of_on_another_loop_without_a_sound(
    watch: Watch, asyncpg: Callable[..., AsyncEngine]
) -> None:
    engine = asyncpg(pool_size=3)
    run_test(watch, "test_a.py::test_it", engine, times=3)
    asyncio.run(engine.dispose())
    assert watch.findings == []


def test_drivers_that_work_on_any_loop_are_left_alone(watch: Watch, free: Callable[..., AsyncEngine]) -> None:
    engine = free(pool_size=3)
    for number in range(3):
        run_test(watch, f"test_a.py::test_{number}", engine, times=3)
    assert watch.findings == []


def test_a_pool_that_waited_on_another_loop_is_named_and_set_free(
    watch: Watch, free: Callable[..., AsyncEngine]
) -> None:
    engine = free(pool_size=1, max_overflow=0)
    run_test(watch, "test_a.py::test_first", engine, times=4)
    run_test(watch, "test_b.py::test_second", engine, times=4)
    [finding] = watch.findings
    assert finding.test == "test_b.py::test_second"
    assert "bound to a different event loop" in finding.evidence[1]


def application(engine: AsyncEngine) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def answer() -> list[int]:
        return await ask(engine)

    return app
