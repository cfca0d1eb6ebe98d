from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from dbparity.observer import Observer
from dbparity.provision.databases import Databases, Note
from dbparity.provision.errors import DatabaseRefusedError
from dbparity.provision.kinds import databases_of
from dbparity.provision.names import RunName, TemplateName, checkout_of, fresh, run_slug
from dbparity.provision.postgres import PostgresDatabases
from dbparity.provision.templates import Templates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import URL

    from dbparity.testing.postgres import PrivateCluster

BUILDER = """
import sys
from pathlib import Path
from dbparity.observer import Observer
from dbparity.provision.kinds import databases_of
from dbparity.provision.templates import Templates

url, root, run, worker, stop = sys.argv[1:]

def build(url):
    observer = Observer(url)
    def make(connection):
        connection.exec_driver_sql("CREATE TABLE made (by_whom VARCHAR(20))")
        connection.exec_driver_sql(f"INSERT INTO made VALUES ('{worker}')")
        connection.commit()
    observer.call(make)
    observer.close()
    if stop == "stop":
        print("half", flush=True)
        sys.stdin.read()

databases = databases_of(url)
templates = Templates(databases, build, lambda: "schema one", root=Path(root), run=run, worker=worker)
name, there = templates.clone()
print(templates.built, templates.ensure(), name, flush=True)
databases.drop(name)
templates.close()
databases.close()
"""


@pytest.fixture(autouse=True)
def own_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBPARITY_HOME", str(tmp_path / "home"))


@pytest.fixture(params=["sqlite", "asyncpg"])
def databases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Databases]:
    if request.param.startswith("sqlite"):
        made = databases_of(f"{request.param}:///{tmp_path}/app.db")
    else:
        made = databases_of(request.getfixturevalue("quick_cluster").url("app", request.param))
    yield made
    made.close()


def run_sql(url: URL, *statements: str) -> list[tuple[object, ...]]:
    observer = Observer(url, pooled=False)

    def work(connection: sa.Connection) -> list[tuple[object, ...]]:
        rows: list[tuple[object, ...]] = []
        for each in statements:
            result = connection.exec_driver_sql(each)
            rows = [tuple(row) for row in result] if result.returns_rows else []
        connection.commit()
        return rows

    try:
        return observer.call(work)
    finally:
        observer.close()


def names(databases: Databases) -> list[str]:
    return [each.name for each in databases.stored()]


def one_table(url: URL) -> None:
    run_sql(url, "CREATE TABLE seeds (name VARCHAR(20))", "INSERT INTO seeds VALUES ('rose')")


def templates_of(
    databases: Databases, root: Path, fingerprint: str = "schema one", build: object = one_table
) -> Templates:
    return Templates(databases, build, lambda: fingerprint, root=root, run="cafe0001", worker="main")  # type: ignore[arg-type]


def builder(databases: Databases, root: Path, worker: str, stop: str = "") -> subprocess.Popen[str]:
    url = databases.base.render_as_string(hide_password=False)
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, url, str(root), "cafe0002", worker, stop],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_name_can_be_read_back_and_fits() -> None:
    name = fresh("0123abcd", "cafe0001", "gw12")
    assert RunName.parse(str(name)) == name
    assert fresh("0123abcd", "cafe0001", "gw12") != name
    template = TemplateName.of("0123abcd", "any text at all, however long" * 10)
    assert TemplateName.parse(str(template)) == template
    assert RunName.parse(str(template)) is None
    assert TemplateName.parse(str(name)) is None
    assert len(str(RunName("0123abcd", "r" * 16, "w" * 16, 999_999_999))) <= 63


def test_a_run_of_any_spelling_has_a_short_name_of_its_own() -> None:
    assert run_slug("cafe0001") == "cafe0001"
    assert run_slug("2026-11-23 / 7") != run_slug("2026-11-23 / 8")
    assert RunName.parse(str(fresh("0123abcd", "2026-11-23 / 7", "GW 0")))


def test_two_checkouts_and_two_databases_have_different_names(tmp_path: Path) -> None:
    here = checkout_of(tmp_path, "postgresql+asyncpg://me:secret@localhost/app")
    assert here == checkout_of(tmp_path, "postgresql+psycopg://you@127.0.0.1:5432/app")
    assert here != checkout_of(tmp_path / "other", "postgresql://localhost/app")
    assert here != checkout_of(tmp_path, "postgresql://localhost/other")


