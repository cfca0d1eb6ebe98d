"""The lock of those who build a schema: one at a time, never for ever, and gone with its holder."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from dbparity.observer import Observer, close_background_loop
from dbparity.provision.lock import LockHeldError, schema_lock
from dbparity.provision.party import Party

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dbparity.testing.postgres import PrivateCluster

HOLDER = """
import sys
from dbparity.provision.lock import schema_lock
from dbparity.provision.party import Party

with schema_lock(sys.argv[1], party=Party(run="0ther", checkout="/home/ada/shop")):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True, scope="module")
def _loop_ended() -> Iterator[None]:
    yield
    close_background_loop()


@pytest.fixture(scope="module")
def lent(cluster: PrivateCluster) -> Iterator[str]:
    """A database for all these tests: none of them makes anything in it."""
    with cluster.database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    lent: str = (
        request.getfixturevalue("lent") if request.param == "postgresql" else f"sqlite:///{tmp_path}/app.db"
    )
    return lent


@pytest.fixture
def holder(url: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until its standard input is closed."""
    command = [sys.executable, "-c", HOLDER, url]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    yield process
    with process:  # closes its pipes
        process.kill()


def free(url: str) -> bool:
    try:
        with schema_lock(url, wait_seconds=0):
            return True
    except LockHeldError:
        return False


def test_it_is_had_by_one_at_a_time(url: str) -> None:
    with schema_lock(url):
        assert not free(url)
    assert free(url)


def test_it_is_let_go_by_an_error_inside(url: str) -> None:
    with pytest.raises(ZeroDivisionError), schema_lock(url):
        raise ZeroDivisionError
    assert free(url)


def test_the_holder_is_named_when_the_time_is_over(url: str, holder: subprocess.Popen[str]) -> None:
    said: list[str] = []
    with pytest.raises(LockHeldError) as refused, schema_lock(url, wait_seconds=0.2, on_wait=said.append):
        pytest.fail("entered")
    message = str(refused.value)
    assert "was not free within 0.2 s" in message
    assert f"run 0ther of /home/ada/shop, process {holder.pid} on " in message
    assert "waiting for another builder of " in said[0]
    assert f"process {holder.pid}" in said[0]
    if url.startswith("postgresql"):
        assert "from 127.0.0.1)" in message
        assert "SELECT pg_terminate_backend(" in message


def test_it_goes_with_a_holder_that_is_killed(url: str, holder: subprocess.Popen[str]) -> None:
    assert not free(url)
    holder.kill()
    with schema_lock(url, wait_seconds=10):
        assert not free(url)


def test_it_is_had_when_the_holder_has_done_its_work(url: str, holder: subprocess.Popen[str]) -> None:
    assert holder.stdin

    def let_go(_: str) -> None:
        assert holder.stdin
        holder.stdin.close()

    with schema_lock(url, wait_seconds=30, on_wait=let_go):
        assert holder.wait(30) == 0


def test_databases_have_locks_of_their_own(cluster: PrivateCluster, tmp_path: Path) -> None:
    with cluster.database() as one, cluster.database() as other, schema_lock(one):
        assert free(other)
        assert not free(one)
    with schema_lock(f"sqlite:///{tmp_path}/one.db"):
        assert free(f"sqlite:///{tmp_path}/other.db")
        assert not free(f"sqlite+aiosqlite:///{tmp_path}/one.db")


def test_other_keys_are_other_locks(url: str) -> None:
    with schema_lock(url, key=7):
        assert free(url)


def test_an_observer_says_which_database(url: str) -> None:
    observer = Observer(url)
    with schema_lock(observer):
        assert not free(url)
    observer.close()


def test_a_database_in_memory_is_nobody_elses() -> None:
    with schema_lock("sqlite://"), schema_lock("sqlite://", wait_seconds=0):
        pass


def test_nothing_is_left_beside_a_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/app.db"
    with schema_lock(url):
        assert [path.name for path in tmp_path.iterdir()] == ["app.db.dbparity-schema"]
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_a_killed_holder_left_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "app.db.dbparity-schema").write_text("half a line of JS")
    assert free(f"sqlite:///{tmp_path}/app.db")


def test_no_transaction_is_open_while_it_is_held(lent: str) -> None:
    url = lent.replace("asyncpg", "psycopg")
    with schema_lock(url):
        observer = Observer(url)
        asked = sa.text(
            "SELECT state FROM pg_stat_activity WHERE application_name LIKE 'dbparity builds%'"
            " AND datname = current_database()"
        )
        assert observer.call(lambda connection: list(connection.scalars(asked))) == ["idle"]
        observer.close()


@pytest.mark.parametrize("checkout", ["/home/ada/100 % /* sure */ $1 ? :name", "/home/ädä/" + "x" * 300])
def test_whatever_a_folder_is_called_it_fits_into_a_name_and_a_comment(lent: str, checkout: str) -> None:
    party = Party(run="r", checkout=checkout)
    assert len(party.application("builds").encode()) <= 63
    for spelled in (lent, lent.replace("asyncpg", "psycopg")):
        refused = pytest.raises(LockHeldError, match=f"process {os.getpid()} on")
        with schema_lock(spelled, party=party), refused, schema_lock(lent, wait_seconds=0):
            pytest.fail("entered")
