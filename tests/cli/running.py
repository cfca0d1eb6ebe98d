"""The real command, as a program of its own: run to its end, or started and stopped."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

COMMAND = (sys.executable, "-m", "dashtam")
SECRET = "Zk3vQx8pLw2nRt6yBs9dHf4gJm7cXa5eUo1i-commands"
PASSWORD = "correct horse battery staple 9"
LONG_SECONDS = 60
SERVING = "Application startup complete."

# What a developer may have set for himself, and must not reach a test.
_NOT_INHERITED = re.compile(
    r"ENVIRONMENT|DEBUG|LOG_LEVEL|VAR_DIR|DATABASE_|SECRET_KEY|API_|PUBLIC_URL|ALLOWED_HOSTS|TRUSTED_|MAIL_|SMTP_"
    r"|SIGNING_|KEY_|TOKEN_|ACCESS_|REFRESH_|SESSION_|VERIFY_|RESET_|PASSWORD_|ARGON2_|HASH_|RATE_|SMOKE_|PORT$"
)


class Place:
    """A folder to run commands in, with the settings of a deployment."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        inherited = {name: value for name, value in os.environ.items() if not _NOT_INHERITED.match(name)}
        self.environment = {
            **inherited,
            "SECRET_KEY": SECRET,
            "VAR_DIR": str(folder / "var"),
            "NO_COLOR": "1",
            "COLUMNS": "100",
            **settings,
        }

    def run(self, *arguments: str, stdin: str = "", **settings: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment | settings,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=LONG_SECONDS,
            check=False,
        )

    @contextmanager
    def started(self, *arguments: str, **settings: str) -> "Iterator[subprocess.Popen[str]]":
        """A command that goes on; ended at the end, in good order if it is able to."""
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(LONG_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            output(process).close()


def output(process: "subprocess.Popen[str]") -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def read_until(process: "subprocess.Popen[str]", sign: str) -> str:
    """What it prints up to the line that holds `sign`; fails with all of it if the line does not come."""
    seen = []
    deadline = threading.Timer(LONG_SECONDS, process.kill)
    deadline.start()
    try:
        for line in output(process):
            seen.append(line)
            if sign in line:
                return "".join(seen)
    finally:
        deadline.cancel()
    raise AssertionError(f"{sign!r} never came. It said:\n{''.join(seen)}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