def test_a_clone_has_what_the_template_has_and_its_own_life(databases: Databases, tmp_path: Path) -> None:
    templates = templates_of(databases, tmp_path)
    first, url = templates.clone()
    second, other = templates.clone()
    run_sql(url, "DELETE FROM seeds")
    assert run_sql(other, "SELECT name FROM seeds") == [("rose",)]
    assert url.drivername == databases.base.drivername
    assert databases.drop(first)
    assert databases.drop(second)
    assert templates.ensure() in names(databases)
    assert not {first, second} & set(names(databases))
    templates.close()


def test_a_template_is_built_once_for_its_schema_also_by_later_runs(
    databases: Databases, tmp_path: Path
) -> None:
    first = templates_of(databases, tmp_path)
    name = first.ensure()
    first.close()
    later = templates_of(databases, tmp_path)
    assert later.ensure() == name
    assert first.built
    assert not later.built
    later.close()


def test_the_template_of_another_schema_goes_when_nobody_copies_it(
    databases: Databases, tmp_path: Path
) -> None:
    old = templates_of(databases, tmp_path)
    name = old.ensure()
    new = templates_of(databases, tmp_path, "schema two")
    assert new.ensure() != name
    assert databases.is_proven(name)  # the old run still lives
    old.close()
    assert new.collect() == [name]
    assert databases.is_proven(new.ensure())
    new.close()


def test_a_template_that_somebody_dropped_is_built_again(databases: Databases, tmp_path: Path) -> None:
    templates = templates_of(databases, tmp_path)
    databases.drop(templates.ensure())
    name, url = templates.clone()
    assert run_sql(url, "SELECT name FROM seeds") == [("rose",)]
    databases.drop(name)
    templates.close()


def test_a_build_that_fails_leaves_nothing(databases: Databases, tmp_path: Path) -> None:
    def fails(url: URL) -> None:
        one_table(url)
        raise ZeroDivisionError

    before = names(databases)
    templates = templates_of(databases, tmp_path, build=fails)
    with pytest.raises(ZeroDivisionError):
        templates.ensure()
    assert names(databases) == before
    templates.close()


