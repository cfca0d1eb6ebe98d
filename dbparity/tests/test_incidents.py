"""The incidents that this library was made for, each as a run in which it happens."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from inner import QUICK, project, run
from migrated import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

API = """
from fastapi import Depends, FastAPI
from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

class Base(DeclarativeBase):
    pass

class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)

engine = create_engine("{url}")
app = FastAPI()

def get_current_user():
    return "nobody"

@app.get("/me")
def me(user: str = Depends(get_current_user)):
    return user
"""
CLIENT = """
import pytest
from fastapi.testclient import TestClient
from shop import app, get_current_user

@pytest.fixture(scope="session")
def admin():
    app.dependency_overrides[get_current_user] = lambda: "admin"
    with TestClient(app) as client:
        yield client
    app.dependency_overrides.clear()

@pytest.fixture
def client():
    with TestClient(app) as client:
        yield client
"""
WITH_OVERRIDE = """
def test_a_admin_is_admin(admin):
    assert admin.get("/me").json() == "admin"

def test_b_needs_no_client():
    pass

def test_c_nobody_is_logged_in(client):
    assert client.get("/me").json() == "nobody"

def test_d_nobody_is_logged_in_either(client):
    assert client.get("/me").json() == "nobody"
"""
BY = "set by the session-scoped fixture `admin` (conftest.py:8 in admin) during test_it.py::test_a_admin_is_admin"
SOUND = """
@pytest.fixture
def admin():
    app.dependency_overrides[get_current_user] = lambda: "admin"
    with TestClient(app) as client:
        yield client
    app.dependency_overrides.clear()
"""


def test_an_override_of_a_session_scoped_client_is_reported_where_it_first_changes_another_test(
    pytester: pytest.Pytester,
) -> None:
    project(pytester.path, f"sqlite:///{pytester.path}/shop_test.db", shop=API, test_it=WITH_OVERRIDE)
    (pytester.path / "conftest.py").write_text(CLIENT)
    result = run(pytester)
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*test_c_nobody_is_logged_in*",
            "*dbparity: findings*",
            f"left-behind: override of get_current_user, {BY}, is in force in test_it.py::test_c_nobody_is_logged_in.",
            "*get_current_user is answered by admin.<locals>.<lambda> (conftest.py:8 in <lambda>)",
            "*met in request 1 (GET /me)",
            "*-> Remove it where it was set, behind the fixture's yield: *",
            "*test_d_nobody_is_logged_in_either*",
            "*= dbparity =*",
        ]
    )
    # Once below the first test that met it, and once in the summary.
    assert len([line for line in result.outlines if "left-behind: " in line]) == 2


def test_its_sound_twin_is_silent(pytester: pytest.Pytester) -> None:
    project(pytester.path, f"sqlite:///{pytester.path}/shop_test.db", shop=API, test_it=WITH_OVERRIDE)
    (pytester.path / "conftest.py").write_text(CLIENT + SOUND)
    result = run(pytester)
    result.assert_outcomes(passed=4)
    assert " dbparity =" not in result.stdout.str()


LASTING = """
import sys
from shop import register

def test_lasts():
    register("Ann")
    print("begun", file=sys.__stdout__, flush=True)
    assert sys.__stdin__.readline() == "go on\\n"
"""
MEANWHILE = """
from shop import Customer, Sessions, register
from sqlalchemy import func, select

def test_meanwhile():
    register("Bob")
    with Sessions() as session:
        assert list(session.scalars(select(Customer.name))) == ["Bob"]
