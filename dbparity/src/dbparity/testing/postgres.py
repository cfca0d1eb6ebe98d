"""A private PostgreSQL server for a test run: in a temporary folder, on loopback, gone with its owner.

The server keeps its default durability (fsync, synchronous_commit), because tests that kill a process or
count fsyncs would lie without it. It dies with the process that started it, however that one ends: a
watchdog holds the reading end of a pipe, and the kernel closes the writing end even after SIGKILL. What a
power cut leaves behind is removed by the next run: a folder whose lock nobody holds belongs to nobody.

POSIX only. Needs PostgreSQL's own binaries (initdb, postgres, psql), no Python driver.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from dbparity.testing.installed import (
    Account,
    PostgresError,
    PostgresMissing,
    find_binaries,
    reachable_tempdir,
)
from dbparity.testing.orphans import LOCK, PREFIX, remove_orphans

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PostgresError", "PostgresMissing", "PrivateCluster", "quoted"]

SUPERUSER = "postgres"
START_SECONDS = 30.0
STOP_SECONDS = 15.0
PORT_ATTEMPTS = 5

# Ends when the owner is gone: `read` meets end of file, or the word that the owner has cleaned up itself.
# The server removes its pid file as it ends; its process may stay a zombie where nobody reaps orphans.
WATCHDOG = """
read -r word && [ "$word" = done ] && exit 0
file=$1/data/postmaster.pid
pid=$(head -n 1 "$file" 2>/dev/null) && kill -QUIT "$pid" 2>/dev/null
turns=300
while [ -e "$file" ] && kill -0 "$pid" 2>/dev/null && [ "$turns" -gt 0 ]; do
  sleep 0.05
  turns=$((turns - 1))
