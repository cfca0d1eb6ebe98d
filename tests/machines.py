"""Programs of the system that stand around a deployment, run for real: nginx, PgBouncer, a mail server."""

import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink

from dbparity.testing.installed import Account
from tests.cli.running import free_port

READY_SECONDS = 30


def installed(program: str) -> str:
    """Where a program of the system is. In CI, which installs it, there is no reason for it to be missing."""
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(f"{program} is not installed")
    return found or pytest.skip(f"NOT TESTED: {program} is not installed")


def until_ready(port: int, host: str) -> None:
    """Wait until the service on this port says that it is ready."""
    until = time.monotonic() + READY_SECONDS
    while not _is_ready(port, host):
        assert time.monotonic() < until, f"nothing is ready on port {port}"
        time.sleep(0.05)


def _is_ready(port: int, host: str) -> bool:
    try:
        answer = httpx2.get(f"http://127.0.0.1:{port}/health/ready", headers={"Host": host})
    except httpx2.TransportError:
        return False
    return answer.is_success


def _until_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + READY_SECONDS
    while process.poll() is None and time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"nothing listens on port {port}")


def name_service(folder: Path, *names: str) -> dict[str, str]:
    """What makes every Python in an environment find these names on this machine, in place of the DNS."""
    (folder / "sitecustomize.py").write_text(
        "import socket\n"
        "_ask = socket.getaddrinfo\n"
        "def getaddrinfo(host, *rest, **more):\n"
        "    host = host.decode() if isinstance(host, bytes) else host\n"
        f"    return _ask('127.0.0.1' if host in {names!r} else host, *rest, **more)\n"
        "socket.getaddrinfo = getaddrinfo\n"
    )
    return {"PYTHONPATH": str(folder)}


def adapted(text: str, changes: Mapping[str, str]) -> str:
    """The text of a page with other words in it; each must occur."""
    for word, other in changes.items():
        assert word in text, f"{word!r} is not in the page"
        text = text.replace(word, other)
    return text


@contextmanager
def mail_server(name: str, context: ssl.SSLContext) -> Iterator[str]:
    """A mail server of that name that offers STARTTLS, as name:port."""
    controller = Controller(Sink(), hostname="127.0.0.1", port=free_port(), tls_context=context)
    controller.start()
    try:
        yield f"{name}:{controller.port}"
    finally:
        controller.stop()


@contextmanager
def nginx(folder: Path, config: str, port: int) -> Iterator[None]:
    """nginx with this configuration, checked by itself first."""
    path = folder / "nginx.conf"
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    path.write_text(
        f"error_log {folder}/error.log; pid {folder}/nginx.pid; daemon off; events {{}}\n"
        f"http {{ access_log off; {temporary}\n{config}\n}}\n"
    )
    command = [installed("nginx"), "-c", str(path)]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    with _running(subprocess.Popen(command, stderr=subprocess.DEVNULL), port):
        yield


@contextmanager
def pgbouncer(folder: Path, config: str, users: Mapping[str, str], port: int) -> Iterator[None]:
    """PgBouncer with this configuration, as the account that PostgreSQL would run as."""
    account = Account.choose()
    for name, text in {
        "pgbouncer.ini": f"{config}\nunix_socket_dir =\n",
        "users.txt": "".join(f'"{user}" "{password}"\n' for user, password in users.items()),
    }.items():
        (folder / name).write_text(text)
        if account.switch:
            os.chown(folder / name, account.uid, account.gid)
    started = account.spawn([installed("pgbouncer"), str(folder / "pgbouncer.ini")])
    with _running(started, port):
        yield


@contextmanager
def _running(process: subprocess.Popen[bytes], port: int) -> Iterator[None]:
    try:
        _until_listening(port, process)
        yield
    finally:
        process.terminate()
        process.wait(20)