"""


@pytest.fixture
def lasting(pytester: pytest.Pytester) -> Iterator[subprocess.Popen[str]]:
    """A run that is in the middle of its test, with a row committed for real."""
    project(pytester.path, f"sqlite:///{pytester.path}/shop_test.db", lasting=LASTING, test_it=MEANWHILE)
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *QUICK, "-s", "--dbparity-isolation=delete", "lasting.py"],
        cwd=pytester.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            seen(process, "begun")
            yield process
        finally:
            process.kill()


def seen(process: subprocess.Popen[str], text: str) -> str:
    """The first line with this text that the process prints, from now on."""
    assert process.stdout
    line = next((line for line in iter(process.stdout.readline, "") if text in line), None)
    assert line is not None, f"it ended without a word of {text}"
    return line


def ended(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate("go on\n", timeout=60)
    return out


def second_run(pytester: pytest.Pytester, in_use: str) -> pytest.RunResult:
    path = pytester.path / "pyproject.toml"
    path.write_text(path.read_text().replace("[tool.dbparity]", f'[tool.dbparity]\nin_use = "{in_use}"', 1))
    return run(pytester, "--dbparity-isolation=delete", "test_it.py")


def test_a_second_run_on_the_database_stops_and_says_who_is_there(
    pytester: pytest.Pytester, lasting: subprocess.Popen[str]
) -> None:
    result = second_run(pytester, "stop")
    assert result.ret == 3
    result.stdout.fnmatch_lines(
        [
            "*dbparity: nothing was run.",
            f"Another test run works on {pytester.path}/shop_test.db:",
            f"  run ???????? of {pytester.path}, process {lasting.pid} on *, since *",
        ]
    )
    assert "1 passed" in ended(lasting)


def test_a_second_run_takes_a_copy_of_its_own(
    pytester: pytest.Pytester, lasting: subprocess.Popen[str]
) -> None:
    result = second_run(pytester, "clone")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["dbparity: *copy of our own*"])
    assert "1 passed" in ended(lasting)


def test_a_second_run_waits_for_the_first(pytester: pytest.Pytester, lasting: subprocess.Popen[str]) -> None:
    path = pytester.path / "pyproject.toml"
    assert "in_use" not in path.read_text()  # it is the default
    command = [sys.executable, "-m", "pytest", *QUICK, "--dbparity-isolation=delete", "test_it.py"]
    with subprocess.Popen(command, cwd=pytester.path, stdout=subprocess.PIPE, text=True) as second:
        try:
            waited = seen(second, "dbparity: waiting for another test run")
            assert f"process {lasting.pid} " in waited
            assert "of at most 1800 s" in waited
            assert "1 passed" in ended(lasting)
            assert "1 passed" in second.communicate(timeout=60)[0]
        finally:
            second.kill()


MIGRATED = """
import migrated
import pytest
from sqlalchemy import create_engine

@pytest.fixture(scope="session", autouse=True)
def tables():
    yield
    engine = create_engine("{url}")
    migrated.MODELS.drop_all(engine)
    engine.dispose()

def test_it():
    pass
"""


def test_drop_all_at_the_end_of_a_session_is_named_by_the_next_run(pytester: pytest.Pytester) -> None:
    url = f"sqlite:///{pytester.path}/shop_test.db"
    project(pytester.path, url, test_it=MIGRATED)
    path = pytester.path / "pyproject.toml"
    said = path.read_text().replace("shop:Base.metadata", "migrated:MODELS").replace('schema = "create"', "")
    path.write_text(said.replace("[tool.dbparity]", '[tool.dbparity]\nmigrations = "alembic.ini"', 1))
    Project(pytester.path, url).usual()
    dropping = run(pytester)
    dropping.assert_outcomes(passed=1)
    dropping.stdout.fnmatch_lines(["after the last test the schema of * is stamped-but-empty: *"])
    stopped = run(pytester, "--dbparity-schema=verify")
    assert stopped.ret == 3
    stopped.stdout.fnmatch_lines(
        ["stamped-but-empty: *", "*way 2: the tables were dropped afterwards (metadata.drop_all()*"]
    )
    mended = run(pytester)
    mended.assert_outcomes(passed=1)
    mended.stdout.fnmatch_lines(["dbparity: *mended: was stamped-but-empty *"])


def test_a_run_that_leaves_the_schema_as_it_was_says_nothing_of_it(pytester: pytest.Pytester) -> None:
    project(pytester.path, f"sqlite:///{pytester.path}/shop_test.db", test_it="def test_it(committed): pass")
    sound = run(pytester)
    sound.assert_outcomes(passed=1)
    assert "after the last test" not in sound.stdout.str()