done
rm -rf "$1"
"""


def quoted(identifier: str) -> str:
    """Return the SQL spelling of a name, whatever characters it has."""
    return '"' + identifier.replace('"', '""') + '"'


@dataclass
class PrivateCluster:
    """A PostgreSQL server of this process alone: `with PrivateCluster() as cluster: cluster.url("app")`."""

    settings: dict[str, str] = field(default_factory=dict)
    """Server settings beyond the defaults, for example {"max_connections": "20"}."""

    host: str = field(default="127.0.0.1", init=False)
    port: int = field(default=0, init=False)
    password: str = field(default="", init=False, repr=False)
    root: Path | None = field(default=None, init=False)
    _binaries: Path = field(init=False, repr=False)
    _account: Account = field(init=False, repr=False)
    _server: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    _watchdog: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    _lifeline: int = field(default=-1, init=False, repr=False)
    _lock: int = field(default=-1, init=False, repr=False)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Make the cluster and wait until it answers; PostgresMissing when no server is installed."""
        if self.root is not None:
            msg = "This cluster is already running."
            raise PostgresError(msg)
        self._binaries = find_binaries()
        self._account = Account.choose()
        base = reachable_tempdir(self._account)
        remove_orphans(base)
        try:
            self._claim_folder(base)
            self._start_watchdog()
            self._initdb()
            self._start_server()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the server and remove its folder. Its data go with it, so no checkpoint is waited for."""
        if self._server is not None:
            _end(self._server)
            self._server = None
        if self.root is not None:
            shutil.rmtree(self.root, ignore_errors=True)
            self.root = None
        if self._watchdog is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._lifeline, b"done\n")
            self._watchdog.wait(STOP_SECONDS)
            self._watchdog = None
        for descriptor in (self._lifeline, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._lifeline = self._lock = -1

    def url(self, dbname: str = "postgres", driver: str = "asyncpg") -> str:
        """Return the SQLAlchemy URL of a database; an empty driver gives plain postgresql://."""
        scheme = f"postgresql+{driver}" if driver else "postgresql"
        return f"{scheme}://{SUPERUSER}:{self.password}@{self.host}:{self.port}/{dbname}"

    def sql(self, statement: str, dbname: str = "postgres") -> list[str]:
        """Run SQL through psql, as superuser; return the rows, columns joined by `|`."""
        command: list[str | Path] = [
            self._binaries / "psql", "-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1",
            "-h", self.host, "-p", str(self.port), "-U", SUPERUSER, "-d", dbname, "-c", statement,
        ]  # fmt: skip
        environment = {"PATH": os.environ.get("PATH", os.defpath), "PGPASSWORD": self.password}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            msg = f"PostgreSQL refused: {done.stderr.strip()}"
            raise PostgresError(msg)
        return done.stdout.splitlines()

    def create_database(self, name: str, template: str | None = None) -> str:
        """Create a database and return its asyncpg URL; nobody may be connected to the template."""
        origin = f" TEMPLATE {quoted(template)}" if template else ""
        self.sql(f"CREATE DATABASE {quoted(name)}{origin}")
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database with whatever is still connected to it; one that is not there is no error."""
        self.sql(f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")

    @contextlib.contextmanager
    def database(self, template: str | None = None) -> Iterator[str]:
        """Lend a fresh database under a name of its own: its asyncpg URL, dropped afterwards."""
        name = f"test_{secrets.token_hex(6)}"
        try:
            yield self.create_database(name, template)
        finally:
            self.drop_database(name)

    def log(self) -> str:
        """Return what the server has said so far."""
        return (self._home / "log").read_text(errors="replace")

    @property
    def _home(self) -> Path:
        if self.root is None:
            msg = "This cluster is not running."
            raise PostgresError(msg)
        return self.root

    def _claim_folder(self, base: Path) -> None:
        self.root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        # Locked before it has its name, so that nobody can find it unlocked and take it for an orphan.
        fresh = self.root / "owner.lock.new"
        self._lock = os.open(fresh, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        fresh.rename(self.root / LOCK)
        if self._account.switch:
            os.chown(self.root, self._account.uid, self._account.gid)

    def _start_watchdog(self) -> None:
        reading, self._lifeline = os.pipe()
        try:
            command: list[str | Path] = ["/bin/sh", "-c", WATCHDOG, "watchdog", self._home]
            self._watchdog = self._account.spawn(command, stdin=reading, keep=(self._lock,))
        finally:
            os.close(reading)

    def _initdb(self) -> None:
        self.password = secrets.token_urlsafe(16)
        secret = self._home / "password"
        secret.touch(0o600)
        secret.write_text(self.password)
        if self._account.switch:
            os.chown(secret, self._account.uid, self._account.gid)
        # --no-sync concerns the empty cluster only: after a power cut there is nothing in it to lose.
        # A plain password on loopback spares each connection SCRAM's rounds in pure Python.
        command: list[str | Path] = [
            self._binaries / "initdb", "-D", self._home / "data", "-U", SUPERUSER, "--no-sync",
            "--encoding=UTF8", "--locale=C", "--auth-local=reject", "--auth-host=password",
            f"--pwfile={secret}",
        ]  # fmt: skip
        with (self._home / "log").open("wb") as output:
            status = self._account.spawn(command, output=output.fileno()).wait()
        if status:
            msg = f"initdb failed ({status}): {self.log()}"
            raise PostgresError(msg)
        secret.unlink()

    def _start_server(self) -> None:
        for _ in range(PORT_ATTEMPTS):
            self.port = _free_port(self.host)
            if self._server_answers():
                return
        msg = f"PostgreSQL did not start: {self.log()[-2000:]}"
        raise PostgresError(msg)

    def _server_answers(self) -> bool:
        """Start the server on the chosen port; False when it ends at once, as it does on a busy port."""
        data = self._home / "data"
        # No Unix socket: its directory would have to be as private as the password makes the port.
        settings = {"listen_addresses": self.host, "port": str(self.port), "unix_socket_directories": ""}
        command: list[str | Path] = [self._binaries / "postgres", "-D", data]
        for name, value in (settings | self.settings).items():
            command += ["-c", f"{name}={value}"]
        with (self._home / "log").open("ab") as output:
            self._server = self._account.spawn(command, output=output.fileno(), keep=(self._lock,))
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._server.poll() is not None:
                return False
            if _is_ready(data / "postmaster.pid"):
                return True
            time.sleep(0.01)
        msg = f"PostgreSQL was not ready within {START_SECONDS:.0f} s: {self.log()[-2000:]}"
        raise PostgresError(msg)


def _is_ready(pidfile: Path) -> bool:
    """PostgreSQL writes its state into line 8 of this file (see pg_ctl); no connection is needed to ask."""
    try:
        lines = pidfile.read_text().splitlines()
    except OSError:
        return False
    return len(lines) > 7 and lines[7].strip() == "ready"  # noqa: PLR2004 - the line's number


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGQUIT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
