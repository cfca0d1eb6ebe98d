"""A run as a whole: beside xdist, randomly and anyio; after a crash; and without a trace when it is over."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import chain
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest
import sqlalchemy as sa
from inner import ASYNC_SHOP, OTHERS, QUICK, project, run
from sqlalchemy.event.base import _registrars
from sqlalchemy.orm import Session
from starlette.testclient import _TestClientTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbparity.testing.postgres import PrivateCluster

FAULTY = """
import os
import pytest
from shop import Customer, Sessions, register
from sqlalchemy import func, select

def count():
    with Sessions() as session:
        return session.scalar(select(func.count()).select_from(Customer))

@pytest.mark.parametrize("number", range(6))
def test_alone(number):
    assert count() == 0
    register("Ann")
    assert count() == 1

def test_leaves_a_variable():
    os.environ["LEFT_BEHIND"] = "1"

def test_leaks():
    session = Sessions()
    session.add(Customer(name="Ann"))
    session.flush()
    globals()["kept"] = session
"""
LEAK_WARNS = '[tool.dbparity.detectors]\nleak = "warn"\n'


def file(pytester: pytest.Pytester) -> str:
    return f"sqlite:///{pytester.path}/shop_test.db"


def in_process_of_its_own(pytester: pytest.Pytester, *arguments: str, wanted: str) -> str:
    """A run with one more plugin than others have; what it printed."""
    without = chain.from_iterable(("-p", f"no:{each}") for each in OTHERS if each != wanted)
    command = [sys.executable, "-m", "pytest", *without, *arguments]
    done = subprocess.run(
        command, cwd=pytester.path, capture_output=True, text=True, timeout=120, check=False
    )
    return done.stdout + done.stderr


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, pytester: pytest.Pytester) -> Iterator[str]:
    if request.param == "sqlite":
        yield file(pytester)
        return
    cluster: PrivateCluster = request.getfixturevalue("quick_cluster")
    with cluster.database() as lent:
        yield lent.replace("asyncpg", "psycopg")


def test_each_worker_has_a_database_and_what_it_finds_is_in_the_summary(
    pytester: pytest.Pytester, quick_cluster: PrivateCluster
) -> None:
    with quick_cluster.database() as url:
        project(pytester.path, url.replace("asyncpg", "psycopg"), LEAK_WARNS, test_it=FAULTY)
        said = in_process_of_its_own(pytester, "-n", "2", "--dbparity-isolation=delete", wanted="xdist")
    assert "8 passed" in said, said
    assert said.count("created 2 tables from the models") == 1
    assert "test_it.py::test_leaks\n  leak: test_it.py::test_leaks leaves a transaction open" in said


def test_a_false_schema_stops_the_workers_of_a_database_that_a_fixture_gives(
    pytester: pytest.Pytester,
) -> None:
    project(pytester.path, file(pytester), test_it="def test_asks(db_session):\n    pass\n")
    pyproject = pytester.path / "pyproject.toml"
    kept = [line for line in pyproject.read_text().splitlines() if not line.startswith("database_url")]
    pyproject.write_text("\n".join(kept))
    given = f"""
import pytest

@pytest.fixture(scope="session")
def dbparity_database_url():
    return "{file(pytester)}"
"""
    (pytester.path / "conftest.py").write_text(given)
    said = in_process_of_its_own(pytester, "-n", "1", "--dbparity-schema=verify", wanted="xdist")
    assert "1 error" in said, said
    assert 'It was not made: schema = "verify" makes none.' in said
    assert "Traceback" not in said


def test_a_random_order_changes_nothing(pytester: pytest.Pytester) -> None:
    project(pytester.path, file(pytester), LEAK_WARNS, test_it=FAULTY)
    said = in_process_of_its_own(pytester, "-p", "randomly", "-p", "no:xdist", "-v", wanted="randomly")
    assert "Using --randomly-seed=" in said
    assert "8 passed" in said, said


CRASHING = """
import pytest
from shop import Customer, Sessions, engine, register
from sqlalchemy import func, select

@pytest.fixture
def broken():
    register("Ann")
    raise RuntimeError("no set-up")

@pytest.fixture
def broken_later():
    register("Ann")
    yield
    raise RuntimeError("no tear-down")

