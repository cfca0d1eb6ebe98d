"""`pytest --dbparity-fingerprint=FILE`: what that very run had around it, also when workers did the work."""

from __future__ import annotations

import json
import sys
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest
from inner import OTHERS, QUICK, project, run

from dbparity.cli import main
from dbparity.fingerprint import Effect, compare
from dbparity.fingerprint.collecting import by_backend
from dbparity.plugin.fingerprint import OPTION

if TYPE_CHECKING:
    from pathlib import Path

    from dbparity.testing.postgres import PrivateCluster

GIVEN = """
import os
import pytest
from dbparity.testing.postgres import PrivateCluster

@pytest.fixture(scope="session")
def cluster():
    with PrivateCluster() as cluster:
        yield cluster

@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def dbparity_database_url(request, tmp_path_factory):
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('base')}/shop_test.db"
    return request.getfixturevalue("cluster").create_database("shop_test")
"""
ASKING = """
import pytest
from shop import Customer

async def add(db_sessions):
    async with db_sessions() as session:
        session.add(Customer(name="Ann"))
        await session.commit()

@pytest.mark.parametrize("number", range(2))
def test_of_the_database(database_url, number):
    import asyncio
    from sqlalchemy.ext.asyncio import create_async_engine

    async def work():
        engine = create_async_engine(database_url, pool_size=3)
        async with engine.begin() as connection:
            await connection.run_sync(lambda inner: inner.exec_driver_sql("SELECT 1").scalar())
        await engine.dispose()

    asyncio.run(work())

def test_of_none():
    pass
"""
PLAIN = """
from shop import register

def test_b():
    register("Ann")

def test_a():
    register("Bob")

def test_c():
    pass
"""


