"""A small application made of the real parts: the front door, strict routes, and a few routes to try them on."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from fastapi import APIRouter, FastAPI
from sqlalchemy import CursorResult, text
from sqlmodel.ext.asyncio.session import AsyncSession

from dashtam.core import service as service_
from dashtam.core.clock import Clock
from dashtam.core.problems import EMAIL_TAKEN
from dashtam.core.service import Service
from dashtam.http import (
    Client,
    CurrentSession,
    Email,
    Form,
    Message,
    Name,
    Password,
    TokenText,
    answers,
    assemble,
)
from dashtam.settings import Settings, load

HOST = "testserver"
SECRET = "Zk3vQx8pLw2nRt6yBs9dHf4gJm7cXa5eUo1i-tests"


class Thing(Form):
    email: Email
    name: Name = "Ada"
    password: Password | None = None
    token: TokenText = "-"


def routes() -> APIRouter:
    router = APIRouter(prefix="/things", tags=["things"])

    @router.post("", status_code=201, responses=answers(EMAIL_TAKEN))
    async def post_thing(form: Thing) -> Message:
        return Message(message=f"{len(form.name)} {form.password!r}")

    @router.get("")
    async def get_things(limit: int = 3) -> Message:
        return Message(message=str(limit))

    @router.put("/{number}")
    async def put_thing(number: int, form: Thing) -> Message:
        return Message(message=f"{number} {form.name}")

    @router.delete("/{number}")
    async def delete_thing(number: int) -> Message:
        return Message(message=str(number))

    @router.get("/who/asks")
    async def get_who(client: Client) -> Message:
        return Message(message=f"{client.ip} {client.user_agent} {client.request_id}")

    @router.get("/mine/only")
    async def get_mine(current: CurrentSession) -> Message:
        return Message(message=current.email)

    return router


def made_settings(folder: Path, **given: Any) -> Settings:
    defaults = {
        "environment": "test",
        "secret_key": SECRET,
        "var_dir": folder,
        "mail_transport": "memory",
        "public_url": f"http://{HOST}",
    }
    return load(**(defaults | given))


def made_app(settings: Settings, *routers: APIRouter, roots: Sequence[APIRouter] = ()) -> FastAPI:
    service = service_.build(settings, Clock())
    below = [("/api", router) for router in (routes(), *routers)]
    return assemble(service, [*below, *(("", root) for root in roots)], _lifespan)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    service: Service = app.state.service
    await service.database.dispose()
    service.passwords.close()


@asynccontextmanager
async def calling(app: FastAPI, *, peer: str = "127.0.0.1") -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False, client=(peer, 1234))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url=f"http://{HOST}") as client,
    ):
        yield client


async def run(db: AsyncSession, statement: str, **values: Any) -> CursorResult[Any]:
    """Run SQL in the transaction of this session."""
    return await (await db.connection()).execute(text(statement), values)
