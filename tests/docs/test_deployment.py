"""What deployment.md shows is done: a node on SQLite, two nodes behind nginx, PgBouncer, a standby that takes over."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from dashtam.cli.exit_codes import ExitCode
from dashtam.core.clock import Clock
from dashtam.core.tables import Table
from dashtam.doctor.inside.database import END_OF_LIFE
from dbparity.testing.installed import Account, find_binaries, reachable_tempdir
from dbparity.testing.postgres import PrivateCluster
from tests.cli.running import free_port
from tests.core.mail_rig import certificate
from tests.docs.reading import ROOT, rows
from tests.docs.shell import Shell, commands
from tests.docs.test_commands import faults
from tests.machines import adapted, mail_server, name_service, nginx, pgbouncer, until_ready

PAGE = "docs/deployment.md"
SQLITE = "## One node on SQLite"
POSTGRESQL = "## Several nodes on PostgreSQL"
BEYOND = "## Past one database server"

WEB, MAIL = "auth.example.org", "mail.example.org"


@dataclass(frozen=True)
class World:
    """What is outside of a deployment: a name service, certificates that are trusted, a mail server."""

    environment: dict[str, str]
    certificate: Path
    mail: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world that the page speaks of, on this machine."""
    folder = tmp_path_factory.mktemp("world")
    _, web = certificate(folder, WEB)
    context, of_mail = certificate(folder, MAIL)
    trusted = folder / "trusted.pem"
    trusted.write_bytes(web.read_bytes() + of_mail.read_bytes())
    names = name_service(folder, WEB, MAIL)
    with mail_server(MAIL, context) as mail:
        yield World(names | {"SSL_CERT_FILE": str(trusted)}, web, mail)


@pytest.fixture(scope="module")
def server(cluster: PrivateCluster) -> Iterator[PrivateCluster]:
    """A PostgreSQL server that these commands may do with as they like. (`cluster` says if there can be none.)"""
    with PrivateCluster() as own:
        yield own


def admin(server: PrivateCluster) -> str:
    """How its superuser reaches the server."""
    return server.url("postgres", driver="")


def with_postgres() -> str:
    """PATH, with PostgreSQL's own programs first."""
    return f"{find_binaries()}:{Path(sys.executable).parent}:{os.environ['PATH']}"


def how_the_doctor_ends(server: PrivateCluster) -> ExitCode:
    """Well; with something to look at, where the tests run on a PostgreSQL whose end is past."""
    version = int(server.sql("SHOW server_version_num")[0]) // 10_000
    return ExitCode.WARNINGS if END_OF_LIFE[version] < Clock().now().date() else ExitCode.OK


def test_one_node_on_sqlite(tmp_path: Path, world: World) -> None:
    secrets, examine, serve, back_up = commands(PAGE, SQLITE)
    port = free_port()
    with Shell(tmp_path, world.environment) as shell:
        shell.run(secrets, replace={f"{MAIL}:587": world.mail})
        shell.run(examine)
        shell.run(serve, replace={"8001": str(port)})
        until_ready(port, WEB)
        assert "The schema is at revision" in shell.run(back_up)
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "secrets").iterdir()} == {0}


def test_the_unit_runs_commands_that_exist() -> None:
    (unit,) = commands(PAGE, SQLITE, language="ini")
    lines = [line.partition("=")[2] for line in unit.splitlines() if line.startswith("Exec")]
    assert [faults(f"dashtam {line.partition('/dashtam ')[2]}") for line in lines] == [[], []]


@dataclass(frozen=True)
class Site:
    """The deployment of the second section: its terminal, its two nodes, its address and its settings."""

    shell: Shell
    nodes: tuple[int, int]
    public: int

    @property
    def named(self) -> dict[str, str]:
        """What stands in the page for the address, and what it is here."""
        return {f"https://{WEB}": f"https://{WEB}:{self.public}"}

    @property
    def ports(self) -> dict[str, str]:
        """What stands in the page for the nodes, and what they are here."""
        return {"8001": str(self.nodes[0]), "8002": str(self.nodes[1])}

    def start(self, at: int) -> None:
        """Start a node by the page's own command, and note its process."""
        command = commands(PAGE, POSTGRESQL)[3].splitlines()[1 + at]
        self.shell.run(f"{adapted(command, {f'800{1 + at}': str(self.nodes[at])})} echo $! > node{at}")
        until_ready(self.nodes[at], WEB)

    def secret(self, name: str) -> str:
        """What the page's commands have put into a file of `secrets`."""
        return (self.shell.folder / "secrets" / name).read_text().strip()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, world: World, server: PrivateCluster) -> Iterator[Site]:
    """Two nodes on PostgreSQL behind nginx, set up as the page says."""
    folder = tmp_path_factory.mktemp("site")
    terminal = Shell(folder, {**world.environment, "ADMIN": admin(server), "PATH": with_postgres()})
    here = Site(terminal, (free_port(), free_port()), free_port())
    roles, settings, migrate, serve, _ = commands(PAGE, POSTGRESQL)
    with terminal as shell:
        shell.run(roles)
        database = {"db.internal:5432": f"127.0.0.1:{server.port}"}
        shell.run(settings, replace=here.named | database | {f"{MAIL}:587": world.mail})
        shell.run(migrate)
        shell.run(f"{serve.splitlines()[0]} || test $? = {how_the_doctor_ends(server)}")
        here.start(0)
        here.start(1)
        with _proxy(here, world.certificate):
            yield here


