"""What tests make: a clock they move, a mailbox they read, and accounts by the calls that a client would use."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any
from uuid import uuid4

import httpx2
from fastapi import FastAPI

from dashtam.app import create_app
from dashtam.core.clock import Clock
from dashtam.core.mail import MemoryTransport
from dashtam.core.passwords import HashCost
from dashtam.core.service import Service
from dashtam.journey.mailbox import Mail, wait_for_token
from dashtam.settings import Settings

API = "/api/v1"
CHEAP = HashCost(memory_kib=8, time_cost=1)
SECRET = "Zk3vQx8pLw2nRt6yBs9dHf4gJm7cXa5eUo1i-tests"
PASSWORD = "seven grey herons over the weir"
OTHER_PASSWORD = "a lantern left burning upstairs"
NAME = "Ada Lovelace"


class MovableClock(Clock):
    """The wall clock, moved by hand."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def now(self) -> datetime:
        """Now, as far as the test has moved it."""
        return datetime.now(UTC) + self.offset

    def move(self, **duration: float) -> None:
        """Let time pass."""
        self.offset += timedelta(**duration)


class _Announcing(MemoryTransport):
    """Says when something has arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.arrival = asyncio.Event()

    async def send(self, message: EmailMessage) -> None:
        """Keep the message, and wake who waits for it."""
        await super().send(message)
        self.arrival.set()
        self.arrival = asyncio.Event()


class MemoryMailbox:
    """Reads what a test deployment's transport took."""

    def __init__(self) -> None:
        self.transport = _Announcing()

    async def changed(self) -> None:
        """Wait until something more has arrived."""
        await self.transport.arrival.wait()

    async def messages(self, to: str) -> Sequence[Mail]:
        """What was delivered to this address, newest first."""
        return [
            Mail(mail.id, mail.to, mail.subject, mail.text, mail.html, mail.sent_at.isoformat())
            for mail in await self.transport.delivered(to)
        ]


@dataclass(frozen=True)
class Account:
    """An account that a test made, and the tokens of its login."""

    email: str
    password: str
    tokens: dict[str, Any]

    @property
    def bearer(self) -> dict[str, str]:
        """The header of a protected call."""
        return bearer(self.tokens["access_token"])

    @property
    def refresh_token(self) -> str:
        """The refresh token of the login."""
        token: str = self.tokens["refresh_token"]
        return token


@dataclass(frozen=True)
class Deployment:
    """A running service as a test sees it."""

    app: FastAPI
    client: httpx2.AsyncClient
    mailbox: MemoryMailbox
    clock: MovableClock
    settings: Settings

    @property
    def service(self) -> Service:
        """The parts of the service, for looking at what is committed."""
        service: Service = self.app.state.service
        return service

    async def post(self, path: str, body: dict[str, Any] | None = None, **more: Any) -> httpx2.Response:
        """POST to the API."""
        return await self.client.post(API + path, json=body, **more)

    async def get(self, path: str, **more: Any) -> httpx2.Response:
        """GET from the API."""
        return await self.client.get(API + path, **more)

    async def token(self, to: str, page: str) -> str:
        """The token of the newest mail to this address that leads to this page."""
        return await wait_for_token(self.mailbox, to, page, patience=10)

    async def mails(self, to: str, count: int) -> Sequence[Mail]:
        """The mails to this address, once there are `count`."""
        async with asyncio.timeout(10):
            while len(found := await self.mailbox.messages(to)) < count:
                await self.mailbox.changed()
        return found

    async def register(self, email: str | None = None, password: str = PASSWORD, name: str = NAME) -> str:
        """Register an address, new if none is given; returns it."""
        email = email or new_email()
        answer = await self.post("/auth/register", {"email": email, "password": password, "name": name})
        assert answer.status_code == 201, answer.text
        return email

    async def verified(self, email: str | None = None, password: str = PASSWORD) -> str:
        """Register and verify an address."""
        email = await self.register(email, password)
        answer = await self.post("/auth/verify-email", {"token": await self.token(email, "verify-email")})
        assert answer.status_code == 200, answer.text
        return email

    async def log_in(self, email: str, password: str = PASSWORD) -> httpx2.Response:
        """Try to log in."""
        return await self.post("/auth/login", {"email": email, "password": password})

    async def logged_in(self, email: str | None = None, password: str = PASSWORD) -> Account:
        """A verified account, logged in; a new one, or another login of a known one."""
        email = email or await self.verified(password=password)
        answer = await self.log_in(email, password)
        assert answer.status_code == 200, answer.text
        return Account(email, password, answer.json())


def new_email() -> str:
    """An address that no other test uses."""
    return f"someone-{uuid4().hex}@example.org"


def bearer(token: str) -> dict[str, str]:
    """The Authorization header of this access token."""
    return {"Authorization": f"Bearer {token}"}


def problem(answer: httpx2.Response) -> str:
    """The slug of the problem that this answer is."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    type_: str = answer.json()["type"]
    return type_.removeprefix("urn:problem-type:dashtam:")


@asynccontextmanager
async def deployed(settings: Settings, hash_cost: HashCost | None = None) -> AsyncIterator[Deployment]:
    """The application of these settings, started, with a client and its mailbox."""
    clock, mailbox = MovableClock(), MemoryMailbox()
    app = create_app(settings, clock=clock, transport=mailbox.transport, hash_cost=hash_cost)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url=settings.public_url) as client,
    ):
        yield Deployment(app, client, mailbox, clock, settings)
