"""Leaks, loops and the fixtures' sessions while a test is isolated: its connections are not the driver's own."""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from isolated import Suite, asked, fill
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

from dbparity.config import Strictness
from dbparity.isolation.delete import DeleteIsolation
from dbparity.isolation.savepoint import SavepointIsolation
from dbparity.observer import Observer
from dbparity.sessions.factory import session_factory
from dbparity.sessions.leaks import Leaks
from dbparity.sessions.loops import Loops

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dbparity.isolation.base import Isolation
    from dbparity.testing.postgres import PrivateCluster

INSERT = sa.text("INSERT INTO users (email) VALUES ('a')")
COUNT = sa.text("SELECT count(*) FROM users")


@pytest.fixture(scope="module")
def database(cluster: PrivateCluster) -> Iterator[str]:
    name = f"isolated_{secrets.token_hex(4)}"
    server = Observer(cluster.url())
    server.call(lambda it: it.execute(sa.text(f"CREATE DATABASE {name}")), autocommit=True)
    fill(sa.make_url(cluster.url(name)))
    yield cluster.url(name)
    server.call(lambda it: it.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)")), autocommit=True)
    server.close()


@pytest.fixture
def suite(database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Suite]:
    """Everything here goes without a logged error and without a warning."""
    suite = Suite(database, tmp_path)
    suite.watch.detectors += [Loops(), Leaks()]
    with caplog.at_level(logging.ERROR), warnings.catch_warnings():
        warnings.simplefilter("error")
        with suite.running():
            yield suite
        gc.collect()
    assert caplog.records == []


@pytest.fixture(params=["savepoint", "delete"])
def isolation(request: pytest.FixtureRequest, suite: Suite) -> Iterator[Isolation]:
    made: Isolation
    if request.param == "savepoint":
        made = SavepointIsolation(suite.database, suite.router, suite.watch)
    else:
        made = DeleteIsolation(suite.database, suite.router, suite.watch)
    yield made
    made.close()


@pytest.fixture
def savepoint(suite: Suite) -> Iterator[Isolation]:
    made = SavepointIsolation(suite.database, suite.router, suite.watch)
    yield made
    made.close()


@pytest.fixture
def engine(suite: Suite) -> AsyncEngine:
    """As an application has it: in a module, for all tests and all their loops."""
    return create_async_engine(suite.url, pool_size=1, max_overflow=0, pool_timeout=1)


async def insert(engine: AsyncEngine) -> int:
    async with AsyncSession(engine) as session:
        await session.execute(INSERT)
        found = (await session.execute(COUNT)).scalar_one()
        await session.rollback()
        return int(found)


async def leave(engine: AsyncEngine) -> AsyncSession:
    session = AsyncSession(engine)
    await session.execute(INSERT)
    return session


def test_a_module_level_engine_needs_nothing_under_isolation(
    suite: Suite, isolation: Isolation, engine: AsyncEngine
) -> None:
    for number in range(3):
        with suite.test(isolation, f"test_a.py::test_{number}"):
            assert asyncio.run(insert(engine)) == 1
    assert suite.watch.findings == []


def test_two_loops_within_a_test_are_found_and_weighed(
    suite: Suite, isolation: Isolation, engine: AsyncEngine
) -> None:
    with suite.test(isolation):
        assert [asyncio.run(insert(engine)) for _ in range(3)] == [1, 1, 1]
    [finding] = suite.watch.findings
    is_protected = isolation.name == "savepoint"
    assert finding.strictness is (Strictness.WARN if is_protected else Strictness.FAIL)
    assert any("works only because savepoint isolation" in each for each in finding.evidence) is is_protected


def test_a_leak_is_named_and_the_next_test_is_whole(
    suite: Suite, isolation: Isolation, engine: AsyncEngine
) -> None:
    with suite.test(isolation, "test_a.py::test_first"):
        session = asyncio.run(leave(engine))
    with suite.test(isolation, "test_a.py::test_second"):
        assert asyncio.run(insert(engine)) == 1
    assert [each.test for each in suite.watch.findings] == ["test_a.py::test_first"]
    assert "leaves a transaction open" in suite.watch.findings[0].message
    assert asked(suite.url, "SELECT count(*) FROM users") == [(0,)]
    del session


# ---- the fixtures' sessions


def test_a_sync_session_shares_the_transaction_of_an_asyncpg_application(
    suite: Suite, savepoint: Isolation, engine: AsyncEngine
) -> None:
    own = async_sessionmaker(engine, expire_on_commit=False)

    async def application() -> None:
        async with own.begin() as session:
            await session.execute(INSERT)

    with suite.test(savepoint) as test:
        url = test.database.url
        with (
            session_factory(own, url, is_async=False, savepoint=True) as factory,
            factory() as session,
        ):
            assert session.scalar(COUNT) == 0
            assert session.scalar(sa.select(sa.literal({"a": [1]}, JSONB))) == {"a": [1]}
            session.commit()
            asyncio.run(application())
            assert session.scalar(COUNT) == 1
    assert suite.watch.findings == []
    assert asked(suite.url, "SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize("mode", ["own engine", "another engine"])
def test_sessions_of_the_fixtures_end_with_the_test(
    suite: Suite, isolation: Isolation, engine: AsyncEngine, mode: str
) -> None:
    own = async_sessionmaker(engine) if mode == "own engine" else async_sessionmaker()

    async def use(make: Callable[[], Any]) -> int:
        async with make() as session:
            await session.execute(INSERT)
            await session.commit()
            found = await session.scalar(COUNT)
            await session.rollback()
            return int(found)

    for number in range(2):
        with (
            suite.test(isolation, f"test_a.py::test_{number}") as test,
            session_factory(own, test.database.url, base=test.database.base) as factory,
        ):
            assert asyncio.run(use(factory)) == 1
    assert suite.watch.findings == []


def test_a_sync_session_of_a_sync_application_shares_the_transaction(
    suite: Suite, savepoint: Isolation
) -> None:
    url = suite.url.set(drivername="postgresql+psycopg")
    application = sa.create_engine(url)
    with (
        suite.test(savepoint),
        session_factory(sessionmaker(), url, savepoint=True) as factory,
        factory() as session,
    ):
        with application.begin() as connection:
            connection.execute(INSERT)
        assert session.scalar(COUNT) == 1
    application.dispose()
    assert suite.watch.findings == []
