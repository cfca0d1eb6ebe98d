"""`dbparity compare`: two environments that are made differently, and what each difference can do to tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from pages import blocks, page
from planted import application, compared, installed, taken

from dbparity.cli import main
from dbparity.fingerprint import Effect, compare
from dbparity.fingerprint.rating import NOT_RATED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dbparity.testing.postgres import PrivateCluster

RESULTS, TIMING, DURABILITY, NONE = map(str, Effect)
ICU = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'und' LC_COLLATE 'C' LC_CTYPE 'C'"
VERSIONS = {"a": "3.2.9", "b": "3.3.1"}
POOLED = 'sessions = sessionmaker(create_engine("{url}", pool_size=%d))'


@pytest.fixture
def two(quick_cluster: PrivateCluster) -> Iterator[tuple[str, str]]:
    """Two databases of one server, the second of another collation."""
    names = "fingerprint_a", "fingerprint_b"
    for name, how in zip(names, ("", ICU), strict=True):
        quick_cluster.sql(f"CREATE DATABASE {name} {how}")
    yield names
    for name in names:
        quick_cluster.drop_database(name)


def test_five_differences_are_rated_each_with_one_sentence(
    two: tuple[str, str],
    quick_cluster: PrivateCluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    quick_cluster.sql(f"ALTER DATABASE {two[1]} SET TimeZone = 'Asia/Tokyo'")
    quick_cluster.sql(f"ALTER DATABASE {two[1]} SET synchronous_commit = off")
    urls = [quick_cluster.url(name, "psycopg") for name in two]
    for name, url, size in zip("ab", urls, (5, 1), strict=True):
        installed(tmp_path / f"site_{name}", "psycopg", VERSIONS[name])
        monkeypatch.syspath_prepend(tmp_path / f"site_{name}")
        root = application(tmp_path, f"shop_{name}", url, POOLED % size)
        taken(tmp_path / f"{name}.json", root)

    code, found = compared(capsys, tmp_path / "a.json", tmp_path / "b.json")

    assert found == {
        "databases/postgresql/collation": ("libc C", "icu und", RESULTS),
        "databases/postgresql/settings/TimeZone": ("UTC", "Asia/Tokyo", RESULTS),
        "packages/psycopg": (*VERSIONS.values(), RESULTS),
        "sessions/engine/pool/size": (5, 1, TIMING),
        "databases/postgresql/settings/synchronous_commit": ("on", "off", DURABILITY),
    }
    assert code == 1
    assert main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")]) == 1
    command, *shown = blocks(page("fingerprint.md"), "console")[0].splitlines()
    assert command == "$ dbparity compare ci.json mine.json"
    assert capsys.readouterr().out.splitlines()[2:] == shown[2:]


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg", "psycopg2"])
def test_one_database_twice_does_not_differ(
    driver: str, emptied: sa.URL, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = emptied.set(drivername=f"postgresql+{driver}").render_as_string(hide_password=False)
    first = taken(tmp_path / "a.json", tmp_path, url)
    assert compared(capsys, tmp_path / "a.json", "--root", tmp_path, "--url", url) == (0, {})
    assert first["databases"]["postgresql"]["driver"] == driver
    assert str(emptied.password) not in (tmp_path / "a.json").read_text()


def test_what_can_only_cost_time_ends_with_zero(
    emptied: sa.URL, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = emptied.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    for name, size in (("timed_a", 5), ("timed_b", 9)):
        taken(tmp_path / f"{name}.json", application(tmp_path, name, url, POOLED % size))
    code, found = compared(capsys, tmp_path / "timed_a.json", tmp_path / "timed_b.json")
    assert code == 0
    assert found == {"sessions/engine/pool/size": (5, 9, TIMING)}


def test_a_database_is_told_apart_by_all_that_can_be_set_for_it(
    quick_cluster: PrivateCluster, emptied: sa.URL, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, url = emptied.database, emptied.set(drivername="postgresql+asyncpg")
    whole = url.render_as_string(hide_password=False)
    taken(tmp_path / "a.json", tmp_path, whole)
    set_here = {
        "DateStyle": "German",
        "default_transaction_isolation": "serializable",
        "statement_timeout": "1500",
        "work_mem": "'1MB'",
        "jit": "off",
        "log_min_messages": "error",
        '"app.token"': "'not for everybody'",
    }
    for setting, value in set_here.items():
        quick_cluster.sql(f"ALTER DATABASE {name} SET {setting} = {value}")
    quick_cluster.sql("CREATE EXTENSION citext; CREATE TABLE extra (id int PRIMARY KEY)", str(name))
    quick_cluster.sql(
        "CREATE ROLE poor LOGIN PASSWORD 'poor'; ALTER ROLE poor SET lock_timeout = 7; "
        "GRANT USAGE ON SCHEMA public TO poor",
        str(name),
    )
    try:
        poor = url.set(username="poor", password="poor").render_as_string(hide_password=False)
        b = taken(tmp_path / "b.json", tmp_path, poor)
        code, found = compared(capsys, tmp_path / "a.json", tmp_path / "b.json")
    finally:
        quick_cluster.sql(f"ALTER DATABASE {name} RESET ALL; DROP OWNED BY poor; DROP ROLE poor", str(name))
    prefix = "databases/postgresql"
    hashes = found.pop(f"{prefix}/schema/live")
    assert hashes[0] != hashes[1]
    assert hashes[2] == RESULTS
    assert found == {
        f"{prefix}/custom_settings": ([], ["app.token"], RESULTS),
        f"{prefix}/extensions/citext": (None, "1.6", RESULTS),
        f"{prefix}/role/bypasses_row_policies": (True, False, RESULTS),
        f"{prefix}/role/superuser": (True, False, RESULTS),
        f"{prefix}/settings/DateStyle": ("ISO, MDY", "German, DMY", RESULTS),
        f"{prefix}/settings/default_transaction_isolation": ("read committed", "serializable", RESULTS),
        f"{prefix}/settings/jit": ("on", "off", TIMING),
        f"{prefix}/settings/lock_timeout": ("0", "7ms", RESULTS),
        f"{prefix}/settings/log_min_messages": (None, "error", NONE),
        f"{prefix}/settings/statement_timeout": ("0", "1500ms", RESULTS),
        f"{prefix}/settings/work_mem": ("4MB", "1MB", RESULTS),
    }
    assert code == 1
    assert "not for everybody" not in json.dumps(b)


def test_the_driver_is_a_difference_of_its_own(
    emptied: sa.URL, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = [emptied.set(drivername=f"postgresql+{driver}") for driver in ("psycopg", "asyncpg")]
    shown = [url.render_as_string(hide_password=False) for url in urls]
    taken(tmp_path / "a.json", tmp_path, shown[0])
    code, found = compared(capsys, tmp_path / "a.json", "--root", tmp_path, "--url", shown[1])
    assert (code, found) == (1, {"databases/postgresql/driver": ("psycopg", "asyncpg", RESULTS)})


SQLITE_A = """
engine = create_engine("{url}")
sessions = sessionmaker(engine)
"""
SQLITE_B = """
engine = create_async_engine("{url}", poolclass=NullPool, isolation_level="SERIALIZABLE")
sessions = async_sessionmaker(engine, expire_on_commit=False, autoflush=False)

