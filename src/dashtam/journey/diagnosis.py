"""Says why a step failed beyond what it saw itself: the server is down, unready, busy, or another one."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Final

import httpx2

from dashtam.journey.trip import Wire

_QUOTED_CHARACTERS: Final = 400
_OK_WORDS: Final = frozenset({True, "ok", "up", "healthy", "ready", "true", "pass"})


async def diagnose(wire: Wire, error: Exception) -> tuple[str, bool]:
    """Return a diagnosis (empty when the step's own words say all) and whether the server was unreachable."""
    if isinstance(error, httpx2.TransportError):
        return _no_answer(wire, error), True
    answer = wire.response
    if answer is None:
        return "", False
    if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return await _server_fault(wire, answer), False
    return _other_server(wire, answer), False


def place(wire: Wire) -> str:
    """Name the server in a message: its base URL, or the process itself."""
    return str(wire.client.base_url.copy_with(userinfo=b"")).rstrip("/") or "the application in this process"


def _no_answer(wire: Wire, error: httpx2.TransportError) -> str:
    url = place(wire)
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
        return (
            f"Nothing answers at {url}: is it running? Start it with `dashtam up`, "
            "or give the address it has: `dashtam smoke URL`."
        )
    if isinstance(error, httpx2.TimeoutException):
        return f"{url} did not answer in time: is it overloaded, or waiting for its database?"
    return f"The connection to {url} broke ({type(error).__name__}): look at its log, it may have crashed."


async def _server_fault(wire: Wire, answer: httpx2.Response) -> str:
    try:
        ready = await wire.client.get("/health/ready", follow_redirects=False)
    except httpx2.TransportError:
        return f"{place(wire)} answered {answer.status_code} and is gone since: look at the server's log."
    if ready.status_code != HTTPStatus.OK:
        reason = _reason(ready)
        return f"/health/ready answers {ready.status_code}: {reason.rstrip('.')}.{_cure(reason)}"
    if retry := answer.headers.get("retry-after"):
        return f"The server is ready but busy, and asks to try again in {retry} s."
    return "/health/ready answers 200, so database and schema are there: look into the server's log."


def _reason(ready: httpx2.Response) -> str:
    try:
        body = ready.json()
    except ValueError:
        return _shorten(ready.text)
    if not isinstance(body, dict):
        return _shorten(ready.text)
    if troubles := _troubles(body):
        return _shorten("; ".join(troubles))
    detail = body.get("detail") or body.get("reason")
    return _shorten(detail if isinstance(detail, str) else json.dumps(body))


def _troubles(body: dict[str, object]) -> list[str]:
    checks = body.get("checks", body)
    if not isinstance(checks, dict):
        return []
    return [f"{name}: {trouble}" for name, found in checks.items() if (trouble := _trouble(found))]


def _trouble(found: object) -> str:
    """Read one check of a readiness answer: `{ok: false, reason}`, `{status: "…", detail}` or alike."""
    if not isinstance(found, dict):
        return ""
    state = found.get("ok", found.get("status", True))
    if (state.lower() if isinstance(state, str) else state) in _OK_WORDS:
        return ""
    for key in ("reason", "detail", "problems", "message"):
        if value := found.get(key):
            return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return str(state)


def _cure(reason: str) -> str:
    words = reason.lower()
    if any(word in words for word in ("schema", "table", "column", "migrat", "revision")):
        return " Run `dashtam migrate up` against this database: it mends it, or says what to do."
    if any(word in words for word in ("database", "connect")):
        return " Check DATABASE_URL, and that the database is running."
    return ""


def _other_server(wire: Wire, answer: httpx2.Response) -> str:
    if answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        wait = f"; try again in {retry} s" if (retry := answer.headers.get("retry-after")) else ""
        return f"The server throttles this client{wait}."
    if location := answer.headers.get("location"):
        return f"The server redirects to {location}: give the address it redirects to."
    media_type = answer.headers.get("content-type", "").split(";")[0]
    if (
        answer.status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}
        or media_type == "text/html"
    ):
        return (
            f"Something answers at {place(wire)}, but no Dashtam API below {wire.prefix or '/'}: "
            "is the address right, and API_V1_PREFIX?"
        )
    return ""


def _shorten(text: str) -> str:
    text = " ".join(text.split()) or "no reason given"
    return text if len(text) <= _QUOTED_CHARACTERS else f"{text[:_QUOTED_CHARACTERS]}…"
