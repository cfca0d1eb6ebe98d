"""Under savepoint isolation a worker and the requests beside it do not get into each other's transactions."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from isolated import ROLES, USERS, Suite
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from dbparity.isolation.savepoint import IsolationConflictError, SavepointIsolation
from dbparity.isolation.turns import WAIT_SECONDS
from dbparity.isolation.witness import NOTES
from dbparity.sessions.clients import Clients

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractContextManager


ROUNDS = 50
SOON = WAIT_SECONDS * 0.7
"""Nobody has waited who needs no longer than this, on a slow machine too."""


@pytest.fixture(params=["sqlite+aiosqlite", "psycopg_async", "asyncpg"])
def awaited(
    request: pytest.FixtureRequest, running: Callable[[str], AbstractContextManager[Suite]]
) -> Iterator[Suite]:
    with running(request.param) as suite:
        yield suite


@pytest.fixture(params=["sqlite", "psycopg"])
def sync(
    request: pytest.FixtureRequest, running: Callable[[str], AbstractContextManager[Suite]]
) -> Iterator[Suite]:
    with running(request.param) as suite:
        yield suite


@asynccontextmanager
async def client(application: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(application), base_url="http://test"
    ) as client:
        yield client


@contextmanager
def under(suite: Suite) -> Iterator[SavepointIsolation]:
    """Savepoint isolation, with requests that are known as such."""
    isolation, clients = SavepointIsolation(suite.database, suite.router, suite.watch), Clients()
    clients.start(suite.watch)
    try:
        yield isolation
    finally:
        clients.stop()
        isolation.close()


def add(email: str) -> sa.Insert:
    return USERS.insert().values(email=email)


async def loses(engine: Any, email: str) -> None:
    """Write, meet a duplicate, and roll back what was written: a request that answers with 409."""
    async with AsyncSession(engine) as session:
        await session.execute(add(email))
        with pytest.raises(sa.exc.IntegrityError):
            await session.execute(add("taken@x"))
        await session.rollback()


def test_a_worker_that_writes_beside_requests_never_stands_in_the_way_of_their_rollback(
    awaited: Suite,
) -> None:
    engine = awaited.application.engine

    async def work(ready: asyncio.Event, stop: asyncio.Event) -> int:
        number = 0
        while not stop.is_set():
            async with AsyncSession(engine) as session:
                await session.execute(ROLES.insert().values(id=100 + number, Name="worker"))
                await session.commit()
            ready.set()
            number += 1
        return number

    async def visit() -> int:
        ready, stop = asyncio.Event(), asyncio.Event()
        worker = asyncio.create_task(work(ready, stop))
        async with AsyncSession(engine) as session:
            await session.execute(add("taken@x"))
            await session.commit()
        for number in range(ROUNDS):
            ready.clear()
            await loses(engine, f"{number}@x")
            await asyncio.wait_for(ready.wait(), 10)
        stop.set()
        return await worker

    with under(awaited) as isolation, awaited.test(isolation):
        written = asyncio.run(visit())
        assert written >= ROUNDS
        told = isolation.fresh(lambda it: it.scalar(sa.text("SELECT count(*) FROM roles WHERE id >= 100")))
        assert told == written
    assert awaited.watch.findings == []


@pytest.mark.parametrize("how", ["autocommit", "nested"])
def test_also_single_statements_and_nested_blocks_wait_for_their_turn(awaited: Suite, how: str) -> None:
    engine = awaited.application.engine
    free = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def write() -> None:
        async with AsyncSession(free if how == "autocommit" else engine) as session:
            if how == "nested":
                async with session.begin_nested():
                    await session.execute(add("other@x"))
            else:
                await session.execute(add("other@x"))
            await session.commit()

    async def visit() -> None:
        started = asyncio.Event()

        async def beside() -> None:
            await started.wait()
            await write()

        task = asyncio.create_task(beside())
        async with AsyncSession(engine) as session:
            await session.execute(add("mine@x"))
            started.set()
            for _ in range(20):
                await session.execute(sa.select(ROLES))
            assert not task.done()
            await session.rollback()
        await task

    with under(awaited) as isolation, awaited.test(isolation):
        asyncio.run(visit())
        assert isolation.fresh(lambda it: it.scalars(sa.select(USERS.c.email)).all()) == ["other@x"]
    assert awaited.watch.findings == []


def serving(engine: Any) -> FastAPI:
    application = FastAPI()

    @application.post("/{email}")
    async def register(email: str) -> None:
        async with AsyncSession(engine) as session:
            await session.execute(add(email))
            await session.commit()

    return application


def test_a_test_that_has_flushed_and_makes_requests_does_not_wait_for_itself(awaited: Suite) -> None:
    application = serving(awaited.application.engine)

    async def visit() -> float:
        async with AsyncSession(awaited.application.engine) as session, client(application) as http:
            await session.execute(add("flushed@x"))
            began = time.perf_counter()
            assert (await http.post("/one@x")).status_code == 200
            await asyncio.gather(*(http.post(f"/{name}@x") for name in "abc"))
            async with asyncio.TaskGroup() as group:
                group.create_task(http.post("/two@x"))
            took = time.perf_counter() - began
            await session.commit()
            return took

    with under(awaited) as isolation, awaited.test(isolation) as test:
        assert asyncio.run(visit()) < SOON
        assert NOTES not in test.notes


def test_nor_does_one_whose_client_runs_the_application_in_another_thread(sync: Suite) -> None:
    application, engine = FastAPI(), sync.application.engine

    @application.post("/threaded/{email}")
    def threaded(email: str) -> None:
        with Session(engine) as session:
            session.execute(add(email))
            session.commit()

    @application.post("/looped/{email}")
    async def looped(email: str) -> None:
        threaded(email)

    with under(sync) as isolation, sync.test(isolation) as test, Session(engine) as session:
        http = TestClient(application)
        session.execute(ROLES.insert().values(id=9, Name="flushed"))
        began = time.perf_counter()
        assert http.post("/threaded/one@x").status_code == 200
        assert http.post("/looped/two@x").status_code == 200
        assert time.perf_counter() - began < SOON
        assert NOTES not in test.notes
        session.commit()


def test_threads_take_turns_as_well(sync: Suite) -> None:
    engine = sync.application.engine
    errors: list[BaseException] = []

    def lose(name: str) -> None:
        try:
            for number in range(ROUNDS // 5):
                with Session(engine) as session:
                    session.execute(add(f"{name}{number}@x"))
                    session.execute(sa.select(ROLES)).all()
                    session.rollback()
        except BaseException as error:  # noqa: BLE001 - told to the test
            errors.append(error)

    with under(sync) as isolation, sync.test(isolation):
        threads = [threading.Thread(target=lose, args=(name,)) for name in "abc"]
        for each in threads:
            each.start()
        for each in threads:
            each.join(30)
        assert errors == []
        assert isolation.fresh(lambda it: it.scalars(sa.select(USERS.c.email)).all()) == []
    assert sync.watch.findings == []


def test_who_waits_in_vain_goes_on_says_so_and_waits_for_that_one_no_more(awaited: Suite) -> None:
    """A transaction that is held open by an event which only the waiting one will set."""
    engine = awaited.application.engine

    async def visit() -> tuple[float, float]:
        wrote, release = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            async with AsyncSession(engine) as session:
                await session.execute(add("held@x"))
                wrote.set()
                await release.wait()
                with pytest.raises(IsolationConflictError):
                    await session.rollback()

        holder = asyncio.create_task(hold())
        await wrote.wait()
        took = []
        for name in ("first", "second"):
            began = time.perf_counter()
            async with AsyncSession(engine) as session:
                await session.execute(add(f"{name}@x"))
                await session.commit()
            took.append(time.perf_counter() - began)
        release.set()
        await holder
        return took[0], took[1]

    with under(awaited) as isolation, awaited.test(isolation) as test:
        first, second = asyncio.run(visit())
        assert first >= WAIT_SECONDS
        assert second < SOON
        (note,) = test.notes[NOTES]
        assert "waited 3 s before its first change" in note
        assert note.count("test_turns.py:") == 2


def test_two_that_wait_for_each_other_get_on(awaited: Suite) -> None:
    engine = awaited.application.engine

    async def visit() -> None:
        lock = asyncio.Lock()

        async def both(name: str) -> None:
            """Two sessions in one transaction of work, as an audit trail of its own has."""
            async with AsyncSession(engine) as session, AsyncSession(engine) as audit:
                await session.execute(add(f"{name}@x"))
                async with lock:
                    await audit.execute(add(f"audit-{name}@x"))
                    await audit.commit()
                await session.commit()

        await asyncio.wait_for(asyncio.gather(*(both(str(number)) for number in range(10))), SOON * 5)

    with under(awaited) as isolation, awaited.test(isolation) as test:
        asyncio.run(visit())
        assert isolation.fresh(lambda it: len(it.execute(sa.select(USERS)).all())) == 20
        assert NOTES not in test.notes
