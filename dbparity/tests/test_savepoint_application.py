"""A FastAPI application as it is written, its clients as they are used, under savepoint isolation."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import httpx2
import pytest
import sqlalchemy as sa
from fastapi import Depends, FastAPI, HTTPException
from isolated import USERS, Suite, asked
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker
from starlette.testclient import TestClient

from dbparity.isolation.savepoint import SavepointIsolation


@pytest.fixture
def application(suite: Suite) -> FastAPI:
    return (
        asynchronous(suite.application.engine)
        if suite.application.is_async
        else sync(suite.application.engine)
    )


def sync(engine: Any) -> FastAPI:
    application, maker = FastAPI(), sessionmaker(engine)

    def session() -> Iterator[Session]:
        with maker() as session:
            yield session

    Open = Annotated[Session, Depends(session)]  # noqa: N806 - a type

    @application.post("/users/{email}", status_code=201)
    def register(email: str, session: Open) -> dict[str, int]:
        try:
            row = session.execute(USERS.insert().values(email=email).returning(USERS.c.id)).one()
            session.commit()
        except IntegrityError as error:
            session.rollback()
            taken = session.scalar(sa.select(USERS.c.id).where(USERS.c.email == email))
            raise HTTPException(409, f"taken by {taken}") from error
        return {"id": row.id}

    @application.post("/forgotten/{email}")
    def forget(email: str, session: Open) -> None:
        session.execute(USERS.insert().values(email=email))

    @application.get("/users")
    def users(session: Open) -> list[str]:
        return list(session.scalars(sa.select(USERS.c.email).order_by(USERS.c.email)))

    return application


def asynchronous(engine: Any) -> FastAPI:
    application, maker = FastAPI(), async_sessionmaker(engine)

    async def session() -> AsyncIterator[AsyncSession]:
        async with maker() as session:
            yield session

    Open = Annotated[AsyncSession, Depends(session)]  # noqa: N806 - a type

    @application.post("/users/{email}", status_code=201)
    async def register(email: str, session: Open) -> dict[str, int]:
        try:
            row = (await session.execute(USERS.insert().values(email=email).returning(USERS.c.id))).one()
            await session.commit()
        except IntegrityError as error:
            await session.rollback()
            taken = await session.scalar(sa.select(USERS.c.id).where(USERS.c.email == email))
            raise HTTPException(409, f"taken by {taken}") from error
        return {"id": row.id}

    @application.post("/forgotten/{email}")
    async def forget(email: str, session: Open) -> None:
        await session.execute(USERS.insert().values(email=email))

    @application.get("/users")
    async def users(session: Open) -> list[str]:
        return list(await session.scalars(sa.select(USERS.c.email).order_by(USERS.c.email)))

    return application


def test_requests_through_starlettes_client_each_on_a_loop_of_its_own(
    suite: Suite, isolation: SavepointIsolation, application: FastAPI
) -> None:
    for _ in range(2):
        with suite.test(isolation):
            client = TestClient(application)
            assert client.post("/users/a@x").status_code == 201
            assert client.post("/users/a@x").status_code == 409
            assert client.post("/users/b@x").status_code == 201
            client.post("/forgotten/c@x")
            assert client.get("/users").json() == ["a@x", "b@x"]
            with TestClient(application) as other:
                assert other.get("/users").json() == ["a@x", "b@x"]
                assert other.post("/users/d@x").status_code == 201
    assert asked(suite.url, "SELECT count(*) FROM users") == [(0,)]
    assert suite.watch.findings == []


def test_requests_at_once_through_an_async_client(
    suite: Suite, isolation: SavepointIsolation, application: FastAPI
) -> None:
    async def visit() -> tuple[list[int], list[str]]:
        transport = httpx2.ASGITransport(application)
        async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
            answers = await asyncio.gather(*(client.post(f"/users/{name}@x") for name in "abcabc"))
            return sorted(answer.status_code for answer in answers), (await client.get("/users")).json()

    for _ in range(2):
        with suite.test(isolation):
            statuses, emails = asyncio.run(visit())
            # Who comes second meets the first one's row, as it would wait for it in production.
            assert statuses == [201] * 3 + [409] * 3
            assert emails == ["a@x", "b@x", "c@x"]
    assert asked(suite.url, "SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize("suite", ["sqlite", "psycopg"], indirect=True)
def test_the_tests_own_session_stands_open_around_the_requests(
    suite: Suite, isolation: SavepointIsolation, application: FastAPI
) -> None:
    with suite.test(isolation), Session(suite.application.engine) as session:
        session.execute(USERS.insert().values(email="seed@x"))
        session.commit()
        assert len(session.execute(sa.select(USERS)).all()) == 1
        client = TestClient(application)
        assert client.post("/users/seed@x").status_code == 409
        assert client.post("/users/a@x").status_code == 201
        assert len(session.execute(sa.select(USERS)).all()) == 2
        session.rollback()
        assert client.get("/users").json() == ["a@x", "seed@x"]
        assert isolation.fresh(lambda it: it.scalar(sa.select(sa.func.count()).select_from(USERS))) == 2
    assert suite.watch.findings == []
