"""The front door: everything that holds for every request, in one plain ASGI layer around the application.

It names the request, checks its head, takes in its body up to a limit, lets the application answer within a
deadline, repeats a request whose transaction was rolled back through nobody's fault, turns every exception
into a problem, puts the security headers on whatever goes out, and writes one line about it.
"""

import asyncio
import logging
from collections.abc import Callable
from time import perf_counter
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashtam.core import logs
from dashtam.core.ids import new_id
from dashtam.core.problems import (
    BODY_TOO_LARGE,
    INTERNAL_ERROR,
    MALFORMED_REQUEST,
    NOT_READY,
    SERVICE_BUSY,
    Problem,
    retry_after,
)
from dashtam.http.addresses import client_address
from dashtam.http.faults import Fault, judge
from dashtam.http.head import BODY_BYTES, Hosts, examine
from dashtam.http.refusals import refusal
from dashtam.http.security_headers import SecurityHeaders
from dashtam.http.visit import KEY, Visit
from dashtam.settings import Settings

BODY_SECONDS = 10.0
ANSWER_SECONDS = 5.5
RETRY_PAUSES = (0.01, 0.05, 0.2)
"""Seconds before the second, third and fourth try of a request that may be repeated."""

_BUSY_SECONDS = 1
_GONE = 499  # in the log only: the client left before it had sent its body
_POLICY_VIOLATION = 1008  # RFC 6455 section 7.4.1

_access = logging.getLogger("dashtam.access")
_errors = logging.getLogger("dashtam.errors")


class _ClientGoneError(Exception):
    """The client closed the connection before its body was complete."""


class _Answer:
    """What goes out: `send`, with the security headers put on, and the status kept for the log."""

    __slots__ = ("_headers", "_send", "bodyless", "status")

    def __init__(self, send: Send, headers: SecurityHeaders, *, bodyless: bool) -> None:
        self._send = send
        self._headers = headers
        self.bodyless = bodyless
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": self._headers.put_on(message["headers"])}
        elif self.bodyless:
            message = {
                "type": "http.response.body",
                "body": b"",
                "more_body": message.get("more_body", False),
            }
        await self._send(message)


class FrontDoor:
    """The ASGI layer around the application."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._app = app
        self._hosts = Hosts.of(settings)
        self._proxies = settings.proxies
        self._https = settings.public_url.startswith("https://")
        self._answer_seconds = answer_seconds
        self._body_seconds = body_seconds
        self._templates: dict[Callable[..., Any] | None, str | None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        peer = scope["client"]
        visit = Visit(
            str(new_id()), client_address(peer[0] if peer else None, scope["headers"], self._proxies)
        )
        headers = SecurityHeaders(visit.request_id, https=self._https)
        answer = _Answer(send, headers, bodyless=scope["method"] == "HEAD")
        named = logs.request_id.set(visit.request_id)
        inner = {**scope, KEY: visit}
        try:
            problem, has_body = examine(scope, self._hosts)
            if problem is None:
                body = await self._body(receive) if has_body else b""
                await self._answer(inner, body, receive, answer)
            else:
                await _refuse(problem, scope, receive, answer)
        except Problem as refused:  # the body's
            await _refuse(refused, scope, receive, answer)
        except _ClientGoneError:
            answer.status = _GONE
        finally:
            self._log(scope["method"], inner, visit, answer.status, perf_counter() - started)
            logs.request_id.reset(named)

    async def _body(self, receive: Receive) -> bytes:
        """The whole body, so that the application can be given it twice."""
        try:
            async with asyncio.timeout(self._body_seconds):
                body = await _whole(receive)
        except TimeoutError:
            raise MALFORMED_REQUEST("The body did not arrive in time.") from None
        if len(body) > BODY_BYTES:
            raise BODY_TOO_LARGE()
        return body

    async def _answer(self, scope: Scope, body: bytes, receive: Receive, answer: _Answer) -> None:
        if scope["method"] == "HEAD":
            scope["method"] = "GET"
        untouched = dict(scope)
        deadline = asyncio.get_running_loop().time() + self._answer_seconds
        for pause in (*RETRY_PAUSES, None):
            patience = asyncio.timeout_at(deadline)
            try:
                async with patience:
                    await self._app(scope, _replay(body, receive), answer)
            except Exception as error:
                if answer.status:  # too late for another answer: the server will close the connection
                    _errors.exception("failed while answering")
                    raise
                fault = Fault.UNKNOWN if patience.expired() else judge(error)
                if fault is Fault.REPEATABLE and pause is not None:
                    await asyncio.sleep(pause)
                    scope.clear()
                    scope.update(untouched)
                    continue
                _tell(fault, error)
                await refusal(_problem_of(fault))(scope, receive, answer)
            return

    def _log(self, method: str, scope: Scope, visit: Visit, status: int, seconds: float) -> None:
        if _access.isEnabledFor(logging.INFO):
            fields = {
                "method": method,
                "route": self._template(scope),
                "status": status,
                "ms": round(seconds * 1000, 2),
                "ip": visit.ip,
            }
            # As `_access.info` would, without walking the stack for the name of this very line.
            record = _access.makeRecord(
                _access.name, logging.INFO, __name__, 0, "request", (), None, extra={"fields": fields}
            )
            _access.handle(record)

    def _template(self, scope: Scope) -> str | None:
        """The matched route as it is declared: unlike the path, it has nothing of the client's in it."""
        endpoint = scope.get("endpoint")
        if endpoint is None:
            return None
        if self._templates is None:
            app: FastAPI = scope["app"]
            self._templates = {route.endpoint: route.path for route in iter_route_contexts(app.routes)}
        return self._templates.get(endpoint)


async def _whole(receive: Receive) -> bytes:
    """The body to its end, or just past the limit."""
    body, more = b"", True
    while more and len(body) <= BODY_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientGoneError
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """`receive` as if the body had just arrived."""
    waiting = True

    async def replayed() -> Message:
        nonlocal waiting
        if waiting:
            waiting = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replayed


async def _refuse(problem: Problem, scope: Scope, receive: Receive, answer: _Answer) -> None:
    """Refuse a request whose body will not be read: the connection cannot be used again."""
    response = refusal(problem)
    response.headers["Connection"] = "close"
    await response(scope, receive, answer)


def _tell(fault: Fault, error: Exception) -> None:
    if fault is Fault.BROKEN:
        _errors.error("unexpected exception", exc_info=error)
    else:
        _errors.warning("could not serve: %s", fault.name.lower(), exc_info=error)


def _problem_of(fault: Fault) -> Problem:
    match fault:
        case Fault.BROKEN:
            return INTERNAL_ERROR()
        case Fault.NOT_READY:
            return retry_after(NOT_READY, _BUSY_SECONDS)
        case Fault.UNKNOWN:
            return SERVICE_BUSY(
                "This was cut off, and may have been done or not: look before you repeat it.",
                headers={"Retry-After": str(_BUSY_SECONDS)},
            )
        case _:
            return retry_after(SERVICE_BUSY, _BUSY_SECONDS)