@event.listens_for(engine.sync_engine, "connect")
def prepared(connection, record):
    cursor = connection.cursor()
    for each in ("foreign_keys = ON", "synchronous = OFF", "cache_size = 4000", "busy_timeout = 9"):
        cursor.execute(f"PRAGMA {each}")
    cursor.close()
"""


def test_sqlite_is_asked_as_the_application_connects(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "ab":
        engine = sa.create_engine(f"sqlite:///{tmp_path}/{name}.db")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"PRAGMA journal_mode = {'wal' if name == 'b' else 'delete'}")
            connection.exec_driver_sql(
                "CREATE TABLE customers (id INTEGER PRIMARY KEY, name VARCHAR NOT NULL)"
            )
        engine.dispose()
    for name, scheme, made in (("a", "sqlite", SQLITE_A), ("b", "sqlite+aiosqlite", SQLITE_B)):
        url = f"{scheme}:///{tmp_path}/{name}.db"
        taken(tmp_path / f"{name}.json", application(tmp_path, f"file_{name}", url, made))
    code, found = compared(capsys, tmp_path / "a.json", tmp_path / "b.json")
    expected: dict[str, Any] = {
        "databases/sqlite/driver": ("pysqlite", "aiosqlite", RESULTS),
        "databases/sqlite/pragmas/journal_mode": ("delete", "wal", RESULTS),
        "sessions/autoflush": (True, False, RESULTS),
        "sessions/connection/pragmas/busy_timeout": (5000, 9, RESULTS),
        "sessions/connection/pragmas/cache_size": (-2000, 4000, TIMING),
        "sessions/connection/pragmas/foreign_keys": (0, 1, RESULTS),
        "sessions/connection/pragmas/journal_mode": ("delete", "wal", RESULTS),
        "sessions/connection/pragmas/synchronous": (2, 0, DURABILITY),
        "sessions/engine/driver": ("pysqlite", "aiosqlite", RESULTS),
        "sessions/engine/isolation_level": (None, "SERIALIZABLE", RESULTS),
        "sessions/engine/pool/class": ("QueuePool", "NullPool", RESULTS),
        "sessions/expire_on_commit": (True, False, RESULTS),
        "sessions/is_async": (False, True, RESULTS),
    }
    assert {
        name: each for name, each in found.items() if "/pool/" not in name or name in expected
    } == expected
    assert code == 1


def test_the_application_s_own_connection_is_asked_what_it_has_set(
    emptied: sa.URL, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = emptied.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
    code = """
