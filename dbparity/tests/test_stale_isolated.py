"""Stale objects and timelines while a test is isolated: what is committed is what the isolation says it is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from isolated import USERS, Suite, fill
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import registry

from dbparity.isolation.delete import DeleteIsolation
from dbparity.isolation.savepoint import SavepointIsolation
from dbparity.sessions.clients import Clients
from dbparity.sessions.stale import StaleReads
from dbparity.sessions.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dbparity.isolation.base import Isolation
    from dbparity.testing.postgres import PrivateCluster


class Person:
    """A row of users."""

    id: Any
    email: Any


registry().map_imperatively(Person, USERS)


@pytest.fixture(scope="module")
def server_url(cluster: PrivateCluster) -> Iterator[sa.URL]:
    with cluster.database() as url:
        fill(sa.make_url(url))
        yield sa.make_url(url)


@pytest.fixture(params=["aiosqlite", "asyncpg", "psycopg"])
def suite(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Suite]:
    if request.param == "aiosqlite":
        url = sa.make_url(f"sqlite+aiosqlite:///{tmp_path}/app.db")
        fill(url)
    else:
        url = request.getfixturevalue("server_url").set(drivername=f"postgresql+{request.param}")
    suite = Suite(url, tmp_path)
    suite.watch.detectors += [Timeline(), StaleReads(), Clients()]
    with suite.running():
        yield suite


@pytest.fixture(params=["savepoint", "delete"])
def isolation(request: pytest.FixtureRequest, suite: Suite) -> Iterator[Isolation]:
    kind: Any = SavepointIsolation if request.param == "savepoint" else DeleteIsolation
    made = kind(suite.database, suite.router, suite.watch)
    yield made
    made.close()


def application(maker: async_sessionmaker[AsyncSession]) -> FastAPI:
    app = FastAPI()

    @app.patch("/people/{email}")
    async def patch(email: str) -> None:
        async with maker() as session:
            (await session.get_one(Person, 1)).email = email
            await session.commit()

    @app.get("/people")
    async def count() -> int:
        async with maker() as session:
            return len((await session.scalars(sa.select(Person))).all())

    return app


async def used(engine: AsyncEngine, *, refreshing: bool) -> None:
    maker = async_sessionmaker(engine, expire_on_commit=False)
    transport = ASGITransport(app=application(maker))
    async with AsyncClient(transport=transport, base_url="http://app") as client, maker() as session:
        person = Person()
        person.id, person.email = 1, "a"
        session.add(person)
        await session.flush()
        assert (await client.get("/people")).status_code == 200  # in the midst of a transaction
        await session.commit()
        await asyncio.gather(*(client.get("/people") for _ in range(3)))
        assert (await client.patch("/people/b")).status_code == 200
        if refreshing:
            await session.refresh(person)
        assert person.email == ("b" if refreshing else "a")
    await engine.dispose()


def test_a_held_object_is_compared_with_what_the_isolation_calls_committed(
    suite: Suite, isolation: Isolation
) -> None:
    for number in range(2):
        with suite.test(isolation, f"test_a.py::test_{number}") as test:
            asyncio.run(used(create_async_engine(suite.url), refreshing=False))
        (finding,) = (each for each in test.findings if each.detector == "stale-read")
        assert f"in test_a.py::test_{number}, session " in finding.message
        assert "holds Person 1 as it is no longer since request 5 (PATCH /people/b): email is 'a' there" in (
            finding.message
        )
        assert " in patch" in finding.evidence[-1]


def test_refreshing_and_committing_as_one_should_is_silent(suite: Suite, isolation: Isolation) -> None:
    with suite.test(isolation) as test:
        asyncio.run(used(create_async_engine(suite.url), refreshing=True))
    assert [each for each in test.findings if each.detector == "stale-read"] == []
    timeline, stale, _ = suite.watch.detectors
    assert isinstance(timeline, Timeline)
    assert isinstance(stale, StaleReads)
    assert stale.note == ""
    ((_, shown),) = timeline.report_sections(test)
    assert "request 5  session " in shown
    assert "UPDATE users SET email=? WHERE users.id = ? [email='b', id=1]" in shown or "[email='b'" in shown
    assert not any(each["kind"] == "gone" for each in timeline.as_dicts(test))
