"""Starts server processes quickly: one process imports the product once, and forks for every server wanted.

Each server is a process of its own, with its own event loop, connections and caches, and can be killed. The
nursery forks before it has made any of these; it and all its servers end when the test run does.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

ROOT = Path(__file__).parents[2]
_ORDER_BYTES = 64 * 1024
_START_SECONDS = 60


class ServerProcess:
    """A server, known by its pidfd: never mistaken for another process that got its number."""

    def __init__(self, pidfd: int) -> None:
        self._pidfd = pidfd

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; one that has ended needs none."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def ends_within(self, seconds: float) -> bool:
        """Wait so long; whether it has ended."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def close(self) -> None:
        """Forget it."""
        os.close(self._pidfd)


def _untraced(environment: dict[str, str]) -> dict[str, str]:
    """Without coverage: tracing makes a server several times slower, and these are killed before they report."""
    return {name: value for name, value in environment.items() if not name.startswith("COVERAGE_")}


class Nursery:
    """The process that forks servers, as a test run sees it."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(_START_SECONDS)
        with theirs:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "tests.faults.nursery", str(theirs.fileno())),
                cwd=ROOT,
                env=_untraced({**os.environ, "PYTHONPATH": str(ROOT)}),
                pass_fds=(theirs.fileno(),),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()
        self._process.wait(_START_SECONDS)

    def start(self, listener: socket.socket, log: IO[bytes], orders: dict[str, Any]) -> ServerProcess:
        """A server on this socket that says what it has to say into this file."""
        message = json.dumps(orders).encode()
        socket.send_fds(self._control, [message], [listener.fileno(), log.fileno()])
        _, (pidfd,), _, _ = socket.recv_fds(self._control, 1, 1)
        return ServerProcess(pidfd)


def fork_on_order(control: socket.socket) -> tuple[socket.socket, dict[str, Any]]:
    """Fork for each order. Returns in the children, with what was ordered; ends when there is nobody to order."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how a server ended; the kernel clears it away
    servers: list[int] = []
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, _ORDER_BYTES, 2)
        if not message:
            for pidfd in servers:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            sys.exit(0)
        pid = os.fork()
        if pid == 0:
            return _become_server(control, servers, descriptors), json.loads(message)
        servers.append(os.pidfd_open(pid))
        socket.send_fds(control, [b"."], [servers[-1]])
        for descriptor in descriptors:
            os.close(descriptor)


def _become_server(control: socket.socket, others: list[int], descriptors: list[int]) -> socket.socket:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    control.close()
    for pidfd in others:
        os.close(pidfd)
    listener, log = descriptors
    os.dup2(log, 2)
    os.close(log)
    return socket.socket(fileno=listener)


def main(descriptor: str) -> None:
    """Import everything, then wait for orders."""
    from tests.faults.server import serve  # noqa: PLC0415  test processes need not import it

    with socket.socket(fileno=int(descriptor)) as control:
        serve(*fork_on_order(control))


if __name__ == "__main__":
    main(*sys.argv[1:])