engine = create_async_engine("{url}", connect_args={"server_settings": {"timezone": "%s", "jit": "off"}})
sessions = async_sessionmaker(engine)
"""
    for name, zone in (("own_a", "UTC"), ("own_b", "Asia/Tokyo")):
        taken(tmp_path / f"{name}.json", application(tmp_path, name, url, code % zone))
    ended, found = compared(capsys, tmp_path / "own_a.json", tmp_path / "own_b.json")
    assert ended == 1
    assert found == {"sessions/connection/settings/TimeZone": ("UTC", "Asia/Tokyo", RESULTS)}


def altered(facts: Any) -> Any:
    """The same facts, each with another value."""
    if isinstance(facts, dict):
        return {name: altered(each) for name, each in facts.items()}
    return f"not {facts}"


def test_no_fact_that_is_collected_is_without_a_rating(emptied: sa.URL, tmp_path: Path) -> None:
    (tmp_path / "file.db").touch()
    urls = f"sqlite:///{tmp_path}/file.db", emptied.set(drivername="postgresql+psycopg")
    shown = [str(urls[0]), urls[1].render_as_string(hide_password=False)]
    root = application(tmp_path, "whole", shown[1], POOLED % 5)
    found = taken(tmp_path / "a.json", root, *shown)
    run = {
        "order": {"main": ["a"]},
        "workers": 1,
        "distribution": "no",
        "seed": 1,
        "isolation": "clone",
        "schema": "x",
    }
    facts = {name: each for name, each in found.items() if name not in {"environment", "packages"}} | {
        "run": run
    }
    other = altered(facts) | {"run": altered(run) | {"order": {"main": ["b"]}}}
    differences = compare(facts, other).differences
    assert len(differences) > 150
    assert {each.fact.partition("/")[0] for each in differences} == facts.keys() - {"about", "kind", "format"}
    assert [each.fact for each in differences if each.why == NOT_RATED.why] == []


def test_a_database_that_only_one_has_tested(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], emptied: sa.URL
) -> None:
    (tmp_path / "file.db").touch()
    sqlite, postgresql = f"sqlite:///{tmp_path}/file.db", emptied.render_as_string(hide_password=False)
    taken(tmp_path / "both.json", tmp_path, sqlite, postgresql)
    taken(tmp_path / "one.json", tmp_path, sqlite)
    taken(tmp_path / "none.json", tmp_path)
    code, found = compared(capsys, tmp_path / "both.json", tmp_path / "one.json")
    assert (code, found) == (1, {"databases/postgresql": ("tested", None, RESULTS)})
    assert main(["compare", str(tmp_path / "both.json"), str(tmp_path / "none.json")]) == 0
    assert "not compared: databases: only A has it" in capsys.readouterr().out
