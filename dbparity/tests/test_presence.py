"""Two test runs on one database: the later one learns of the earlier, and waits, stops, or takes a clone."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from dbparity.config import InUse
from dbparity.observer import close_background_loop
from dbparity.provision.party import Party
from dbparity.provision.presence import DatabaseInUseError, Decision, Presence

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dbparity.testing.postgres import PrivateCluster

RUN = """
import sys
from dbparity.config import InUse
from dbparity.provision.party import Party
from dbparity.provision.presence import Presence

presence = Presence(sys.argv[1], Party(run=sys.argv[2], checkout="/home/ada/shop"), InUse.STOP)
print(presence.enter().entered, flush=True)
sys.stdin.read()
presence.leave()
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


def begun(url: str, run: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, url, run]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "True\n"
    return process


@pytest.fixture
def other(url: str) -> Iterator[subprocess.Popen[str]]:
    """A run "0ther" in another process, which works on the database until its standard input is closed."""
    process = begun(url, "0ther")
    yield process
    with process:  # closes its pipes
        process.kill()


def mine(url: str, policy: InUse = InUse.STOP, run: str = "mine", **options: Any) -> Presence:
    return Presence(url, Party(run=run, checkout="/home/bob/shop"), policy, **options)


def test_a_run_alone_enters_and_leaves(url: str) -> None:
    first, second = mine(url), mine(url, run="later")
    assert first.enter() == Decision(entered=True)
    with pytest.raises(DatabaseInUseError):
        second.enter()
    first.leave()
    assert second.enter().entered
    second.leave()


def test_workers_of_one_run_share_the_database(url: str) -> None:
    workers = [mine(url) for _ in range(3)]
    assert all(worker.enter().entered for worker in workers)
    workers[0].leave()
    with pytest.raises(DatabaseInUseError):
        mine(url, run="later").enter()
    for worker in workers[1:]:
        worker.leave()
    later = mine(url, run="later")
    assert later.enter().entered
    later.leave()


def test_a_run_that_is_to_stop_is_told_whom_it_met(url: str, other: subprocess.Popen[str]) -> None:
    with pytest.raises(DatabaseInUseError) as refused:
        mine(url).enter()
    message = str(refused.value)
    assert message.startswith("Another test run works on ")
    assert f"run 0ther of /home/ada/shop, process {other.pid} on " in message
    assert ", since 20" in message
    assert 'say in_use = "clone"' in message


def test_a_run_that_may_take_a_clone_is_told_to(url: str, other: subprocess.Popen[str]) -> None:
    decision = mine(url, InUse.CLONE).enter()
    assert not decision.entered
    assert f"process {other.pid} on" in decision.others[0]


def test_a_run_that_waits_says_so_and_enters_when_the_other_has_left(
    url: str, other: subprocess.Popen[str]
) -> None:
    said: list[str] = []

    def hear(line: str) -> None:
        said.append(line)
        assert other.stdin
        other.stdin.close()

    presence = mine(url, InUse.WAIT, wait_seconds=30, say=hear)
    assert presence.enter() == Decision(entered=True)
    assert "waiting for another test run on" in said[0]
    assert "run 0ther of /home/ada/shop" in said[0]
    assert other.wait(30) == 0
    presence.leave()


def test_waiting_ends_at_its_deadline(url: str, other: subprocess.Popen[str]) -> None:
    with pytest.raises(DatabaseInUseError, match=f"(?s)process {other.pid} on .*It was waited for 0.3 s"):
        mine(url, InUse.WAIT, wait_seconds=0.3).enter()


def test_a_run_that_is_killed_is_gone(url: str, other: subprocess.Popen[str]) -> None:
    other.kill()
    presence = mine(url, InUse.WAIT, wait_seconds=10)
    assert presence.enter().entered
    with pytest.raises(DatabaseInUseError, match="run mine of /home/bob/shop"):
        mine(url, run="later").enter()
    presence.leave()


def test_a_worker_that_is_killed_does_not_take_its_run_with_it(
    url: str, other: subprocess.Popen[str]
) -> None:
    with begun(url, "0ther") as worker:
        other.kill()
        other.wait(30)
        with pytest.raises(DatabaseInUseError, match="run 0ther of /home/ada/shop"):
            mine(url).enter()
        worker.communicate("", timeout=30)
    presence = mine(url, InUse.WAIT, wait_seconds=10)
    assert presence.enter().entered
    presence.leave()


def test_nothing_is_left_beside_a_file(tmp_path: Path) -> None:
    first, second = (mine(f"sqlite:///{tmp_path}/app.db") for _ in range(2))
    assert first.enter().entered
    assert second.enter().entered
    assert [path.name for path in tmp_path.iterdir()] == ["app.db.dbparity-run"]
    first.leave()
    assert [path.name for path in tmp_path.iterdir()] == ["app.db.dbparity-run"]
    second.leave()
    second.leave()
    assert list(tmp_path.iterdir()) == []


def test_nobody_is_met_in_a_database_that_is_not_there(cluster: PrivateCluster) -> None:
    presence = mine(cluster.url("not_there"))
    assert presence.enter() == Decision(entered=True)
    presence.leave()


def test_a_database_in_memory_is_nobody_elses() -> None:
    assert mine("sqlite://").enter().entered
