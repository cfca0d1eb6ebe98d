"""PgBouncer in front of a test's server, where it is installed."""

import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from dbparity.testing.installed import Account, reachable_tempdir

SECONDS = 10


@contextmanager
def bouncing(url: str, **settings: str) -> Iterator[str]:
    """The URL of the same database through a PgBouncer with these settings; skips where there is none."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")
    if program is None:
        pytest.skip("NOT TESTED: PgBouncer is not installed")
    server, account = make_url(url), Account.choose()
    with tempfile.TemporaryDirectory(dir=reachable_tempdir(account)) as name:
        folder = Path(name)
        folder.chmod(0o755)
        port = _free_port()
        (folder / "users").write_text(f'"{server.username}" "{server.password}"\n')
        (folder / "ini").write_text(
            f"[databases]\n{server.database} = host={server.host} port={server.port}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = plain\n"
            f"auth_file = {folder}/users\n" + "".join(f"{key} = {value}\n" for key, value in settings.items())
        )
        process = account.spawn([program, folder / "ini"])
        try:
            _await(port)
            yield server.set(port=port).render_as_string(hide_password=False)
        finally:
            process.terminate()
            process.wait(SECONDS)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _await(port: int) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            time.sleep(0.01)
        else:
            return
    raise TimeoutError("PgBouncer does not listen")