def test_a_cannot_be_set_up(broken):
    pass

def test_b_cannot_be_torn_down(broken_later):
    register("Bob")

def test_c_ends_in_the_middle_of_a_transaction():
    session = Sessions()
    session.add(Customer(name="Ann"))
    session.flush()
    raise KeyError("in the middle")

def test_d_is_isolated_all_the_same(committed):
    committed.assert_state(customers=0)
    with Sessions() as session:
        assert session.scalar(select(func.count()).select_from(Customer)) == 0
"""


@pytest.mark.parametrize("isolation", ["savepoint", "delete", "clone"])
def test_a_test_after_crashes_is_isolated(pytester: pytest.Pytester, url: str, isolation: str) -> None:
    project(pytester.path, url, LEAK_WARNS, test_it=CRASHING)
    result = run(pytester, f"--dbparity-isolation={isolation}")
    result.assert_outcomes(passed=2, failed=1, errors=2)


ANYIO = """
import pytest
from shop import Customer, Sessions, engine
from sqlalchemy import func, select

pytestmark = pytest.mark.anyio
NUMBER = select(func.count()).select_from(Customer)

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.parametrize("time", ["first", "second"])
async def test_alone(async_db_session, committed, time):
    async with Sessions.begin() as session:
        session.add(Customer(name="Ann"))
    assert await async_db_session.scalar(NUMBER) == 1
    committed.assert_state(customers=1)
"""
NOT_INSTALLED = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "pytest_asyncio":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
"""


def test_anyio_alone_runs_async_tests(pytester: pytest.Pytester) -> None:
    url = f"sqlite+aiosqlite:///{pytester.path}/shop_test.db"
    project(pytester.path, url, shop=ASYNC_SHOP, test_it=ANYIO)
    (pytester.path / "sitecustomize.py").write_text(NOT_INSTALLED)
    os.environ["PYTHONPATH"] = str(pytester.path)  # pytester puts it back
    said = in_process_of_its_own(pytester, wanted="anyio")
    assert "2 passed" in said, said


def wrapped() -> dict[str, Any]:
    """What dbparity or its detectors put something around while a run lasts."""
    return {
        "Session.__init__": Session.__init__,
        "httpx": httpx.ASGITransport.handle_async_request,
        "httpx2": httpx2.ASGITransport.handle_async_request,
        "Starlette": _TestClientTransport.handle_request,
        "environ": (type(os.environ).__setitem__, type(os.environ).__delitem__),
        "variables": dict(os.environ) | {"PYTEST_CURRENT_TEST": ""},
        "engine events": _listeners(sa.Engine, "do_connect"),
        "session events": _listeners(Session, "after_begin"),
        "pool events": _listeners(sa.Pool, "checkout"),
    }


def _listeners(target: type, name: str) -> list[object]:
    """All that listen to every engine, session or pool."""
    (events,) = [each for each in _registrars[name] if each._accept_with(target, name) is not None]  # noqa: SLF001 - there is no public way
    return list(chain.from_iterable(getattr(events.dispatch, name)._clslevel.values()))  # noqa: SLF001 - the same


WEB = """
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from shop import register

def test_it(db_session, committed):
    app = FastAPI()
    app.get("/")(lambda: register("Ann"))
    with TestClient(app) as client:
        assert client.get("/").json() == 1
    committed.assert_state(customers=1)
"""


class Looking:
    """A plugin of the inner run."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {}

    def pytest_runtest_call(self) -> None:
        self.seen = wrapped()


def test_a_run_leaves_every_library_as_it_was(pytester: pytest.Pytester) -> None:
    url = f"env:SHOP_DATABASE={file(pytester)}"
    project(pytester.path, file(pytester), LEAK_WARNS, test_it=WEB)
    path = pytester.path / "pyproject.toml"
    path.write_text(path.read_text().replace(f'"{file(pytester)}"', f'"{url}"'))
    before = wrapped()
    for _ in range(2):
        looking = Looking()
        pytester.runpytest_inprocess(*QUICK, plugins=[looking]).assert_outcomes(passed=1)
        assert wrapped() == before
        assert {name for name, value in looking.seen.items() if value == before[name]} == set()
    assert "SHOP_DATABASE" not in os.environ
