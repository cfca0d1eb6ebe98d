"""What goes wrong inside is repeated, shed, or owned up to: never a half-answer, never twice what may have happened."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
from fastapi import APIRouter
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.responses import StreamingResponse

from dashtam.core.db import CommitUnknownError
from dashtam.core.keys import KeysUnusableError
from dashtam.http import Db, Message
from dashtam.http.front_door import RETRY_PAUSES, FrontDoor
from dashtam.http.security_headers import API_POLICY
from dbparity.testing.postgres import PrivateCluster
from tests.http.small_app import HOST, calling, made_app, made_settings, run

Logged = Callable[[], list[dict[str, Any]]]


def wrapped(error: Exception, *, lost: bool = False) -> DBAPIError:
    """The driver's error as SQLAlchemy hands it on."""
    return DBAPIError("UPDATE users SET x = 1", {"x": "canary"}, error, connection_invalidated=lost)


def driver_error(sqlstate: str) -> Exception:
    error: Exception = asyncpg.PostgresError.new({"C": sqlstate, "M": "canary in the message", "S": "ERROR"})
    return error


def failing(*errors: BaseException) -> tuple[APIRouter, list[str]]:
    """A route that raises these in turn, and then succeeds; and what it has been sent."""
    seen: list[str] = []
    router = APIRouter()

    @router.post("/fail")
    async def post_fail(form: dict[str, str]) -> Message:
        seen.append(form["said"])
        if len(seen) <= len(errors):
            raise errors[len(seen) - 1]
        return Message(message=form["said"])

    return router, seen


async def play(tmp_path: Path, *errors: BaseException) -> tuple[httpx2.Response, int]:
    router, seen = failing(*errors)
    async with calling(made_app(made_settings(tmp_path), router)) as client:
        answer = await client.post("/api/fail", json={"said": "hello"})
    assert set(seen) == {"hello"}
    return answer, len(seen)


REPEATED = {
    "serialization failure": wrapped(driver_error("40001")),
    "deadlock": wrapped(driver_error("40P01")),
    "connection lost": wrapped(ConnectionResetError(), lost=True),
}


@pytest.mark.parametrize("error", REPEATED.values(), ids=REPEATED.keys())
async def test_a_rolled_back_request_is_done_again_with_its_body(tmp_path: Path, error: Exception) -> None:
    answer, times = await play(tmp_path, error, error)
    assert (answer.status_code, answer.json(), times) == (200, {"message": "hello"}, 3)


@pytest.mark.parametrize("error", REPEATED.values(), ids=REPEATED.keys())
async def test_a_request_is_done_again_a_few_times_only(tmp_path: Path, error: Exception) -> None:
    answer, times = await play(tmp_path, *[error] * 50)
    assert (answer.status_code, times) == (503, len(RETRY_PAUSES) + 1)
    assert answer.json()["type"].endswith(":service-busy")
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_request_lost_in_commit_is_never_done_again(tmp_path: Path) -> None:
    lost = CommitUnknownError()
    lost.__cause__ = wrapped(ConnectionResetError(), lost=True)
    answer, times = await play(tmp_path, lost)
    assert (answer.status_code, times) == (503, 1)
    assert "look before you repeat it" in answer.json()["detail"]


BUSY = {
    "pool": PoolTimeoutError("QueuePool limit"),
    "lock timeout": wrapped(driver_error("55P03")),
    "statement timeout": wrapped(driver_error("57014")),
    "shutting down": wrapped(driver_error("57P01")),
    "too many connections": driver_error("53300"),
    "starting up": driver_error("57P03"),
    "refused": ConnectionRefusedError(),
}
NOT_READY = {
    "no table": wrapped(driver_error("42P01")),
    "no column": wrapped(driver_error("42703")),
    "no database": driver_error("3D000"),
    "no sqlite table": wrapped(sqlite3.OperationalError("no such table: users")),
    "no keys": KeysUnusableError("canary"),
}


@pytest.mark.parametrize("error", BUSY.values(), ids=BUSY.keys())
async def test_too_little_of_anything_is_busy(tmp_path: Path, error: Exception) -> None:
    answer, times = await play(tmp_path, error)
    assert (answer.status_code, times) == (503, 1)
    assert answer.json()["type"].endswith(":service-busy")
    assert "retry-after" in answer.headers