def test_many_processes_build_one_template_once(databases: Databases, tmp_path: Path) -> None:
    workers = [builder(databases, tmp_path, f"gw{number}") for number in range(4)]
    answers = [worker.communicate(timeout=60)[0].split() for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4
    assert sorted(answer[0] for answer in answers) == ["False"] * 3 + ["True"]
    assert len({answer[1] for answer in answers}) == 1
    assert len({answer[2] for answer in answers}) == 4


def test_a_killed_builder_leaves_nothing_that_is_taken_for_a_template(
    databases: Databases, tmp_path: Path
) -> None:
    worker = builder(databases, tmp_path, "gw0", stop="stop")
    assert worker.stdout is not None
    assert worker.stdout.readline() == "half\n"
    worker.send_signal(signal.SIGKILL)
    worker.communicate(timeout=10)
    templates = templates_of(databases, tmp_path)
    assert not [name for name in names(databases) if name.startswith(f"dbparity_t_{templates.checkout}")]
    _, url = templates.clone()
    assert templates.built
    assert run_sql(url, "SELECT name FROM seeds") == [("rose",)]
    templates.close()


def test_what_somebody_is_connected_to_is_dropped_by_force_alone(quick_cluster: PrivateCluster) -> None:
    databases = PostgresDatabases(sa.make_url(quick_cluster.url("app", "psycopg")))
    name = str(fresh("0123abcd", "cafe0003", "main"))
    guest = Observer(databases.create(name))
    guest.call(lambda connection: connection.scalar(sa.text("SELECT 1")))
    assert databases.drop(name, force=False) is False
    assert name in [each.name for each in databases.stored() if each.connected == 1]
    assert databases.drop(name)
    guest.close()
    databases.close()


def test_a_clone_that_nobody_has_connected_to_is_known_to_be_untouched(quick_cluster: PrivateCluster) -> None:
    databases = PostgresDatabases(sa.make_url(quick_cluster.url("app", "asyncpg")))
    name = str(fresh("0123abcd", "cafe0004", "main"))
    url = databases.create(name)
    assert databases.is_untouched(name)
    run_sql(url, "SELECT 1")
    assert not databases.is_untouched(name)
    databases.drop(name)
    databases.close()


def test_a_role_that_may_not_create_databases_is_told_what_to_do(quick_cluster: PrivateCluster) -> None:
    quick_cluster.sql("CREATE ROLE poor LOGIN PASSWORD 'hard to guess'")
    databases = databases_of(
        f"postgresql+psycopg://poor:hard to guess@{quick_cluster.host}:{quick_cluster.port}/app"
    )
    with pytest.raises(DatabaseRefusedError, match='ALTER ROLE "poor" CREATEDB') as refused:
        databases.create("dbparity_anything")
    assert "hard to guess" not in str(refused.value)
    databases.close()


def test_who_uses_a_template_is_named_instead_of_waited_for(
    quick_cluster: PrivateCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbparity.provision.postgres.BUSY_SECONDS", 0.0)
    quick_cluster.sql("CREATE DATABASE busy_template")
    databases = databases_of(quick_cluster.url("app", "psycopg"))
    guest = Observer(quick_cluster.url("busy_template", "psycopg"))
    guest.call(lambda connection: connection.exec_driver_sql("SET application_name = 'a curious person'"))
    guest.call(
        lambda connection: connection.exec_driver_sql("SET application_name = 'curious'"), autocommit=True
    )
    with pytest.raises(DatabaseRefusedError, match=r"pid \d+ \(postgres, curious, idle\)"):
        databases.clone("busy_template", "dbparity_never")
    guest.close()
    databases.close()


def test_a_new_database_is_like_the_configured_one(quick_cluster: PrivateCluster) -> None:
    quick_cluster.sql(
        "CREATE DATABASE likened TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    quick_cluster.sql("ALTER DATABASE likened SET timezone TO 'Asia/Tokyo'")
    quick_cluster.sql("""ALTER DATABASE likened SET search_path TO "$user", 'tests', public""")
    databases = databases_of(quick_cluster.url("likened", "psycopg"))
    url = databases.create("dbparity_like")
    query = "SELECT current_setting('timezone'), current_setting('search_path'), getdatabaseencoding()"
    assert run_sql(url, query) == run_sql(databases.base, query)
    assert run_sql(url, query)[0][0] == "Asia/Tokyo"
    databases.drop("dbparity_like")
    databases.close()


def test_a_file_that_is_open_is_copied_with_what_was_committed(tmp_path: Path) -> None:
    databases = databases_of(f"sqlite:///{tmp_path}/app.db")
    source = Path(str(databases.create("dbparity_source").database))
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE seeds (name TEXT)")
        connection.execute("INSERT INTO seeds VALUES ('rose')")
        connection.commit()
        assert source.with_name(f"{source.name}-wal").stat().st_size > 0
        assert run_sql(databases.clone("dbparity_source", "dbparity_copy"), "SELECT * FROM seeds") == [
            ("rose",)
        ]


def test_a_kept_file_outlives_the_folder_of_its_run(tmp_path: Path) -> None:
    databases = databases_of(f"sqlite:///{tmp_path}/app.db")
    one_table(databases.create("dbparity_kept"))
    databases.keep("dbparity_kept", Note("kept", "tests/test_x.py::test_y", 1.0))
    (stored,) = [each for each in databases.stored() if each.name == "dbparity_kept"]
    assert stored.note == Note("kept", "tests/test_x.py::test_y", 1.0)
    file = Path(databases.way_in("dbparity_kept").split()[-1])
    assert file.parent.name == "kept"
    assert run_sql(databases.url_of("dbparity_kept"), "SELECT * FROM seeds") == [("rose",)]
    assert databases.drop("dbparity_kept")
    assert not file.exists()


def test_the_way_in_has_no_password() -> None:
    databases = databases_of("postgresql+asyncpg://me:secret@db.example:5433/app")
    assert databases.way_in("dbparity_x") == "psql -h db.example -p 5433 -U me -d dbparity_x"


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    databases_of(f"sqlite:///{tmp_path}/app.db")
    os.chmod(tmp_path / "home", 0o777)  # noqa: PTH101, S103 - that is the fault
    with pytest.raises(RuntimeError, match="can be written by others"):
        databases_of(f"sqlite:///{tmp_path}/app.db")
