"""Plain HTTP connections for races: opened first, each request but its last byte sent, then all released at once.

(The method of security requirement S-028 and its figures G-5 and G-6. Blocking sockets, and no client library
whose pool or scheduling would decide what arrives together.)
"""

import json
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPResponse
from types import TracebackType
from typing import Any, Self

from tests.makers import API

PATIENCE_SECONDS = 20

Request = tuple[str, str, dict[str, Any] | None, str | None]
"""Method, path, body and bearer token."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and what came with it."""

    status: int
    body: dict[str, Any]

    @property
    def problem(self) -> str:
        """The slug of the problem that this is; empty for an answer that is none."""
        type_: str = self.body.get("type", "")
        return type_.removeprefix("urn:problem-type:dashtam:")


class Line:
    """One kept-alive connection."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._last = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def prepare(
        self, method: str, path: str, body: dict[str, Any] | None = None, bearer: str | None = None
    ) -> None:
        """Send a request but for its last byte."""
        raw = _request(method, path, body, bearer)
        self._last = raw[-1:]
        self._socket.sendall(raw[:-1])

    def release(self) -> None:
        """Send the last byte."""
        self._socket.sendall(self._last)

    def head_arrives(self) -> None:
        """Wait for the very first of the answer, and leave it where it is."""
        if not self._socket.recv(1, socket.MSG_PEEK):
            raise ConnectionResetError("the server closed the connection without an answer")

    def answer(self) -> Answer:
        """Read the answer to the end."""
        response = HTTPResponse(self._socket)
        response.begin()
        raw = response.read()
        return Answer(response.status, json.loads(raw) if raw else {})

    def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, bearer: str | None = None
    ) -> Answer:
        """One request and its answer."""
        self.prepare(method, path, body, bearer)
        self.release()
        return self.answer()

    def post(self, path: str, body: dict[str, Any] | None = None, bearer: str | None = None) -> Answer:
        """POST to the API."""
        return self.call("POST", API + path, body, bearer)


class Volley:
    """So many connections, spread over the servers in turn."""

    def __init__(self, ports: Sequence[int], size: int) -> None:
        self._ports = [ports[number % len(ports)] for number in range(size)]
        self._open = ExitStack()
        self.lines: list[Line] = []

    def __enter__(self) -> Self:
        self.lines = [self._open.enter_context(Line(port)) for port in self._ports]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def post(self, path: str, bodies: Sequence[dict[str, Any]]) -> list[Answer]:
        """POST one body on each connection, all at once."""
        return self.fire([("POST", API + path, body, None) for body in bodies])

    def fire(self, requests: Sequence[Request]) -> list[Answer]:
        """Send one request on each connection, all at once; their answers, in order."""
        used = self.lines[: len(requests)]
        for line, request in zip(used, requests, strict=True):
            line.prepare(*request)
        for line in used:
            line.release()
        return [line.answer() for line in used]


def _request(method: str, path: str, body: dict[str, Any] | None, bearer: str | None) -> bytes:
    content = json.dumps(body).encode() if body is not None else b""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(content)}"]
    if content:
        lines.append("Content-Type: application/json")
    if bearer:
        lines.append(f"Authorization: Bearer {bearer}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content
