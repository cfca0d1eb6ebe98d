"""Objects that went stale under real applications, clients, sessions and isolations."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlmodel import Session as ModelSession
from stale_place import Item, Place, User, held
from starlette.testclient import TestClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dbparity.testing.postgres import PrivateCluster


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(f"sqlite:///{tmp_path}/app.db", tmp_path)
    yield place
    place.close()


@pytest.fixture
def postgres_place(cluster: PrivateCluster, tmp_path: Path) -> Iterator[Place]:
    with cluster.database() as url:
        place = Place(url.replace("asyncpg", "psycopg"), tmp_path)
        yield place
        place.close()


def test_a_real_application_and_sqlmodel(place: Place) -> None:
    app = FastAPI()

    @app.patch("/items/{name}")
    def patch(name: str) -> None:
        with ModelSession(place.engine) as session:
            session.get_one(Item, 1).name = name
            session.commit()

    with ModelSession(place.engine, expire_on_commit=False) as session:
        item = session.get_one(Item, 1)
        session.commit()
        TestClient(app).patch("/items/table")
        assert item.name == "chair"
    (message,) = place.messages()
    assert "Item 1" in message
    assert (
        "since request 1 (PATCH /items/table): name is 'chair' there and 'table' in the database" in message
    )
    assert "in patch" in place.watch.findings[0].evidence[0]


def test_async_sessions_on_postgresql(postgres_place: Place) -> None:
    place = postgres_place
    engine = create_async_engine(place.url.set(drivername="postgresql+asyncpg"))
    app = FastAPI()

    @app.patch("/users/{name}")
    async def patch(name: str) -> None:
        async with AsyncSession(engine) as session:
            (await session.get_one(User, 1)).name = name
            await session.commit()

    async def body() -> None:
        async with AsyncSession(engine, expire_on_commit=False) as session:
            user = await session.get_one(User, 1)
            await session.commit()
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
                await client.patch("/users/Eve")
            assert user.name == "Ann"
            fresh = await session.get_one(User, 2)
            await client_sound(session, fresh)
        await engine.dispose()

    async def client_sound(session: AsyncSession, fresh: User) -> None:
        await asyncio.to_thread(place.rename, 2, "Bill")
        await session.refresh(fresh)
        assert fresh.name == "Bill"

    asyncio.run(body())
    (message,) = place.messages()
    assert "User 1" in message
    assert "since request 1 (PATCH /users/Eve): name is 'Ann' there and 'Eve' in the database" in message
    assert " in patch" in place.watch.findings[0].evidence[0]


def test_a_lock_is_not_waited_for(postgres_place: Place) -> None:
    place = postgres_place
    session, user = held(place)
    with place.engine.connect() as locking:
        locking.execute(text("LOCK TABLE users IN ACCESS EXCLUSIVE MODE"))
        began = datetime.now(UTC)
        assert place.messages() == []
        assert (datetime.now(UTC) - began).total_seconds() < 5
    assert "OperationalError" in place.stale.note
    assert user.name == "Ann"
    session.close()
