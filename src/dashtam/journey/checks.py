"""The four short checks that stand beside the journey; each raises `Mismatch` when it does not hold."""

from __future__ import annotations

import re
import secrets
from http import HTTPStatus
from typing import Final

import httpx2

from dashtam.journey import expect
from dashtam.journey.expect import Mismatch
from dashtam.journey.runner import DEFAULT_DOMAIN
from dashtam.journey.trip import Wire

# Refused by every allowed policy: below the default length, and on the list where eight characters suffice.
WEAK_PASSWORD: Final = "password"  # noqa: S105 - the point of it

_LINKED: Final = re.compile(r"<(?:script|link|img)\b[^>]*?\b(?:src|href)=[\"']([^\"']+)", re.IGNORECASE)


async def health_answers(client: httpx2.AsyncClient) -> None:
    """Ask for health, liveness and readiness: healthy, 200 and 200."""
    health = await _get(client, "/health", "application/json")
    if (state := health.json().get("status")) != "healthy":
        raise Mismatch("status “healthy”", f"{state!r}")
    for path in ("/health/live", "/health/ready"):
        await _get(client, path, "application/json")


async def docs_reachable(client: httpx2.AsyncClient, *, prefix: str = "/api/v1") -> None:
    """Open both documentation pages and all they load, which is from this server; OpenAPI lists the login."""
    for path in ("/docs", "/redoc"):
        page = await _get(client, path, "text/html")
        for asset in dict.fromkeys(_LINKED.findall(page.text)):
            await _get_asset(client, page, asset)
    paths = (await _get(client, "/openapi.json", "application/json")).json().get("paths", {})
    if f"{prefix}/auth/login" not in paths:
        raise Mismatch(f"{prefix}/auth/login among the documented paths", f"{len(paths)} others")


async def wrong_login_refused(
    client: httpx2.AsyncClient, *, prefix: str = "/api/v1", domain: str = DEFAULT_DOMAIN
) -> None:
    """Log in as nobody: it is refused, and the refusal echoes neither address nor password."""
    email, password = _stranger(domain), secrets.token_urlsafe(24)
    answer = await Wire(client, prefix).call("POST", "/auth/login", {"email": email, "password": password})
    expect.a_problem(answer, HTTPStatus.UNAUTHORIZED, "invalid-credentials")
    _echoes_not(answer, email, password)


async def weak_password_refused(
    client: httpx2.AsyncClient, *, prefix: str = "/api/v1", domain: str = DEFAULT_DOMAIN
) -> None:
    """Register with a common short password: it is refused, nothing is echoed, no account is made."""
    wire, account = Wire(client, prefix), {"email": _stranger(domain), "password": WEAK_PASSWORD}
    answer = await wire.call("POST", "/auth/register", account | {"name": "Weak Password"})
    slugs = ("password-too-short", "password-blocked")
    expect.a_problem(answer, HTTPStatus.UNPROCESSABLE_ENTITY, *slugs)
    _echoes_not(answer, account["email"])
    login = await wire.call("POST", "/auth/login", account)
    expect.a_problem(login, HTTPStatus.UNAUTHORIZED, "invalid-credentials")


async def _get(client: httpx2.AsyncClient, path: str, media_type: str) -> httpx2.Response:
    answer = await client.get(path, follow_redirects=False)
    if answer.status_code != HTTPStatus.OK:
        raise Mismatch(f"GET {path} to answer 200", expect.summary(answer))
    given = answer.headers.get("content-type", "")
    if not given.startswith(media_type):
        raise Mismatch(f"GET {path} as {media_type}", given or "no content type")
    return answer


async def _get_asset(client: httpx2.AsyncClient, page: httpx2.Response, asset: str) -> None:
    if asset.startswith("data:"):
        return
    url = page.url.join(asset)
    if (url.scheme, url.netloc) != (page.url.scheme, page.url.netloc):
        raise Mismatch(f"{page.url.path} to load nothing from elsewhere", f"it loads {asset}")
    answer = await client.get(url, follow_redirects=False)
    if answer.status_code != HTTPStatus.OK:
        raise Mismatch(f"{asset}, which {page.url.path} loads, to be there", expect.summary(answer))


def _stranger(domain: str) -> str:
    return f"journey-{secrets.token_hex(8)}@{domain}"


def _echoes_not(answer: httpx2.Response, *sent: str) -> None:
    if any(value in answer.text for value in sent):
        raise Mismatch("a refusal that does not repeat what was sent", "one that does")