@pytest.mark.parametrize("error", NOT_READY.values(), ids=NOT_READY.keys())
async def test_a_database_that_does_not_fit_is_not_ready(tmp_path: Path, error: Exception) -> None:
    answer, times = await play(tmp_path, error)
    assert (answer.status_code, times) == (503, 1)
    assert answer.json()["type"].endswith(":not-ready")
    assert "canary" not in answer.text


BROKEN = {
    "our mistake": RuntimeError("canary"),
    "unique": wrapped(driver_error("23505")),
    "syntax": wrapped(driver_error("42601")),
    "sqlite": wrapped(sqlite3.OperationalError("near canary: syntax error")),
    "assertion": AssertionError("canary"),
    "recursion": RecursionError(),
}


@pytest.mark.parametrize("error", BROKEN.values(), ids=BROKEN.keys())
async def test_anything_else_is_our_fault_and_says_nothing(
    tmp_path: Path, logged: Logged, error: Exception
) -> None:
    answer, times = await play(tmp_path, error)
    assert (answer.status_code, times) == (500, 1)
    assert answer.json()["type"].endswith(":internal-error")
    assert "canary" not in answer.text
    line = next(line for line in logged() if line["level"] == "error")
    assert line["request_id"] == answer.json()["request_id"]
    assert any("post_fail" in place for place in line["exception"])


async def test_a_missing_table_on_a_real_database_is_not_ready(tmp_path: Path) -> None:
    router = APIRouter()

    @router.get("/users")
    async def get_users(db: Db) -> Message:
        await run(db, "SELECT * FROM users")
        return Message(message="there")

    async with calling(made_app(made_settings(tmp_path), router)) as client:
        answer = await client.get("/api/users")
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (503, "not-ready")


def locked(folder: Path) -> sqlite3.OperationalError:
    """SQLite's own error of a writer that waits no longer."""
    holder = sqlite3.connect(folder / "locked.db", isolation_level=None)
    rival = sqlite3.connect(folder / "locked.db", isolation_level=None, timeout=0)
    try:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError) as caught:
            rival.execute("BEGIN IMMEDIATE")
        return caught.value
    finally:
        holder.close()
        rival.close()


async def test_a_locked_sqlite_database_is_busy(tmp_path: Path) -> None:
    answer, times = await play(tmp_path, wrapped(locked(tmp_path)))
    assert (answer.status_code, answer.json()["type"].rpartition(":")[2], times) == (503, "service-busy", 1)


async def test_two_requests_in_a_real_deadlock_both_succeed(cluster: PrivateCluster, tmp_path: Path) -> None:
    router, met, tries = APIRouter(), asyncio.Barrier(2), []

    @router.post("/swap/{first}/{second}")
    async def post_swap(first: int, second: int, db: Db) -> Message:
        tries.append(first)
        await run(db, "UPDATE pair SET n = n + 1 WHERE id = :id", id=first)
        if len(tries) <= 2:
            await met.wait()
        await run(db, "UPDATE pair SET n = n + 1 WHERE id = :id", id=second)
        return Message(message="swapped")

    with cluster.database() as url:
        cluster.sql("CREATE TABLE pair (id int PRIMARY KEY, n int)", url.rpartition("/")[2])
        cluster.sql("INSERT INTO pair VALUES (1, 0), (2, 0)", url.rpartition("/")[2])
        async with calling(made_app(made_settings(tmp_path, database_url=url), router)) as client:
            answers = await asyncio.gather(client.post("/api/swap/1/2"), client.post("/api/swap/2/1"))
        assert [answer.status_code for answer in answers] == [200, 200]
        assert len(tries) == 3
        assert cluster.sql("SELECT id, n FROM pair ORDER BY id", url.rpartition("/")[2]) == ["1|2", "2|2"]


async def test_a_killed_connection_is_replaced_and_the_request_done_again(
    cluster: PrivateCluster, tmp_path: Path
) -> None:
    router, pids = APIRouter(), []

    @router.post("/count")
    async def post_count(db: Db) -> Message:
        pids.append((await run(db, "SELECT pg_backend_pid()")).scalar_one())
        await run(db, "INSERT INTO counted VALUES (1)")
        if len(pids) == 1:
            cluster.sql(f"SELECT pg_terminate_backend({pids[0]})")
        await run(db, "SELECT 1")
        return Message(message="counted")

    with cluster.database() as url:
        cluster.sql("CREATE TABLE counted (x int)", url.rpartition("/")[2])
        async with calling(made_app(made_settings(tmp_path, database_url=url), router)) as client:
            answer = await client.post("/api/count")
        assert (answer.status_code, len(set(pids))) == (200, 2)
        assert cluster.sql("SELECT count(*) FROM counted", url.rpartition("/")[2]) == ["1"]


