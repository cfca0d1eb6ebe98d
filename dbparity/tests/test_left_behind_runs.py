"""The founding incident in real pytest runs: a session-scoped client, and the files that run after it."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import alembic.command
import fastapi.testclient
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOP = """
from typing import Annotated
from fastapi import Depends, FastAPI
def get_current_user(): return "nobody"

app = FastAPI()

@app.get("/me")
def me(user: Annotated[str, Depends(get_current_user)]): return user
"""

CONFTEST = """
import pytest
from fastapi.testclient import TestClient
from leaky_shop import app, get_current_user

@pytest.fixture(scope="SCOPE")
def client():
    app.dependency_overrides[get_current_user] = lambda: "somebody"
    yield TestClient(app)
    AFTERWARDS
"""

SMOKE = """
def test_me(client):
    assert client.get("/me").json() == "somebody"

def test_me_again(client):
    assert client.get("/me").json() == "somebody"
"""

API = """
from fastapi.testclient import TestClient
from leaky_shop import app

def test_nobody_is_logged_in():
    assert TestClient(app).get("/me").json() == "nobody"
"""

# An inner run forgets the modules that it imports itself, and these are none to be imported twice.
KEPT = (alembic.command, fastapi.testclient)
INSTALLED = any(each.name == "dbparity" for each in entry_points(group="pytest11"))

OVERRIDE = 'app.dependency_overrides[get_current_user] = lambda: "somebody"'
OWN_CLIENT = """
def test_me(client):
    assert client.get("/me").json() == "nobody"
"""

CONFIG = """
[tool.dbparity]
isolation = "savepoint"
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> Iterator[pytest.Pytester]:
    pytester.makepyprojecttoml(CONFIG)
    pytester.makepyfile(leaky_shop=SHOP, test_a_smoke=SMOKE, test_b_api=API)
    pytester.syspathinsert()
    yield pytester
    sys.modules.pop("leaky_shop", None)


def run(project: pytest.Pytester, scope: str, afterwards: str, *arguments: str) -> pytest.RunResult:
    project.makeconftest(CONFTEST.replace("SCOPE", scope).replace("AFTERWARDS", afterwards))
    plugins = ["no:randomly", "no:asyncio", "no:cacheprovider", *([] if INSTALLED else ["dbparity.plugin"])]
    return project.runpytest_inprocess(*(f"-p{each}" for each in plugins), *arguments)


def test_a_session_scoped_override_is_named_at_the_test_that_it_breaks(project: pytest.Pytester) -> None:
    result = run(project, "session", "app.dependency_overrides.clear()")
    result.assert_outcomes(passed=2, failed=1)
    found = (
        "*left-behind: override of get_current_user, set by the session-scoped fixture `client` "
        "(conftest.py:7 in client) during test_a_smoke.py::test_me, is in force in "
        "test_b_api.py::test_nobody_is_logged_in."
    )
    result.stdout.fnmatch_lines(
        [found, "*met in request 1 (GET /me)", "*-> Remove it where it was set, behind the*"]
    )
    assert result.stdout.str().count("left-behind: ") == 2  # below the failing test, and in the summary


def test_each_file_alone_passes_and_has_no_finding(project: pytest.Pytester) -> None:
    for file, passed in (("test_a_smoke.py", 2), ("test_b_api.py", 1)):
        result = run(project, "session", "app.dependency_overrides.clear()", file)
        result.assert_outcomes(passed=passed)
        result.stdout.no_fnmatch_line("*left-behind*")


@pytest.mark.parametrize("scope", ["function", "module"])
def test_the_sound_twin_is_silent(project: pytest.Pytester, scope: str) -> None:
    result = run(project, scope, "app.dependency_overrides.clear()")
    result.assert_outcomes(passed=3)
    result.stdout.no_fnmatch_line("*left-behind*")


def test_a_fixture_that_never_clears_is_named_too(project: pytest.Pytester) -> None:
    result = run(project, "function", "pass")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*set by the function-scoped fixture `client` (conftest.py:7 in client) during*test_me_again, is in*"
        ]
    )


def test_a_client_fixture_of_another_folder_is_another_fixture(project: pytest.Pytester) -> None:
    (project.path / "test_a_smoke.py").unlink()
    (project.path / "test_b_api.py").unlink()
    for folder, scope, tests in (("a_smoke", "session", SMOKE), ("b_api", "function", OWN_CLIENT)):
        (project.path / folder).mkdir()
        own = CONFTEST if folder == "a_smoke" else CONFTEST.replace(OVERRIDE, "")
        (project.path / folder / "conftest.py").write_text(
            own.replace("SCOPE", scope).replace("AFTERWARDS", "")
        )
        (project.path / folder / f"test_{folder}.py").write_text(tests)
    result = run(project, "session", "", "--import-mode=importlib")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        ["*fixture `client` (a_smoke/conftest.py:* is in force in b_api/test_b_api.py::test_me.*"]
    )
