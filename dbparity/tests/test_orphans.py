from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest
from isolated import asked, fill
from sqlalchemy.engine import make_url

from dbparity.cli import main
from dbparity.observer import Observer
from dbparity.provision.databases import Databases, Note
from dbparity.provision.kinds import databases_of
from dbparity.provision.names import checkout_of, fresh
from dbparity.provision.orphans import collect, find
from dbparity.provision.sqlite import SqliteDatabases
from dbparity.provision.templates import Templates

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import sqlalchemy as sa

RUN = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from isolated import fill
from dbparity.provision.kinds import databases_of
from dbparity.provision.templates import Templates

url, root, run = sys.argv[1:4]
templates = Templates(databases_of(url), fill, lambda: "one", root=Path(root), run=run, worker="gw0")
print(templates.clone()[0], flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBPARITY_HOME", str(tmp_path / "home"))


@pytest.fixture(params=["sqlite", "asyncpg"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Databases]:
    if request.param == "sqlite":
        made = databases_of(f"sqlite:///{tmp_path}/app.db")
    else:
        made = databases_of(request.getfixturevalue("quick_cluster").url(f"app_of_{tmp_path.name}"))
    yield made
    checkout = checkout_of(tmp_path, made.base)
    for each in find(made):
        if each.checkout == checkout:
            made.drop(each.stored.name)
    made.close()


def started(databases: Databases, root: Path, run: str, tests: Path) -> tuple[subprocess.Popen[str], str]:
    url = databases.base.render_as_string(hide_password=False)
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, url, str(root), run, str(tests)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def names(databases: Databases) -> set[str]:
    return {each.name for each in databases.stored()}


def templates_of(databases: Databases, root: Path, run: str = "dead0001") -> Templates:
    return Templates(databases, fill, lambda: "one", root=root, run=run, worker="main")


def collected(databases: Databases, checkout: str, keep: int = 0) -> list[str]:
    """What went of the names of this checkout: other tests leave databases too."""
    return [name for name in collect(databases, checkout, keep=keep) if f"_{checkout}_" in name]


def kept(databases: Databases, root: Path, count: int = 1) -> list[str]:
    templates = templates_of(databases, root)
    made = []
    for number in range(count):
        name, _ = templates.clone()
        databases.keep(name, Note("kept", f"tests/test_x.py::test_{number}", float(number)))
        made.append(name)
    templates.close()
    return made


def test_what_a_killed_run_left_is_collected_and_what_a_living_one_uses_is_not(
    databases: Databases, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    tests = request.path.parent
    killed, left = started(databases, tmp_path, "dead0002", tests)
    living, used = started(databases, tmp_path, "cafe0002", tests)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=10)
    gone = collect(databases, checkout_of(tmp_path, databases.base))
    assert left in gone
    assert used in names(databases)
    assert left not in names(databases)
    living.communicate("", timeout=10)
    assert used in collect(databases, checkout_of(tmp_path, databases.base))


def test_a_kept_clone_goes_when_its_checkout_runs_again_and_not_before(
    databases: Databases, tmp_path: Path
) -> None:
    old, newest = kept(databases, tmp_path, 2)
    checkout = checkout_of(tmp_path, databases.base)
    assert not {old, newest} & set(collect(databases, "ffffffff"))
    assert collected(databases, checkout, keep=1) == [old]
    assert newest in names(databases)
    assert collected(databases, checkout) == [newest]


def test_what_somebody_looks_at_is_not_dropped(databases: Databases, tmp_path: Path) -> None:
    (name,) = kept(databases, tmp_path)
    checkout = checkout_of(tmp_path, databases.base)
    with looking(databases.url_of(name)):
        assert collected(databases, checkout) == []
    assert collected(databases, checkout) == [name]


@contextmanager
def looking(url: sa.URL) -> Iterator[None]:
    if url.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(str(url.database), isolation_level=None)) as connection:
            connection.execute("BEGIN")
            connection.execute("SELECT * FROM roles").fetchall()
            yield
        return
    guest = Observer(url)
    guest.call(lambda connection: connection.exec_driver_sql("SELECT 1").scalar())
    yield
    guest.close()


def test_templates_outlive_a_collection(databases: Databases, tmp_path: Path) -> None:
    templates = templates_of(databases, tmp_path)
    name = templates.ensure()
    templates.close()
    collect(databases, checkout_of(tmp_path, databases.base))
    assert databases.is_proven(name)
    assert [each.kind for each in find(databases) if each.stored.name == name] == ["template"]


def test_a_name_that_only_looks_like_ours_is_left_alone(databases: Databases, tmp_path: Path) -> None:
    databases.create("dbparity_is_a_nice_tool")
    assert "dbparity_is_a_nice_tool" not in collect(databases, checkout_of(tmp_path, databases.base))
    assert "dbparity_is_a_nice_tool" in names(databases)
    databases.drop("dbparity_is_a_nice_tool")


def run_command(databases: Databases, root: Path, *options: str) -> int:
    url = databases.base.render_as_string(hide_password=False)
    databases.close()  # the command ends the event loop that connections of this process live on
    return main(["orphans", "--url", url, "--root", str(root), "--mine", *options])


def test_the_command_lists_kept_clones_with_the_way_in(
    databases: Databases, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (name,) = kept(databases, tmp_path)
    assert run_command(databases, tmp_path) == 0
    printed = capsys.readouterr().out
    assert f"{name}: kept of tests/test_x.py::test_0" in printed
    assert databases.way_in(name) in printed
    assert "dbparity orphans --drop" in printed
    assert name in names(databases)


def test_the_command_drops_all_but_the_newest_and_says_so_in_json(
    databases: Databases, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, newest = kept(databases, tmp_path, 2)
    assert run_command(databases, tmp_path, "--drop", "--keep", "1", "--json") == 0
    said = {each["name"]: each for each in json.loads(capsys.readouterr().out)["databases"]}
    assert said[old]["dropped"] is True
    assert said[newest]["dropped"] is False
    assert said[newest]["test"] == "tests/test_x.py::test_1"
    assert newest in names(databases)
    assert old not in names(databases)


def test_the_command_has_nothing_to_say_where_nothing_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["orphans", "--url", f"sqlite:///{tmp_path}/app.db", "--root", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "No test run has left a database here.\n"


def test_the_command_says_when_no_database_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("TEST_DATABASE_URL", raising=False)
    assert main(["orphans", "--root", str(tmp_path)]) == 2
    assert "No database is configured" in capsys.readouterr().err


def test_the_command_says_when_the_server_does_not_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = "postgresql+psycopg://me:secret@127.0.0.1:1/app"
    assert main(["orphans", "--url", nowhere, "--root", str(tmp_path), "--json"]) == 3
    said = json.loads(capsys.readouterr().out)
    assert "127.0.0.1" in said["error"]
    assert "secret" not in said["error"]


def test_a_name_of_a_run_is_of_this_checkout_alone(databases: Databases, tmp_path: Path) -> None:
    here, elsewhere = checkout_of(tmp_path, databases.base), checkout_of(tmp_path / "x", databases.base)
    name = str(fresh(here, "dead0003", "main"))
    fill(databases.create(name))
    assert asked(databases.url_of(name), "SELECT count(*) FROM roles") == [(2,)]
    assert [each.checkout for each in find(databases) if each.stored.name == name] == [here]
    assert here != elsewhere
    assert name in collect(databases, elsewhere)  # not kept for anybody: it goes whoever looks


def test_a_file_that_its_run_drops_meanwhile_is_passed_over(tmp_path: Path) -> None:
    databases = SqliteDatabases(make_url(f"sqlite:///{tmp_path}/app.db"))
    stays, goes = (fresh("0a1b2c3d", "gone", "gw0") for _ in range(2))
    databases.create(str(stays))
    (databases.folder / f"{goes}.db").symlink_to(tmp_path / "dropped.db")  # listed, and not there
    assert [each.name for each in databases.stored()] == [str(stays)]
    assert not (tmp_path / "dropped.db").exists()
