"""The private server: gone with its owner however that ends, and out of everybody's way until then."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dbparity.testing.installed import find_binaries
from dbparity.testing.orphans import PREFIX, remove_orphans
from dbparity.testing.postgres import PostgresError, PostgresMissing, PrivateCluster

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNER = """
import signal, time
from dbparity.testing.postgres import PrivateCluster
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests in the background ignores it
cluster = PrivateCluster().start()
print(cluster.root, cluster.port, flush=True)
while True:  # a signal that comes just before signal.pause() would be waited for again
    time.sleep(0.05)
"""


@pytest.fixture
def owner(cluster: PrivateCluster) -> Iterator[subprocess.Popen[str]]:
    """Another process with a cluster of its own (and `cluster`, so that a machine without a server skips)."""
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def place(owner: subprocess.Popen[str]) -> tuple[Path, int]:
    assert owner.stdout is not None
    root, port = owner.stdout.readline().split()
    return Path(root), int(port)


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until_gone(root: Path, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while root.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not root.exists()


def test_the_server_keeps_its_default_durability(cluster: PrivateCluster) -> None:
    settings = "fsync", "synchronous_commit", "full_page_writes"

    assert [cluster.sql(f"SHOW {name}") for name in settings] == [["on"]] * 3


def test_databases_are_made_cloned_and_dropped_under_any_name(cluster: PrivateCluster) -> None:
    name = 'quo"ted name'
    cluster.create_database(name)
    cluster.sql("CREATE TABLE t AS SELECT 7 AS seven", dbname=name)
    cluster.create_database("clone", template=name)
    cloned = cluster.sql("SELECT seven, seven + 1 FROM t", dbname="clone")
    cluster.drop_database("clone")
    cluster.drop_database(name)
    cluster.drop_database("clone")

    assert cloned == ["7|8"]
    assert cluster.sql("SELECT datname FROM pg_database WHERE datname IN ('clone', 'quo\"ted name')") == []


def test_a_lent_database_is_gone_afterwards(cluster: PrivateCluster) -> None:
    with cluster.database() as url:
        name = url.rsplit("/", 1)[-1]
        assert cluster.sql("SELECT current_database()", dbname=name) == [name]
    with pytest.raises(PostgresError, match="does not exist"):
        cluster.sql("SELECT 1", dbname=name)


def test_the_plain_url_names_no_driver(cluster: PrivateCluster) -> None:
    assert cluster.url("app", driver="").startswith("postgresql://postgres:")


def test_a_stranger_without_the_password_is_refused(cluster: PrivateCluster) -> None:
    psql = find_binaries() / "psql"
    command = [
        str(psql),
        "-w",
        "-h",
        cluster.host,
        "-p",
        str(cluster.port),
        "-U",
        "postgres",
        "-c",
        "SELECT 1",
    ]
    refused = subprocess.run(
        command, env={"PGPASSWORD": "guess", "PATH": os.defpath}, capture_output=True, text=True, check=False
    )

    assert "password authentication failed" in refused.stderr


def test_settings_reach_the_server_and_a_bad_one_is_told_and_leaves_nothing(cluster: PrivateCluster) -> None:
    with PrivateCluster(settings={"max_connections": "7"}) as other:
        assert other.sql("SHOW max_connections") == ["7"]
    bad = PrivateCluster(settings={"max_connections": "many"})
    with pytest.raises(PostgresError, match=r'invalid value for parameter "max_connections"'):
        bad.start()
    assert bad.root is None


def test_a_stopped_cluster_leaves_neither_folder_nor_port(cluster: PrivateCluster) -> None:
    with PrivateCluster() as other:
        root, port = other.root, other.port
        assert root is not None
        assert listening(port)
        assert port != cluster.port
    assert not root.exists()
    assert not listening(port)


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_owner_takes_its_server_along(owner: subprocess.Popen[str], ending: signal.Signals) -> None:
    root, port = place(owner)
    assert listening(port)
    owner.send_signal(ending)
    owner.wait()

    assert wait_until_gone(root)
    assert not listening(port)


def test_what_a_power_cut_left_is_removed_and_what_lives_is_not(
    cluster: PrivateCluster, owner: subprocess.Popen[str]
) -> None:
    living, port = place(owner)
    assert cluster.root is not None
    left = cluster.root.parent / f"{PREFIX}left-behind"
    left.mkdir()
    (left / "owner.lock").touch()
    removed = remove_orphans(cluster.root.parent)

    assert left in removed
    assert not left.exists()
    assert not {living, cluster.root} & set(removed)
    assert listening(port)


def test_a_folder_that_has_not_locked_itself_yet_is_not_taken_for_an_orphan(tmp_path: Path) -> None:
    young, old = tmp_path / f"{PREFIX}young", tmp_path / f"{PREFIX}old"
    young.mkdir()
    old.mkdir()
    os.utime(old, (0, 0))

    assert remove_orphans(tmp_path) == [old]
    assert young.exists()


def test_a_machine_without_postgresql_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("DBPARITY_POSTGRES", raising=False)

    with pytest.raises(PostgresMissing, match="install the server package"):
        find_binaries(well_known=())