async def test_a_statement_that_takes_too_long_is_ended_and_its_connection_given_back(
    cluster: PrivateCluster, tmp_path: Path
) -> None:
    router = APIRouter()

    @router.post("/sleep/{seconds}")
    async def post_sleep(seconds: int, db: Db) -> Message:
        await run(db, "SELECT pg_sleep(:seconds)", seconds=seconds)
        return Message(message="slept")

    with cluster.database() as url:
        app = made_app(made_settings(tmp_path, database_url=url, database_pool_size=1), router)
        app.user_middleware[0].kwargs["answer_seconds"] = 0.3
        async with calling(app) as client:
            answers = await asyncio.gather(*[client.post("/api/sleep/4") for _ in range(3)])
            assert [answer.status_code for answer in answers] == [503] * 3
            assert (await client.post("/api/sleep/0")).status_code == 200


def http_scope(**given: Any) -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [(b"host", HOST.encode())],
        "client": ("127.0.0.1", 1),
        "state": {},
    } | given


class Wire:
    """The server's side of one request: what it hands in, and what it is sent."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self._messages = list(messages)
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        if self._messages:
            return self._messages.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, message: Any) -> None:
        self.sent.append(message)


async def never(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.Event().wait()


WITH_BODY = [(b"host", HOST.encode()), (b"content-length", b"10")]


async def test_a_request_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    wire = Wire()
    door = FrontDoor(never, made_settings(tmp_path), answer_seconds=0.01)
    await door(http_scope(), wire.receive, wire.send)
    assert wire.sent[0]["status"] == 503


async def test_a_body_that_does_not_arrive_is_not_waited_for(tmp_path: Path) -> None:
    wire = Wire({"type": "http.request", "body": b"{", "more_body": True})
    door = FrontDoor(never, made_settings(tmp_path), body_seconds=0.01)
    await door(http_scope(method="POST", headers=WITH_BODY), wire.receive, wire.send)
    assert wire.sent[0]["status"] == 400
    assert (b"connection", b"close") in wire.sent[0]["headers"]


async def test_a_client_that_leaves_before_its_body_is_answered_nothing(
    tmp_path: Path, logged: Logged
) -> None:
    wire = Wire({"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"})
    await FrontDoor(never, made_settings(tmp_path))(
        http_scope(method="POST", headers=WITH_BODY), wire.receive, wire.send
    )
    assert wire.sent == []
    assert [line["status"] for line in logged()] == [499]


async def test_websockets_are_turned_away(tmp_path: Path) -> None:
    wire = Wire()
    await FrontDoor(never, made_settings(tmp_path))({"type": "websocket"}, wire.receive, wire.send)
    assert [message["type"] for message in wire.sent] == ["websocket.close"]


async def test_an_answer_already_begun_is_not_given_twice(tmp_path: Path, logged: Logged) -> None:
    router, tries = APIRouter(), []

    @router.get("/stream")
    async def get_stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            tries.append(1)
            yield b"part"
            raise wrapped(driver_error("40001"))

        return StreamingResponse(parts())

    app = made_app(made_settings(tmp_path), router)
    async with calling(app) as client:
        with pytest.raises(Exception, match="canary"):
            await httpx2.ASGITransport(app=app).handle_async_request(
                client.build_request("GET", "/api/stream")
            )
    assert tries == [1]
    assert [line["level"] for line in logged()] == ["error", "info"]


async def test_a_page_may_set_its_own_policy_and_caching_only(tmp_path: Path) -> None:
    async def page(scope: Any, receive: Any, send: Any) -> None:
        own = [
            (b"content-security-policy", b"default-src 'self'"),
            (b"cache-control", b"public"),
            (b"x-content-type-options", b"sniff"),
            (b"x-request-id", b"chosen"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": own})
        await send({"type": "http.response.body", "body": b""})

    wire = Wire()
    await FrontDoor(page, made_settings(tmp_path))(http_scope(), wire.receive, wire.send)
    headers = wire.sent[0]["headers"]
    names = [name for name, _ in headers]
    assert len(names) == len(set(names))
    assert dict(headers)[b"content-security-policy"] == b"default-src 'self'" != API_POLICY
    assert dict(headers)[b"cache-control"] == b"public"
    assert dict(headers)[b"x-content-type-options"] == b"nosniff"
    assert dict(headers)[b"x-request-id"] != b"chosen"
