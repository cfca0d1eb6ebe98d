"""What a route may ask for: the service, a transaction, who asks, the time, and the session that asks."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from sqlmodel.ext.asyncio.session import AsyncSession

from dashtam.core import audit, sessions
from dashtam.core.access_tokens import TokenRefusedError
from dashtam.core.problems import SESSION_INVALID, Problem
from dashtam.core.service import Service
from dashtam.http.visit import visit_of

_USER_AGENT_LENGTH = 255
_CHALLENGE = 'Bearer realm="dashtam"'


def service_of(request: Request) -> Service:
    """The service that this request's application serves."""
    service: Service = request.app.state.service
    return service


async def _service(request: Request) -> Service:
    return service_of(request)


async def _now(request: Request) -> datetime:
    return service_of(request).clock.now()


async def _client(request: Request) -> audit.Client:
    visit = visit_of(request.scope)
    agent = request.headers.get("user-agent")
    return audit.Client(
        ip=visit.ip, user_agent=_readable(agent) if agent else None, request_id=visit.request_id
    )


async def _transaction(request: Request) -> AsyncIterator[AsyncSession]:
    async with service_of(request).database.write() as db:
        yield db


class _Bearer(SecurityBase):
    """The session behind the one bearer token of a request (RFC 6750), or the refusal of it."""

    def __init__(self) -> None:
        self.model = HTTPBearer(bearerFormat="JWT", description="The access token of a login or refresh.")
        self.scheme_name = "bearer"

    async def __call__(self, request: Request) -> sessions.Current:
        service = service_of(request)
        now = service.clock.now()
        try:
            claims = service.access_tokens.read(_token(request.scope["headers"]), now)
        except TokenRefusedError:
            raise _unauthorized(sent=True) from None
        current = await sessions.current(service.database, claims, now, service.lifetimes.idle)
        if current is None:
            raise _unauthorized(sent=True)
        return current


def _token(headers: list[tuple[bytes, bytes]]) -> str:
    values = [value for name, value in headers if name == b"authorization"]
    if not values:
        raise _unauthorized(sent=False)
    scheme, _, token = values[0].decode("latin-1").partition(" ")
    token = token.strip(" ")
    if scheme.lower() != "bearer" or not token or len(values) > 1:
        raise _unauthorized(sent=scheme.lower() == "bearer" or len(values) > 1)
    return token


def _unauthorized(*, sent: bool) -> Problem:
    """RFC 6750 section 3.1: the error is named only to those who sent a token."""
    challenge = f'{_CHALLENGE}, error="invalid_token"' if sent else _CHALLENGE
    return SESSION_INVALID(headers={"WWW-Authenticate": challenge})


def _readable(text: str) -> str:
    text = text[:_USER_AGENT_LENGTH]
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


Services = Annotated[Service, Depends(_service)]
"""The parts of the running service."""

Now = Annotated[datetime, Depends(_now)]
"""The moment at which the request is served."""

Client = Annotated[audit.Client, Depends(_client)]
"""Who asks."""

Db = Annotated[AsyncSession, Depends(_transaction, scope="function")]
"""The transaction of a request. `scope="function"` commits it before the answer leaves."""

CurrentSession = Annotated[sessions.Current, Depends(_Bearer())]
"""The account and session that ask; 401 for everybody else."""
