"""Servers as processes of their own: started, pinned to a core, waited for, looked at, stopped."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.002
_ANSWER_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    process: subprocess.Popen[bytes]
    port: int

    def cpu_seconds(self) -> float:
        """The processor time it has used so far, in user and system mode."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii")
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> dict[str, float]:
        """Its resident memory in MB: `Rss`, and `Pss`, where pages shared with others count in part."""
        rollup = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text(encoding="ascii")
        lines = (line.split() for line in rollup.splitlines())
        return {line[0][:-1]: int(line[1]) / 1024 for line in lines if line[0] in {"Rss:", "Pss:"}}

    def wait_for(self, path: str) -> None:
        """Ask until this path is answered with 200."""
        until = time.monotonic() + _START_SECONDS
        while not self._answers(path):
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"a server did not start: {self.process.args!r}")
            time.sleep(_POLL_SECONDS)

    def _answers(self, path: str) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=_START_SECONDS) as connection:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
                return connection.recv(_ANSWER_BYTES).startswith(b"HTTP/1.1 200")
        except ConnectionError:
            return False


@contextmanager
def started(module: str, *words: str, env: Mapping[str, str], core: int | None = None) -> Iterator[Server]:
    """`python -m module words... PORT`, on a free port. It ends with us: its standard input is closed then.

    Its log goes to a file, as it would in earnest.
    """
    port = _free_port()
    command = [sys.executable, "-m", module, *words, str(port)]
    log = Path(env["VAR_DIR"]) / f"server-{port}.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stderr=errors)
    try:
        if core is not None:
            os.sched_setaffinity(process.pid, {core})
        yield Server(process, port)
    finally:
        process.terminate()
        process.communicate(timeout=_STOP_SECONDS)


@contextmanager
def dashtam(env: Mapping[str, str], core: int | None = None) -> Iterator[Server]:
    """The service, as anybody would start it."""
    with started("dashtam", "serve", "--until-eof", "--port", env=env, core=core) as server:
        yield server


@contextmanager
def floor(name: str, env: Mapping[str, str], core: int | None = None) -> Iterator[Server]:
    """One of the applications in `floors`."""
    with started("benchmarks.floors", name, env=env, core=core) as server:
        yield server


def cores() -> tuple[int, int]:
    """The core of the servers, and the one of whoever loads them: the same one where there is but one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


@contextmanager
def running_on(core: int) -> Iterator[None]:
    """Keep this thread on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
