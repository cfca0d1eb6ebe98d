"""What stands before the service, for the doctor to look through: a proxy that is sound, and ways to break it.

The service is the real one, with the settings of production, in this process. The front takes what a client sends
to https://auth.example.org, and to the same host without TLS and at the service's own port, as a proxy on a
machine of its own would.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from starlette.types import ASGIApp, Receive, Scope, Send

from dashtam.core.clock import Clock
from dashtam.doctor.remote import Remote
from dashtam.settings import Settings

URL = "https://auth.example.org"
OWN_PORT = 8000
CLIENT = "198.51.100.7"
"""Who asks, as the front knows it. The front itself is on the service's machine."""


@dataclass
class Answer:
    """An answer of the service on its way out, to be spoilt."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


Request = dict[str, Any]
Rewrite = Callable[[Request], None]
Alter = Callable[[Request, Answer], None]


@dataclass
class Front:
    """A proxy: `rewrite` has its way with requests (by scope), `alter` with answers. Without them it is sound."""

    app: ASGIApp
    rewrite: Rewrite | None = None
    alter: Alter | None = None
    plain_is_served: bool = False
    own_port_is_open: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host, port = scope["server"]
        if port == OWN_PORT and not self.own_port_is_open:
            raise httpx2.ConnectError("nobody listens there")
        if scope["scheme"] == "http" and port != OWN_PORT and not self.plain_is_served:
            answer = Answer(301, {"location": f"https://{host}{scope['path']}"})
        else:
            request = dict(scope)
            answer = await self._asked(request, receive)
            if self.alter and port != OWN_PORT:
                self.alter(request, answer)
        headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _asked(self, request: Request, receive: Receive) -> Answer:
        answer = Answer()

        async def take(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                answer.body += message.get("body", b"")

        request["headers"] = [*request["headers"], (b"x-forwarded-for", CLIENT.encode())]
        if self.rewrite:
            self.rewrite(request)
        await self.app(request, receive, take)
        return answer


@asynccontextmanager
async def through(
    front: Front, *, url: str = URL, clock: Clock | None = None, settings: Settings | None = None
) -> AsyncIterator[Remote]:
    """The server as it is seen through this front."""
    transport = httpx2.ASGITransport(app=front)
    async with httpx2.AsyncClient(transport=transport, base_url=url) as client:
        token = settings.smoke_token.get_secret_value() if settings else ""
        yield Remote(url, client, clock or Clock(), settings=settings, smoke_token=token)


def header(request: Request, name: str) -> str | None:
    """A header of the request."""
    return next((v.decode() for n, v in request["headers"] if n.decode() == name), None)


def put(name: str, value: str) -> Alter:
    """A proxy that sets this header on every answer."""

    def alter(_: Request, answer: Answer) -> None:
        answer.headers[name] = value

    return alter


def take(*names: str) -> Alter:
    """A proxy that takes these headers off every answer."""

    def alter(_: Request, answer: Answer) -> None:
        for name in names:
            answer.headers.pop(name, None)

    return alter


def without(name: str) -> Rewrite:
    """A proxy that does not pass on this header of requests."""

    def rewrite(request: Request) -> None:
        request["headers"] = [(n, v) for n, v in request["headers"] if n.decode() != name]

    return rewrite


def own_host(request: Request) -> None:
    """The proxy sends the service's own name in place of the Host it was sent."""
    without("host")(request)
    request["headers"].append((b"host", b"auth.example.org"))
