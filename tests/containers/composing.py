"""A deployment of one of the compose files, under a project name of its own: brought up, asked, torn down."""

import os
import secrets
import shlex
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2

from tests.cli.running import free_port

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = shlex.split(os.environ.get("COMPOSE", "docker compose"))
SECONDS = 300
_POLL_SECONDS = 0.5

Ended = subprocess.CompletedProcess[str]


class Compose:
    """`with Compose("test") as deployment:` and whatever happens, nothing of it is left behind."""

    def __init__(
        self,
        kind: str,
        environment: Mapping[str, str] | None = None,
        *,
        root: Path = ROOT,
        also: Path | None = None,
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.name = f"dashtam-proof-{secrets.token_hex(4)}"
        self._command = [
            *COMPOSE,
            "-f",
            f"compose/docker-compose.{kind}.yml",
            *(["-f", str(also)] if also else []),
        ]
        self._root = root
        own = {"COMPOSE_PROJECT_NAME": self.name, "APP_PORT": str(self.port)}
        self._environment = os.environ | own | dict(environment or {})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.run("down", "--volumes")

    def run(self, *arguments: str, seconds: float = SECONDS) -> Ended:
        """One command, with both of its streams in `stdout`."""
        return subprocess.run(
            [*self._command, *arguments], cwd=self._root, env=self._environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=seconds,
        )  # fmt: skip

    def up(self) -> Self:
        """Bring it up, and wait until its own health check is content."""
        started = self.run("up", "--detach")
        assert started.returncode == 0, f"{started.stdout}\n{self.run('logs', 'migrate').stdout}"
        until = time.monotonic() + SECONDS
        while (asked := self.execute("python", "-m", "dashtam.ready")).returncode:
            assert time.monotonic() < until, f"{asked.stdout}\n{self.run('logs', 'app').stdout}"
            time.sleep(_POLL_SECONDS)
        return self

    def execute(self, *command: str, service: str = "app", seconds: float = SECONDS) -> Ended:
        """A command in a container that runs."""
        return self.run("exec", "-T", service, *command, seconds=seconds)

    def said(self, service: str) -> str:
        """What a service has said so far."""
        return self.run("logs", service).stdout

    def get(self, path: str, **headers: str) -> httpx2.Response:
        """Ask from outside."""
        return httpx2.get(f"{self.url}{path}", headers=headers, timeout=15, trust_env=False)