def taken(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


@pytest.fixture
def plain(pytester: pytest.Pytester) -> pytest.Pytester:
    project(pytester.path, f"sqlite:///{pytester.path}/shop_test.db", test_it=PLAIN)
    return pytester


def test_two_workers_and_two_databases_are_one_fingerprint(
    pytester: pytest.Pytester, cluster: PrivateCluster, tmp_path: Path
) -> None:
    """The suite's own server is gone by the end of the run, and is in its fingerprint."""
    del cluster  # skips where there is no PostgreSQL
    project(pytester.path, "", "", test_it=ASKING)
    (pytester.path / "conftest.py").write_text(GIVEN)
    (pytester.path / "shop.py").write_text(
        (pytester.path / "shop.py").read_text().replace('""', '"sqlite://"')
    )
    without = chain.from_iterable(("-p", f"no:{each}") for each in OTHERS if each != "randomly")
    words = (
        "-p",
        "randomly",
        "--randomly-seed=7",
        "-n",
        "2",
        "--dbparity-isolation=clone",
        f"{OPTION}=out/run.json",
    )
    done = pytester.run(sys.executable, "-m", "pytest", *without, *words)

    done.assert_outcomes(passed=5)
    done.stdout.fnmatch_lines(["dbparity: fingerprint: out/run.json"])
    found = taken(pytester.path / "out" / "run.json")
    assert {name: each["driver"] for name, each in found["databases"].items()} == {
        "postgresql": "asyncpg",
        "sqlite": "aiosqlite",
    }
    assert found["databases"]["postgresql"]["settings"]["TimeZone"]
    ran = found["run"]
    assert (ran["seed"], ran["workers"], ran["isolation"]) == (7, 2, "clone")
    assert set(ran["order"]) == {"gw0", "gw1"}
    tests = sorted(chain(*ran["order"].values()))
    assert len(tests) == len(set(tests)) == 5
    assert {
        backend: [each["pool"]["size"] for each in used] for backend, used in found["engines"].items()
    } == {
        "postgresql": [3],
        "sqlite": [3],
    }
    assert found["engines"]["postgresql"][0]["connection"]["settings"]["client_encoding"]
    assert found["engines"]["sqlite"][0]["connection"]["pragmas"]["foreign_keys"] == 0
    assert found["packages"]["asyncpg"]["role"] == "driver"


def test_the_order_is_that_of_the_run(plain: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> None:
    for name, words in {
        "file": ("test_it.py",),
        "again": ("test_it.py",),
        "turned": ("test_it.py::test_a", "test_it.py::test_b", "test_it.py::test_c"),
        "some": ("test_it.py::test_b", "test_it.py::test_c"),
    }.items():
        run(plain, f"{OPTION}={name}.json", *words)
    files = {name: taken(plain.path / f"{name}.json") for name in ("file", "again", "turned", "some")}
    assert files["file"]["run"]["order"] == {"main": [f"test_it.py::test_{each}" for each in "bac"]}
    assert compare(files["file"], files["again"]).differences == []

    (turned,) = compare(files["file"], files["turned"]).differences
    assert (turned.fact, turned.effect) == ("run/order", Effect.RESULTS)
    assert (turned.a, turned.b) == ("test 1 is test_it.py::test_b", "test 1 is test_it.py::test_a")
    (some,) = compare(files["file"], files["some"]).differences
    assert (some.fact, some.a, some.b) == (
        "run/tests",
        "3 tests, 1 of them alone: test_it.py::test_a",
        "2 tests",
    )
    capsys.readouterr()
    assert main(["compare", str(plain.path / "file.json"), str(plain.path / "again.json")]) == 0
    first, _, last = capsys.readouterr().out.splitlines()
    assert first.endswith(", 3 tests in 1 process")
    assert last == "no difference"


def test_a_run_is_compared_with_one_made_on_the_spot(
    plain: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(plain.path))  # pytester sets it for processes that it starts
    run(plain, f"{OPTION}=ci.json", "--dbparity-isolation=delete")
    compared = "dbparity.cli", "compare", "ci.json"
    told = plain.run(sys.executable, "-m", *compared, "--", *QUICK, "test_it.py")
    assert told.ret == 1
    told.stdout.fnmatch_lines(
        ["*1 difference, 1 of which can change results", "  run/isolation: A delete, B savepoint"]
    )
    told.stderr.fnmatch_lines(["*3 passed*"])
    failed = plain.run(sys.executable, "-m", *compared, "--", "--no-such-option")
    assert failed.ret == 2
    failed.stderr.fnmatch_lines(["dbparity compare: pytest ended with exit code 4 and left no fingerprint."])


def test_a_split_among_workers_is_compared_by_who_ran_what() -> None:
    def ran(**order: list[str]) -> dict[str, Any]:
        return {"run": {"order": order, "workers": len(order)}}

    one = ran(gw0=["a", "b"], gw1=["c"])
    assert compare(one, ran(gw0=["c"], gw1=["a", "b"])).differences == []  # the same, by other names
    (split,) = compare(one, ran(gw0=["a"], gw1=["b", "c"])).differences
    assert (split.fact, split.a, split.b) == ("run/split", "2 + 1 tests", "1 + 2 tests")
    (order,) = compare(one, ran(gw0=["b", "a"], gw1=["c"])).differences
    assert (order.fact, order.b) == ("run/order", "test 1 is b")
    (workers,) = compare(one, ran(main=["a", "b", "c"])).differences
    assert (workers.fact, workers.a, workers.b) == ("run/workers", 2, 1)


def test_two_databases_of_one_backend_are_numbered_alike_whoever_tells_first() -> None:
    one, other = (
        {"place": str(each), "server_version": "15", "encoding": each} for each in ("UTF8", "LATIN1")
    )
    again = one | {"place": "elsewhere"}
    assert list(by_backend([one, again, other])) == ["postgresql", "postgresql 2"]
    told = [by_backend(order) for order in ([one, other], [other, one])]
    assert told[0] == told[1]


def test_engines_that_both_have_used_are_left_out() -> None:
    def used(*sizes: int) -> dict[str, Any]:
        pools = [{"driver": "asyncpg", "pool": {"class": "QueuePool", "size": size}} for size in sizes]
        return {"engines": {"postgresql": pools}}

    assert compare(used(1, 4), used(4, 1)).differences == []
    (size,) = compare(used(1, 4), used(1, 8)).differences
    assert (size.fact, size.a, size.b, size.effect) == ("engines/postgresql/pool/size", 4, 8, Effect.TIMING)
    (more,) = compare(used(1), used(1, 8)).differences
    assert (more.fact, more.a, more.b) == ("engines/postgresql", None, "asyncpg, QueuePool of 8")


def test_what_cannot_be_written_fails_no_test(plain: pytest.Pytester) -> None:
    (plain.path / "taken").write_text("a file, no folder")
    done = run(plain, f"{OPTION}=taken/run.json")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["dbparity: the fingerprint could not be written: *"])


def test_a_factory_that_fails_does_not_take_the_fingerprint_with_it(plain: pytest.Pytester) -> None:
    config = plain.path / "pyproject.toml"
    config.write_text(config.read_text().replace("disposable", 'sessionmaker = "shop:engine"\ndisposable', 1))
    done = run(plain, f"{OPTION}=run.json")
    done.stdout.fnmatch_lines(
        ["dbparity: sessions are not in the fingerprint: shop:engine makes no session: *"]
    )
    done.stdout.fnmatch_lines(["dbparity: fingerprint: run.json"])
    assert set(taken(plain.path / "run.json")) >= {"databases", "run"}


def test_without_the_option_nothing_is_written(plain: pytest.Pytester) -> None:
    before = {each.name for each in plain.path.iterdir()}
    done = run(plain)
    assert done.ret == 0
    assert "fingerprint" not in done.stdout.str()
    assert {each.name for each in plain.path.iterdir() if each.suffix == ".json"} <= before


def test_it_can_be_loaded_without_the_rest(plain: pytest.Pytester) -> None:
    (plain.path / "test_it.py").write_text("def test_alone():\n    pass\n")
    alone = "-p", "no:dbparity", "-p", "dbparity.plugin.fingerprint"
    done = plain.runpytest_inprocess(*QUICK, *alone, f"{OPTION}=run.json")
    done.assert_outcomes(passed=1)
    found = taken(plain.path / "run.json")
    assert found["run"]["order"] == {"main": ["test_it.py::test_alone"]}
    assert "databases" not in found
