"""The load: raw sockets kept alive, one request at a time on each, from one thread.

It does as little as it can (each answer's status and length are read, no more), so that what it measures is
the server. `Load.busy` tells whether that came true: near 1 the load was the bottleneck, not the server.
"""

import selectors
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

_RECEIVED_BYTES = 65536
_PATIENCE_SECONDS = 30.0


class Caller(Protocol):
    """What one connection says: the next request, and what it learns from the answer."""

    def request(self) -> bytes: ...

    def absorb(self, body: bytes) -> None: ...


class BadAnswerError(Exception):
    """Something other than 200: what was measured would not be the work."""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of one stretch of load; latencies in milliseconds, sorted."""

    seconds: float
    latencies: list[float]
    busy: float
    cpu_ms: float = 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, share: float) -> float:
        """The latency that this share of the requests did not exceed, in ms."""
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    caller: Caller
    sent_at: float = 0.0
    received: bytearray = field(default_factory=bytearray)

    def send(self) -> None:
        self.received.clear()
        request = self.caller.request()
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Take in what has come; whether the answer is complete."""
        data = self.socket.recv(_RECEIVED_BYTES)
        self.received += data
        head, blank, body = bytes(self.received).partition(b"\r\n\r\n")
        if blank and not head.startswith(b"HTTP/1.1 200"):
            raise BadAnswerError(bytes(self.received[:1000]).decode("latin-1"))
        if not blank or len(body) < _length(head):
            if not data:
                raise BadAnswerError("the server closed the connection")
            return False
        self.caller.absorb(body)
        return True


def press(port: int, callers: Sequence[Caller], seconds: float) -> Load:
    """Keep one connection a caller busy for so long; every request that was sent is waited for and counted."""
    connections = [_Connection(socket.create_connection(("127.0.0.1", port)), caller) for caller in callers]
    try:
        with selectors.DefaultSelector() as selector:
            for connection in connections:
                connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(connection.socket, selectors.EVENT_READ, connection)
            return _press(selector, connections, seconds)
    finally:
        for connection in connections:
            connection.socket.close()


def _press(selector: selectors.BaseSelector, connections: list[_Connection], seconds: float) -> Load:
    latencies: list[float] = []
    started, worked = time.perf_counter(), time.thread_time()
    until = started + seconds
    for connection in connections:
        connection.send()
    under_way = len(connections)
    while under_way:
        ready = selector.select(_PATIENCE_SECONDS)
        if not ready:
            raise BadAnswerError(f"no answer within {_PATIENCE_SECONDS:.0f} s")
        for key, _ in ready:
            connection = key.data
            if not connection.receive():
                continue
            now = time.perf_counter()
            latencies.append((now - connection.sent_at) * 1000)
            if now < until:
                connection.send()
            else:
                under_way -= 1
    elapsed = time.perf_counter() - started
    return Load(elapsed, sorted(latencies), (time.thread_time() - worked) / elapsed)


def _length(head: bytes) -> int:
    at = head.lower().find(b"\r\ncontent-length:")
    return int(head[at + 17 :].split(b"\r\n", 1)[0])
