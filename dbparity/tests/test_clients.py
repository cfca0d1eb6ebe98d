"""Requests in process: known to the code that serves them, wherever that runs, and to nobody afterwards."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import httpx2
import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from starlette.testclient import TestClient

from dbparity.request import current_request
from dbparity.sessions.clients import Clients
from dbparity.watch import Detector, RunningTest, Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from dbparity.request import Request


class Journal(Detector):
    """Notes what it is told, and whether the request is the current one where it is told."""

    name = "journal"

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def request_began(self, request: Request) -> None:
        assert current_request() is request
        self.told.append(("began", request.label))

    def request_ended(self, request: Request) -> None:
        assert current_request() is request
        self.told.append(("ended", request.label))


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def watch(journal: Journal) -> Iterator[Watch]:
    watch = Watch([Clients(), journal], {})
    watch.start()
    watch.begin_test(RunningTest("test_x.py::test_it"))
    yield watch
    watch.end_test()
    watch.forget_test()
    watch.stop()


def here() -> str:
    return str(current_request())


def depended() -> str:
    return here()


async def depended_async() -> str:
    return here()


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    app.add_api_route("/sync", seen_sync)
    app.add_api_route("/async", seen_async, methods=["GET", "POST"])
    app.add_api_route("/stream", streamed)
    app.add_api_route("/broken", broken)
    app.add_api_websocket_route("/ws", talked)
    return app


def seen_sync(
    one: Annotated[str, Depends(depended)], two: Annotated[str, Depends(depended_async)]
) -> list[str]:
    return [here(), one, two]


async def seen_async(
    one: Annotated[str, Depends(depended)], two: Annotated[str, Depends(depended_async)]
) -> list[str]:
    return [here(), one, two, await asyncio.create_task(depended_async())]


def streamed() -> StreamingResponse:
    async def parts() -> AsyncIterator[str]:
        for _ in range(3):
            yield here() + "\n"

    return StreamingResponse(parts())


async def broken() -> None:
    raise ZeroDivisionError


async def talked(websocket: WebSocket) -> None:
    await websocket.accept()
    _ = await websocket.receive_text()
    await websocket.send_text(here())
    await websocket.close()


def through_httpx(app: FastAPI, method: str, path: str) -> Any:
    async def asked() -> Any:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://app") as client:
            return await client.request(method, path)

    return asyncio.run(asked())


def through_httpx2(app: FastAPI, method: str, path: str) -> Any:
    async def asked() -> Any:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://app") as client:
            return await client.request(method, path)

    return asyncio.run(asked())


def through_test_client(app: FastAPI, method: str, path: str) -> Any:
    return TestClient(app).request(method, path)


def through_entered_test_client(app: FastAPI, method: str, path: str) -> Any:
    with TestClient(app) as client:
        return client.request(method, path)


CLIENTS = [through_httpx, through_httpx2, through_test_client, through_entered_test_client]


@pytest.mark.parametrize("through", CLIENTS)
@pytest.mark.parametrize("path", ["/sync", "/async"])
def test_endpoints_and_dependencies_know_their_request(
    watch: Watch, journal: Journal, app: FastAPI, through: Callable[..., Any], path: str
) -> None:
    seen = through(app, "GET", path).json()
    assert set(seen) == {f"request 1 (GET {path})"}
    assert journal.told == [("began", f"GET {path}"), ("ended", f"GET {path}")]
    assert current_request() is None
    assert watch.test is not None
    assert [request.label for request in watch.test.requests] == [f"GET {path}"]


@pytest.mark.parametrize("through", CLIENTS)
def test_the_label_has_the_method_and_no_query(
    watch: Watch, journal: Journal, app: FastAPI, through: Callable[..., Any]
) -> None:
    through(app, "POST", "/async?token=secret")
    assert journal.told == [("began", "POST /async"), ("ended", "POST /async")]


@pytest.mark.parametrize("through", CLIENTS)
def test_a_request_that_raises_ends_once(
    watch: Watch, journal: Journal, app: FastAPI, through: Callable[..., Any]
) -> None:
    with pytest.raises(ZeroDivisionError):
        through(app, "GET", "/broken")
    assert journal.told == [("began", "GET /broken"), ("ended", "GET /broken")]
    assert current_request() is None


@pytest.mark.parametrize("through", CLIENTS)
def test_a_stream_belongs_to_its_request(
    watch: Watch, journal: Journal, app: FastAPI, through: Callable[..., Any]
) -> None:
    assert through(app, "GET", "/stream").text.splitlines() == ["request 1 (GET /stream)"] * 3
    assert [what for what, _ in journal.told] == ["began", "ended"]


def test_a_stream_read_piece_by_piece_ends_with_its_last_piece(
    watch: Watch, journal: Journal, app: FastAPI
) -> None:
    with TestClient(app) as client, client.stream("GET", "/stream") as response:
        lines = response.iter_lines()
        assert next(lines) == "request 1 (GET /stream)"
        assert [what for what, _ in journal.told] == ["began"]
        assert len(list(lines)) == 2
    assert [what for what, _ in journal.told] == ["began", "ended"]


def test_a_websocket_is_one_request(watch: Watch, journal: Journal, app: FastAPI) -> None:
    with TestClient(app) as client, client.websocket_connect("/ws") as socket:
        socket.send_text("who?")
        assert socket.receive_text() == "request 1 (WEBSOCKET /ws)"
    assert journal.told == [("began", "WEBSOCKET /ws"), ("ended", "WEBSOCKET /ws")]


def test_concurrent_requests_are_kept_apart(watch: Watch, journal: Journal, app: FastAPI) -> None:
    async def both() -> list[Any]:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://app") as client:
            return list(await asyncio.gather(client.get("/async"), client.get("/sync")))

    answers = [answer.json() for answer in asyncio.run(both())]
    assert all(len(set(answer)) == 1 for answer in answers)
    assert answers[0][0] != answers[1][0]
    assert sorted(journal.told) == [
        ("began", "GET /async"),
        ("began", "GET /sync"),
        ("ended", "GET /async"),
        ("ended", "GET /sync"),
    ]


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_a_wsgi_application_is_watched_too(watch: Watch, journal: Journal, library: Any) -> None:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("content-type", "text/plain")])
        return [here().encode()]

    with library.Client(transport=library.WSGITransport(app=application), base_url="http://app") as client:
        assert client.get("/plain").text == "request 1 (GET /plain)"
    assert journal.told == [("began", "GET /plain"), ("ended", "GET /plain")]


def test_a_client_from_before_the_watch_is_watched_and_one_from_after_is_not(
    journal: Journal, app: FastAPI
) -> None:
    client = TestClient(app)
    watch = Watch([Clients(), journal], {})
    watch.start()
    try:
        assert client.get("/async").json()[0] == "request 1 (GET /async)"
    finally:
        watch.stop()
    assert set(client.get("/async").json()) == {"None"}
    assert len(journal.told) == 2


def test_the_libraries_are_left_as_they_were() -> None:
    def methods() -> list[Any]:
        return [
            library.__dict__[name].__dict__[method]
            for library in (httpx, httpx2)
            for name, method in (
                ("ASGITransport", "handle_async_request"),
                ("WSGITransport", "handle_request"),
            )
        ]

    before, finders = methods(), list(sys.meta_path)
    watch = Watch([Clients()], {})
    watch.start()
    assert methods() != before
    watch.stop()
    assert methods() == before
    assert sys.meta_path == finders


IMPORTED_LATER = """
import sys
from dbparity.request import current_request
from dbparity.sessions.clients import Clients
from dbparity.watch import RunningTest, Watch

watch = Watch([Clients()], {})
watch.start()
assert not {"httpx", "httpx2", "starlette.testclient"} & set(sys.modules)
watch.begin_test(RunningTest("test_x.py::test_it"))

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

def seen(_):
    return PlainTextResponse(str(current_request()))

print(TestClient(Starlette(routes=[Route("/", seen)])).get("/").text)
"""


def test_a_library_imported_in_the_middle_of_a_test_is_watched_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED_LATER], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "request 1 (GET /)\n"
