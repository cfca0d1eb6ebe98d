from __future__ import annotations

import math
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks import catalogue
from benchmarks.figure import Target
from benchmarks.load import BadAnswerError, press
from benchmarks.serving import Same, get
from dbparity.testing.postgres import PostgresMissing

SHORT = 0.1
ROWS = {
    "profile": 9,
    "refresh": 3,
    "login": 2,
    "startup": 2,
    "journey": 1,
    "doctor": 1,
    "schema": 2,
    "isolation": 2,
    "isolation-databases": 2,
    "watching": 2,
    "proving": 4,
}
RUNS = [(name, "sqlite") for name in ROWS] + [
    (name, "postgresql") for name in ROWS if name not in catalogue.SQLITE_ONLY
]


@pytest.mark.parametrize(("name", "database"), RUNS)
def test_a_benchmark_yields_its_figures_each_with_a_floor_and_a_ratio(name: str, database: str) -> None:
    try:
        figures = catalogue.run(name, database, SHORT)
    except PostgresMissing as missing:
        if os.environ.get("DASHTAM_REQUIRE_POSTGRES") == "1":
            raise
        pytest.skip(f"NOT TESTED ON POSTGRESQL: {missing}")
    assert len(figures) == ROWS[name]
    for figure in figures:
        assert (figure.benchmark, figure.database) == (name, database)
        assert figure.figure > 0
        assert figure.floor > 0
        assert math.isfinite(figure.ratio)
        assert figure.spread[0] <= figure.ratio <= figure.spread[1]


def test_a_target_is_met_on_its_own_side_of_the_limit() -> None:
    assert Target("ratio", 0.91, 0.9, at_least=True).met
    assert not Target("ratio", 0.89, 0.9, at_least=True).met
    assert Target("s", 0.9, 1.0).met
    assert not Target("s", 1.1, 1.0).met


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that gives this answer to everything, in two pieces."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while connection.recv(65536):
                    connection.sendall(answer[:30])
                    connection.sendall(answer[30:])

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()


def test_every_answer_is_read_whole_and_counted() -> None:
    body = b"x" * 100_000
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)) as port:
        heard = Listener()
        load = press(port, [heard], SHORT)
    assert len(load.latencies) == len(heard.sizes) > 0
    assert set(heard.sizes) == {len(body)}
    assert load.latencies == sorted(load.latencies)


def test_an_answer_other_than_200_ends_the_measurement() -> None:
    with (
        answering(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n") as port,
        pytest.raises(BadAnswerError, match="401"),
    ):
        press(port, [Same(get("/", "token"))], SHORT)


class Listener:
    """Keeps the sizes of what it was answered."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def request(self) -> bytes:
        return get("/", "token")

    def absorb(self, body: bytes) -> None:
        self.sizes.append(len(body))