@contextmanager
def _proxy(site: Site, pem: Path) -> Iterator[None]:
    (config,) = commands(PAGE, POSTGRESQL, language="nginx")
    changes = {
        "listen 443": f"listen 127.0.0.1:{site.public}",
        "/etc/ssl/auth.example.org.pem": str(pem),
        "/etc/ssl/auth.example.org.key": str(pem),
    }
    with nginx(site.shell.folder, adapted(config, site.ports | changes), site.public):
        yield


def test_two_nodes_behind_a_proxy_pass_the_doctor_and_the_journey(site: Site) -> None:
    assert "18/18" in site.shell.run(commands(PAGE, POSTGRESQL)[4], replace=site.named)


def test_the_service_can_neither_create_nor_change_a_table(site: Site, server: PrivateCluster) -> None:
    url = f"postgresql://dashtam_service:{site.secret('service_password')}@127.0.0.1:{server.port}/dashtam"
    for statement in ("CREATE TABLE mine (x int)", "ALTER TABLE users ADD x int", "DROP TABLE users"):
        refused = site.shell.run(f"! psql '{url}' -c '{statement}'")
        assert "permission denied" in refused or "must be owner" in refused


def test_the_journey_goes_on_while_one_node_after_the_other_is_restarted(site: Site) -> None:
    journey = commands(PAGE, POSTGRESQL)[4].splitlines()[-1]
    for at in (0, 1):
        ended = f"kill $(cat node{at}); while kill -0 $(cat node{at}) 2>/dev/null; do sleep 0.1; done"
        assert "18/18" in site.shell.run(f"{ended}\n{journey}", replace=site.named)
        site.start(at)


def test_pgbouncer_in_session_mode(site: Site, server: PrivateCluster) -> None:
    alter_roles, *_ = commands(PAGE, BEYOND)
    (config,) = commands(PAGE, BEYOND, language="ini")
    folder, bouncer, port = _private_folder(), free_port(), free_port()
    changes = {
        "host=db.internal port=5432": f"host=127.0.0.1 port={server.port}",
        "listen_port = 6432": f"listen_port = {bouncer}",
        "auth_file = users.txt": f"auth_file = {folder / 'users.txt'}",
    }
    password = site.secret("service_password")
    url = f"postgresql://dashtam_service:{password}@127.0.0.1:{bouncer}/dashtam"
    with pgbouncer(folder, adapted(config, changes), {"dashtam_service": password}, bouncer):
        site.shell.run(alter_roles)
        site.shell.run(f"DATABASE_URL_FILE= DATABASE_URL={url} dashtam serve --port {port} & echo $! > third")
        until_ready(port, WEB)
        said = site.shell.run(f"dashtam smoke http://{WEB}:{port}; psql {url} -Atc 'SHOW statement_timeout'")
        site.shell.run("kill $(cat third); while kill -0 $(cat third) 2>/dev/null; do sleep 0.1; done")
    assert "18/18" in said
    assert said.splitlines()[-1] == "5s"
    shutil.rmtree(folder)


def _private_folder() -> Path:
    """A folder of the account that PostgreSQL runs as."""
    account = Account.choose()
    folder = Path(tempfile.mkdtemp(dir=reachable_tempdir(account)))
    if account.switch:
        os.chown(folder, account.uid, account.gid)
    return folder


def test_a_standby_takes_over(site: Site, server: PrivateCluster) -> None:
    _, make, promote = commands(PAGE, BEYOND)
    folder, port, account = _private_folder(), free_port(), Account.choose()
    replication = server.url("", driver="")
    with Shell(folder, {"REPLICATION": replication, "PATH": with_postgres()}, account=account) as shell:
        try:
            # Where its sockets go by default only the account postgres may write.
            shell.run(make, replace={"-p 5433": f"-p {port} -k {folder}"})
            shell.run(promote)
            url = server.url("dashtam", driver="").replace(f":{server.port}/", f":{port}/")
            status = f"DATABASE_URL_FILE= DATABASE_URL={url} dashtam migrate status"
            assert "The schema is at revision" in site.shell.run(status)
        finally:
            shell.run("pg_ctl --pgdata standby --mode immediate stop")
    shutil.rmtree(folder)


def test_the_table_of_what_belongs_to_a_user_is_complete() -> None:
    shown = {row[0].strip("`"): row[1] for row in rows((ROOT / PAGE).read_text("utf-8"), "table")}
    assert shown.keys() == Table.metadata.tables.keys()
    with_user = {name for name, table in Table.metadata.tables.items() if "user_id" in table.columns}
    assert {name for name, belongs in shown.items() if belongs.startswith("`user_id`")} == with_user
