"""PgBouncer in front of a test's server."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import make_url

from dbparity.testing.installed import Account, reachable_tempdir
from tests.cli.running import free_port
from tests.machines import pgbouncer


@contextmanager
def bouncing(url: str, **settings: str) -> Iterator[str]:
    """The URL of the same database through a PgBouncer with these settings."""
    server, port = make_url(url), free_port()
    with tempfile.TemporaryDirectory(dir=reachable_tempdir(Account.choose())) as name:
        folder = Path(name)
        folder.chmod(0o755)
        config = (
            f"[databases]\n{server.database} = host={server.host} port={server.port or 5432}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = plain\n"
            f"auth_file = {folder}/users.txt\n"
            + "".join(f"{key} = {value}\n" for key, value in settings.items())
        )
        with pgbouncer(folder, config, {str(server.username): server.password or ""}, port):
            yield server.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
