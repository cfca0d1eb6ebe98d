"""Acknowledged means committed: the moment the head of the answer is sent, a second connection sees the row."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from dashtam.core.db import Database
from dashtam.core.problems import EMAIL_TAKEN
from dashtam.http import Db, Message, Refusal, refusal
from tests.http.small_app import calling, made_app, made_settings, run


async def _late(request: Request) -> AsyncIterator[AsyncSession]:
    async with request.app.state.service.database.write() as db:
        yield db


LateDb = Annotated[AsyncSession, Depends(_late)]  # the planted fault: FastAPI's default scope


def routes() -> APIRouter:
    router = APIRouter()

    @router.post("/kept", status_code=201)
    async def post_kept(db: Db) -> Message:
        await run(db, "INSERT INTO t VALUES (1)")
        return Message(message="kept")

    @router.post("/late", status_code=201)
    async def post_late(db: LateDb) -> Message:
        await run(db, "INSERT INTO t VALUES (1)")
        return Message(message="kept")

    @router.post("/returned", response_model=Message)
    async def post_returned(db: Db) -> Refusal:
        await run(db, "INSERT INTO t VALUES (1)")
        return refusal(EMAIL_TAKEN())

    @router.post("/raised")
    async def post_raised(db: Db) -> Message:
        await run(db, "INSERT INTO t VALUES (1)")
        raise EMAIL_TAKEN()

    @router.post("/invalid")
    async def post_invalid(db: Db) -> Message:
        await run(db, "INSERT INTO t VALUES (1)")
        return "no message"  # type: ignore[return-value]

    return router


class Probe:
    """Around the application: counts the rows that another connection sees when the head of the answer leaves."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.seen: int | None = None
        self.database: Database = app.state.service.database

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def watching(message: Any) -> None:
            if message["type"] == "http.response.start":
                async with self.database.connect() as second:
                    self.seen = (await second.execute(text("SELECT count(*) FROM t"))).scalar_one()
            await send(message)

        await self.app(scope, receive, watching)


async def rows_when_acknowledged(tmp_path: Path, path: str) -> tuple[int, int | None]:
    app = made_app(made_settings(tmp_path), routes())
    async with app.state.service.database.write() as db:
        await run(db, "CREATE TABLE t (x int)")
    probe = Probe(app)
    async with calling(app) as client:
        client._transport.app = probe  # type: ignore[attr-defined]  # noqa: SLF001  the server's place
        answer = await client.post(f"/api/{path}")
    return answer.status_code, probe.seen


async def test_the_row_is_there_when_the_answer_leaves(tmp_path: Path) -> None:
    assert await rows_when_acknowledged(tmp_path, "kept") == (201, 1)


async def test_the_probe_sees_a_commit_that_comes_too_late(tmp_path: Path) -> None:
    assert await rows_when_acknowledged(tmp_path, "late") == (201, 0)


async def test_a_returned_refusal_keeps_what_was_written(tmp_path: Path) -> None:
    assert await rows_when_acknowledged(tmp_path, "returned") == (409, 1)


@pytest.mark.parametrize(("path", "status"), [("raised", 409), ("invalid", 500)])
async def test_a_raised_refusal_drops_what_was_written(tmp_path: Path, path: str, status: int) -> None:
    assert await rows_when_acknowledged(tmp_path, path) == (status, 0)
