"""What the doctor examines from outside: a server, by its URL alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx2

from dashtam.core.clock import Clock
from dashtam.doctor.check import FoundError, failure
from dashtam.settings import Settings

_ANSWER_SECONDS = 1.8
"""Less than a check may take, so that silence is told as what it is."""
_NOBODYS = (".localhost", ".local", ".internal", ".lan", ".test", ".invalid")


@dataclass(frozen=True)
class Remote:
    """A server as strangers see it. `settings` are its own where they are known, which is from beside it only."""

    url: str
    client: httpx2.AsyncClient
    clock: Clock
    prefix: str = "/api/v1"
    settings: Settings | None = None
    smoke_token: str = field(default="", repr=False)

    @property
    def https(self) -> bool:
        """Whether we ask through TLS."""
        return urlsplit(self.url).scheme == "https"

    @property
    def host(self) -> str:
        """The name or address that is asked."""
        return urlsplit(self.url).hostname or ""

    @property
    def is_public(self) -> bool:
        """Whether this looks like an address for others than whoever runs it."""
        return self.https or not _is_close(self.host)

    async def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:  # noqa: ANN401  handed through
        """The answer to this request; that there is none ends the check."""
        try:
            return await self.client.request(method, path, **more)
        except httpx2.TransportError as error:
            raise FoundError(
                failure(
                    f"{method} {path} got no answer: {type(error).__name__}",
                    "Other requests are answered: look for what stops this one on its way, and at the server's log.",
                )
            ) from None

    async def get(self, path: str, **more: Any) -> httpx2.Response:  # noqa: ANN401  handed through
        """The answer to a GET."""
        return await self.ask("GET", path, **more)


def _is_close(host: str) -> bool:
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(_NOBODYS)


@asynccontextmanager
async def remote(
    url: str,
    *,
    clock: Clock | None = None,
    prefix: str = "/api/v1",
    settings: Settings | None = None,
    host: str = "",
    smoke_token: str = "",
) -> AsyncIterator[Remote]:
    """That server, with a client that follows no redirect; `host` is sent as the Host in place of the URL's."""
    headers = {"User-Agent": "dashtam-doctor", **({"Host": host} if host else {})}
    async with httpx2.AsyncClient(base_url=url, timeout=_ANSWER_SECONDS, headers=headers) as client:
        yield Remote(url, client, clock or Clock(), prefix, settings, smoke_token)
