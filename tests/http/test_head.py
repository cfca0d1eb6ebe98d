"""The head and size of a request are checked to the byte, before anything else looks at it (S-080, S-087, S-088)."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from dashtam.http.head import BODY_BYTES, HEADER_BYTES, HEADER_COUNT, TARGET_BYTES
from tests.http.small_app import calling, made_app, made_settings

JSON = {"Content-Type": "application/json"}


def body_of(size: int) -> bytes:
    start = b'{"email": "a@b.example"'
    return start + b" " * (size - len(start) - 1) + b"}"


def problem_of(answer: httpx2.Response) -> str:
    return str(answer.json()["type"]).removeprefix("urn:problem-type:dashtam:")


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_may_have_the_limit_and_not_a_byte_more(
    client: httpx2.AsyncClient, *, chunked: bool
) -> None:
    async def in_parts(body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), 1000):
            yield body[start : start + 1000]

    def content(size: int) -> AsyncIterator[bytes] | bytes:
        return in_parts(body_of(size)) if chunked else body_of(size)

    assert (await client.post("/api/things", content=content(BODY_BYTES), headers=JSON)).status_code == 201
    over = await client.post("/api/things", content=content(BODY_BYTES + 1), headers=JSON)
    assert (over.status_code, problem_of(over)) == (413, "body-too-large")


async def test_reading_stops_at_the_limit(client: httpx2.AsyncClient) -> None:
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += 1
            yield b" " * 1024

    answer = await client.post("/api/things", content=endless(), headers=JSON)
    assert answer.status_code == 413
    assert given <= BODY_BYTES // 1024 + 2


async def test_headers_may_be_as_many_as_the_limit(client: httpx2.AsyncClient) -> None:
    own = len(client.build_request("GET", "/api/things").headers)

    async def with_headers(count: int) -> httpx2.Response:
        return await client.get("/api/things", headers={f"x-{n}": "1" for n in range(count - own)})

    assert (await with_headers(HEADER_COUNT)).status_code == 200
    over = await with_headers(HEADER_COUNT + 1)
    assert (over.status_code, problem_of(over)) == (431, "headers-too-large")


async def test_headers_may_be_as_large_as_the_limit(client: httpx2.AsyncClient) -> None:
    def overall(request: httpx2.Request) -> int:
        return sum(len(name) + len(value) + 4 for name, value in request.headers.raw)

    empty = client.build_request("GET", "/api/things", headers={"x": ""})
    room = HEADER_BYTES - overall(empty)
    full = await client.get("/api/things", headers={"x": "a" * room})
    over = await client.get("/api/things", headers={"x": "a" * (room + 1)})
    assert (full.status_code, over.status_code) == (200, 431)


async def test_a_target_may_be_as_long_as_the_limit(client: httpx2.AsyncClient) -> None:
    def path(length: int) -> str:
        return "/" + "a" * (length - 2)  # and one for the question mark

    assert (await client.get(path(TARGET_BYTES))).status_code == 404
    over = await client.get(path(TARGET_BYTES + 1))
    assert (over.status_code, problem_of(over)) == (414, "uri-too-long")
    assert (await client.get("/api/things", params={"a": "b" * TARGET_BYTES})).status_code == 414


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        ("application/json", 201),
        ("application/json; charset=utf-8", 201),
        ("Application/JSON;charset=UTF-8", 201),
        ('application/json; charset="utf-8"', 201),
        ("application/json; charset=utf-7", 415),
        ("application/json; charset=utf-16", 415),
        ("application/json; boundary=x", 415),
        ("application/merge-patch+json", 415),
        ("text/json", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/json, text/plain", 415),
        ("", 415),
    ],
)
async def test_json_is_the_only_media_type(client: httpx2.AsyncClient, media_type: str, status: int) -> None:
    answer = await client.post("/api/things", content=body_of(60), headers={"Content-Type": media_type})
    assert answer.status_code == status


async def test_two_content_types_and_none_are_refused(client: httpx2.AsyncClient) -> None:
    two = [("Content-Type", "application/json"), ("Content-Type", "application/json")]
    assert (await client.post("/api/things", content=body_of(60), headers=two)).status_code == 415
    assert (await client.post("/api/things", content=body_of(60))).status_code == 415


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "gzip, identity", "x"])
async def test_compressed_bodies_are_refused(client: httpx2.AsyncClient, coding: str) -> None:
    headers = JSON | {"Content-Encoding": coding}
    assert (await client.post("/api/things", content=body_of(60), headers=headers)).status_code == 415


async def test_a_missing_body_is_named_as_such(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/api/things")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"pointer": "", "message": "is required"}]


HOSTS = [
    ("testserver", 200),
    ("TESTSERVER:8000", 200),
    ("testserver.", 200),
    ("also.example", 200),
    ("localhost:8000", 200),
    ("127.0.0.1", 200),
    ("[::1]:80", 200),
    ("evil.example", 421),
    ("testserver.evil.example", 421),
    ("eviltestserver", 421),
    ("127.0.0.2", 421),
    ("[::2]", 421),
    ("testserver@evil.example", 400),
    ("testserver, evil.example", 400),
    ("testserver:port", 400),
    ("testserver:80:80", 400),
    ("http://testserver", 400),
    ("test server", 400),
    ("testserver\x00", 400),
    ("testserver/", 400),
    ("[::1", 400),
    ("", 400),
]


@pytest.mark.parametrize(("host", "status"), HOSTS)
async def test_only_known_hosts_are_answered_for(tmp_path: Path, host: str, status: int) -> None:
    async with calling(made_app(made_settings(tmp_path, allowed_hosts="also.example"))) as client:
        assert (await client.get("/api/things", headers={"Host": host})).status_code == status


async def test_a_foreign_host_is_refused_before_the_route_is_looked_for(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/nowhere", headers={"Host": "evil.example"})
    assert (answer.status_code, problem_of(answer)) == (421, "misdirected-request")


async def test_exactly_one_host_is_wanted(client: httpx2.AsyncClient) -> None:
    twice = await client.get("/api/things", headers=[("Host", "testserver"), ("Host", "testserver")])
    assert (twice.status_code, problem_of(twice)) == (400, "malformed-request")


async def test_loopback_names_are_strangers_in_prod(tmp_path: Path) -> None:
    prod = {
        "environment": "prod",
        "public_url": "https://auth.example",
        "mail_transport": "smtp",
        "smtp_url": "smtp://127.0.0.1:2525",
    }
    async with calling(made_app(made_settings(tmp_path, **prod))) as client:
        for host, status in (
            ("auth.example", 200),
            ("localhost", 421),
            ("127.0.0.1:8000", 421),
            ("testserver", 421),
        ):
            answer = await client.get("/api/things", headers={"Host": host})
            assert (host, answer.status_code) == (host, status)
            assert answer.headers["Strict-Transport-Security"] == "max-age=63072000; includeSubDomains"


async def test_json_after_the_limit_is_never_parsed(client: httpx2.AsyncClient) -> None:
    body = json.dumps({"email": "a@b.example", "name": "a" * BODY_BYTES}).encode()
    assert problem_of(await client.post("/api/things", content=body, headers=JSON)) == "body-too-large"
