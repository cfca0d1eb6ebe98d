"""The floors: the least that could do a job, under the server and the settings that the service runs under.

`python -m benchmarks.floors NAME PORT`. A floor checks no token, counts no try and logs no line.
"""

import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

import aiosqlite
import asyncpg
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

_POOL = 16
_SELECT = (
    "SELECT id, email, name, email_verified_at IS NOT NULL AS email_verified, is_active, created_at, updated_at"
    " FROM users WHERE id = $1"
)
_UPDATE = (
    "UPDATE sessions SET generation = generation + 1, rotated_at = $2, last_seen_at = $2 WHERE id = $1"
    " RETURNING id, user_id, generation, nonce"
)


class Account(BaseModel):
    """What the profile says, too."""

    id: UUID
    email: str
    name: str
    email_verified: bool
    is_active: bool
    created_at: datetime
    updated_at: datetime


class Key(BaseModel):
    """Which row to update."""

    key: UUID


class Generation(BaseModel):
    """What an update is answered with."""

    id: UUID
    generation: int


class Rows(Protocol):
    """One statement and its only row, committed if it writes."""

    async def one(self, statement: str, key: UUID, *more: datetime) -> dict[str, Any]: ...


class _Postgresql:
    def __init__(self, pool: Any) -> None:  # noqa: ANN401  asyncpg publishes no types
        self._pool = pool

    async def one(self, statement: str, key: UUID, *more: datetime) -> dict[str, Any]:
        return dict(await self._pool.fetchrow(statement, key, *more))


class _Sqlite:
    """Without a transaction of its own each statement commits by itself; a statement is one trip to the thread."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def one(self, statement: str, key: UUID, *more: datetime) -> dict[str, Any]:
        parameters = (key.hex, *(moment.isoformat() for moment in more))
        numbered = statement.replace("$", "?")
        return dict(next(iter(await self._connection.execute_fetchall(numbered, parameters))))


@asynccontextmanager
async def _rows() -> AsyncIterator[Rows]:
    url = os.environ["DATABASE_URL"]
    if url.startswith("sqlite"):
        path = url.removeprefix("sqlite:///")
        async with aiosqlite.connect(path, isolation_level=None) as connection:
            connection.row_factory = aiosqlite.Row
            for pragma in ("busy_timeout=5000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                await connection.execute(f"PRAGMA {pragma}")
            yield _Sqlite(connection)
    else:
        async with asyncpg.create_pool(url, min_size=_POOL, max_size=_POOL) as pool:
            yield _Postgresql(pool)


def bare() -> Starlette:
    """Starlette and nothing else."""

    async def hello(_: Request) -> JSONResponse:
        return JSONResponse({"status": "healthy"})

    return Starlette(routes=[Route("/health", hello)])


def framework() -> FastAPI:
    """FastAPI and nothing else."""
    app = FastAPI(openapi_url=None)

    @app.get("/health")
    async def hello() -> dict[str, str]:
        return {"status": "healthy"}

    return app


def statements() -> FastAPI:
    """FastAPI and one statement, straight through the driver."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _rows() as rows:
            app.state.rows = rows
            yield

    app = FastAPI(openapi_url=None, lifespan=lifespan)

    @app.get("/select/{key}")
    async def select(key: UUID) -> Account:
        return Account(**await app.state.rows.one(_SELECT, key))

    @app.post("/update")
    async def update(form: Key) -> Generation:
        return Generation(**await app.state.rows.one(_UPDATE, form.key, datetime.now(UTC)))

    @app.get("/health")
    async def hello() -> dict[str, str]:
        return {"status": "healthy"}

    return app


def _serve(app: ASGIApp, port: int) -> None:
    uvicorn.run(
        app, port=port, loop="uvloop", http="httptools", ws="none", log_level="warning", server_header=False
    )


def _end_at_eof() -> None:
    while os.read(0, 64):
        pass
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=_end_at_eof, daemon=True).start()
    _serve({"bare": bare, "framework": framework, "statements": statements}[sys.argv[1]](), int(sys.argv[2]))
