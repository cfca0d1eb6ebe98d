"""A failure is traced to what is wrong with the server, in words that say what to do."""

from __future__ import annotations

from collections.abc import Sequence

import httpx2
import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from dashtam.journey import Failure, Mail, play


class NoMail:
    async def messages(self, to: str) -> Sequence[Mail]:
        return []


class Down:
    """Answers every call with 503, and readiness as told."""

    def __init__(self, ready: Response, **headers: str) -> None:
        self.ready = ready
        self.headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        busy = Response(status_code=503, headers=self.headers)
        await (self.ready if scope["path"] == "/health/ready" else busy)(scope, receive, send)


async def failure_of(transport: httpx2.AsyncBaseTransport) -> Failure:
    async with httpx2.AsyncClient(transport=transport, base_url="http://toy.test") as client:
        result = await play(client, NoMail(), patience=0)
    assert result.failure is not None
    return result.failure


NO_TABLE = {"checks": {"schema": {"ok": False, "reason": "table users is missing"}}}
NO_TABLES = {"schema": {"status": "wrong", "problems": ["no table a", "no table b"]}}
NO_DATABASE = {"checks": {"database": {"status": "down"}, "schema": {"status": "OK"}}}
A_PROBLEM = {"type": "urn:x", "detail": "cannot connect to the database"}


@pytest.mark.parametrize(
    ("ready", "quoted", "cure"),
    [
        (JSONResponse(NO_TABLE, 503), "schema: table users is missing", "migrate up"),
        (JSONResponse(NO_TABLES, 503), "no table a, no table b", "migrate up"),
        (JSONResponse(NO_DATABASE, 503), "database: down", "DATABASE_URL"),
        (JSONResponse(A_PROBLEM, 503), "cannot connect", "DATABASE_URL"),
        (JSONResponse(["odd"], 503), '["odd"]', ""),
        (PlainTextResponse("upstream  is\n away", 503), "upstream is away", ""),
        (PlainTextResponse("", 503), "no reason given", ""),
        (PlainTextResponse("x" * 900, 503), "x…", ""),
    ],
)
async def test_an_unready_server_is_quoted_with_the_cure(ready: Response, quoted: str, cure: str):
    failure = await failure_of(httpx2.ASGITransport(Down(ready)))
    assert "/health/ready answers 503" in failure.diagnosis
    assert quoted in failure.diagnosis
    assert cure in failure.diagnosis
    assert ("migrate up" in failure.diagnosis) is (cure == "migrate up")


async def test_a_busy_server_is_quoted_with_its_wait():
    failure = await failure_of(httpx2.ASGITransport(Down(JSONResponse({}), **{"Retry-After": "2"})))
    assert "asks to try again in 2 s" in failure.diagnosis


@pytest.mark.parametrize(
    ("error", "diagnosis"),
    [
        (httpx2.ConnectError, "Nothing answers at http://toy.test: is it running?"),
        (httpx2.ConnectTimeout, "Nothing answers at http://toy.test: is it running?"),
        (httpx2.ReadTimeout, "http://toy.test did not answer in time"),
        (httpx2.ReadError, "The connection to http://toy.test broke (ReadError)"),
    ],
)
async def test_a_transport_that_fails_is_an_unreachable_server(
    error: type[httpx2.TransportError], diagnosis: str
):
    class Cut(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            raise error("cut", request=request)

    failure = await failure_of(Cut())
    assert failure.unreachable
    assert failure.diagnosis.startswith(diagnosis)


async def test_a_server_that_dies_after_its_answer_is_said_to_be_gone():
    class Dying(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            if request.url.path == "/health/ready":
                raise httpx2.ConnectError("refused", request=request)
            return httpx2.Response(500)

    failure = await failure_of(Dying())
    assert "answered 500 and is gone since" in failure.diagnosis
    assert not failure.unreachable
