"""Raw bytes against the server that we run: bad framing is refused and the connection closed (S-080, S-087, S-094)."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from dashtam.http.head import BODY_BYTES
from dashtam.http.wire import HEAD_BYTES, PatientProtocol
from tests.http.small_app import made_app, made_settings

HOST = b"Host: testserver\r\n"
JSON = b"Content-Type: application/json\r\n"
BODY = b'{"email": "a@b.example"}'
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
WAIT_SECONDS = 10


class HastyProtocol(PatientProtocol):
    head_seconds = 0.3


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where uvicorn serves the small application, as `dashtam serve` runs it but less patient."""
    app = made_app(made_settings(tmp_path_factory.mktemp("wire")))
    config = uvicorn.Config(
        app,
        http=HastyProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(WAIT_SECONDS)
    assert not thread.is_alive()


class Reply:
    """One answer off the wire."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split(" ")[1])
        self.headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])
        }


def exchange(port: int, *parts: bytes) -> bytes:
    """Everything that comes back for these bytes, until the server closes; half-closed after the last part."""
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS) as connection:
        for part in parts:
            connection.sendall(part)
        received = b""
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except ConnectionResetError:
            pass
    return received


def post(headers: bytes, body: bytes = BODY, *, first: bytes = HOST + JSON) -> bytes:
    return b"POST /api/things HTTP/1.1\r\n" + first + headers + b"\r\n" + body


CLOSE = b"Connection: close\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
FRAMING = {
    "CL and TE": post(LENGTH + CHUNKED, b"0\r\n\r\n"),
    "TE and CL": post(CHUNKED + LENGTH, b"0\r\n\r\n"),
    "CL twice": post(LENGTH + LENGTH),
    "CL twice, differing": post(LENGTH + b"Content-Length: 3\r\n"),
    "CL as a list": post(b"Content-Length: 24, 24\r\n"),
    "CL negative": post(b"Content-Length: -1\r\n"),
    "CL with a sign": post(b"Content-Length: +24\r\n"),
    "CL hexadecimal": post(b"Content-Length: 0x18\r\n"),
    "CL empty": post(b"Content-Length: \r\n"),
    "CL enormous": post(b"Content-Length: 99999999999999999999999\r\n"),
    "TE unknown": post(b"Transfer-Encoding: x\r\n"),
    "TE chunked first": post(b"Transfer-Encoding: chunked, identity\r\n", b"0\r\n\r\n"),
    "chunk size not a number": post(CHUNKED, b"zz\r\n{}\r\n0\r\n\r\n"),
    "chunk longer than it says": post(CHUNKED, b"1\r\n{}}}}\r\n0\r\n\r\n"),
    "chunk ended by LF": post(CHUNKED, b"2\n{}\n0\n\n"),
    "folded header": post(b"X: a\r\n b\r\n" + LENGTH),
    "space before the colon": post(b"X : a\r\n" + LENGTH),
    "NUL in a header": post(b"X: a\x00b\r\n" + LENGTH),
    "bare LF": b"GET /api/things HTTP/1.1\nHost: testserver\n\n",
    "bare CR": b"GET /api/things HTTP/1.1\r\nHost: testserver\rX: y\r\n\r\n",
    "no version": b"GET /api/things\r\nHost: testserver\r\n\r\n",
    "unknown version": b"GET /api/things HTTP/3.7\r\nHost: testserver\r\n\r\n",
    "unknown method": b"FETCH /api/things HTTP/1.1\r\nHost: testserver\r\n\r\n",
    "lower-case method": b"get /api/things HTTP/1.1\r\nHost: testserver\r\n\r\n",
    "target in other letters": "GET /\u00e9 HTTP/1.1\r\nHost: testserver\r\n\r\n".encode(),
    "authority as target": b"CONNECT testserver:80 HTTP/1.1\r\nHost: testserver\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no host": b"GET /api/things HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /api/things HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "two differing hosts": b"GET /api/things HTTP/1.1\r\n" + HOST + b"Host: evil.example\r\n\r\n",
    "old version without host": b"GET /api/things HTTP/1.0\r\n\r\n",
}


@pytest.mark.parametrize("sent", FRAMING.values(), ids=FRAMING.keys())
def test_bad_framing_is_refused_and_the_connection_closed(port: int, sent: bytes) -> None:
    received = exchange(port, sent)
    reply = Reply(received)
    assert reply.status == 400
    assert reply.headers["connection"] == "close"
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "server" not in reply.headers
    assert json.loads(reply.body)["request_id"] == reply.headers["x-request-id"]
    assert received.count(b"HTTP/1.1 ") == 1


def test_good_framing_is_answered(port: int) -> None:
    whole = exchange(port, post(LENGTH + CLOSE))
    chunked = exchange(port, post(CHUNKED + CLOSE, b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)))
    assert (Reply(whole).status, Reply(chunked).status) == (201, 201)


def test_a_foreign_host_is_misdirected(port: int) -> None:
    assert Reply(exchange(port, b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")).status == 421


def test_a_foreign_authority_in_the_target_changes_nothing(port: int) -> None:
    sent = b"GET http://evil.example/api/things HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n"
    received = exchange(port, sent)
    assert Reply(received).status == 200
    assert b"evil" not in received


@pytest.mark.parametrize(
    "path", [b"/x/../api/things", b"/api/./things", b"/api/things%2f", b"/api%2fthings%00"]
)
def test_paths_are_not_tidied_up(port: int, path: bytes) -> None:
    assert Reply(exchange(port, b"GET " + path + b" HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n")).status == 404


def test_methods_that_are_no_resources_are_refused(port: int) -> None:
    assert Reply(exchange(port, b"TRACE /api/things HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n")).status == 405


def test_an_upgrade_is_answered_as_a_plain_request(port: int) -> None:
    upgrade = (
        b"Upgrade: websocket\r\nConnection: Upgrade, close\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    )
    received = exchange(port, b"GET /nowhere HTTP/1.1\r\n" + HOST + upgrade + b"\r\n")
    assert Reply(received).status == 404


def test_a_declared_oversize_is_refused_before_it_is_sent(port: int) -> None:
    reply = Reply(exchange(port, post(b"Content-Length: %d\r\n" % (BODY_BYTES + 1), b"")))
    assert (reply.status, reply.headers["connection"]) == (413, "close")


def test_a_client_that_waits_for_leave_is_not_given_it_for_too_much(port: int) -> None:
    expecting = b"Expect: 100-continue\r\nContent-Length: %d\r\n" % (BODY_BYTES + 1)
    assert exchange(port, post(expecting, b"")).startswith(b"HTTP/1.1 413")


def test_a_head_without_end_is_cut_off(port: int) -> None:
    part = b"X: " + b"a" * 8000 + b"\r\n"
    received = exchange(port, b"GET / HTTP/1.1\r\n" + HOST, *[part] * (HEAD_BYTES // len(part) + 1))
    assert received == b"" or Reply(received).status == 431


def test_a_header_value_without_end_is_cut_off(port: int) -> None:
    received = exchange(port, b"GET / HTTP/1.1\r\nX: ", b"a" * (HEAD_BYTES + 1))
    assert Reply(received).status == 431


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET /api/things HTTP/1.1\r\n" + HOST])
def test_a_head_that_does_not_arrive_is_not_waited_for(port: int, sent: bytes) -> None:
    started = time.monotonic()
    assert exchange(port, sent) == b""
    assert time.monotonic() - started < WAIT_SECONDS / 2


def drip(connection: socket.socket, until: float) -> None:
    while time.monotonic() < until:
        connection.sendall(b"\r\n")
        time.sleep(0.02)  # the attack itself: a byte now and then


def test_dripping_bytes_do_not_buy_time(port: int) -> None:
    started = time.monotonic()
    connection = socket.create_connection(("127.0.0.1", port), timeout=WAIT_SECONDS)
    with connection, pytest.raises(ConnectionError):
        drip(connection, started + WAIT_SECONDS)
    assert time.monotonic() - started < WAIT_SECONDS / 2


def test_a_connection_serves_many_requests_and_the_limits_start_anew(port: int) -> None:
    get = b"GET /api/things HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 9000 + b"\r\n"
    received = exchange(port, *[get + b"\r\n"] * 9, get + CLOSE + b"\r\n")
    assert received.count(b"HTTP/1.1 200 OK") == 10
