"""A pytest run says whether its own variables are what the contract declares for the environment it claims."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from declared import written
from inner import project, run

from dbparity.plugin.stop import EXIT_CODE

if TYPE_CHECKING:
    from pathlib import Path

CONTRACT = '\n[tool.dbparity]\nenv_contract = "env/contract.toml"\n'
TESTS = "def test_one():\n    pass\n"
DEVIATES = "environment: this process: API_PREFIX is not what .env.ci says; no reason is stated for ci"


@pytest.fixture
def folder(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a contract, whose tests run as CI."""
    for name in ("DEBUG", "API_PREFIX", "POOL_SIZE", "SECRET", "SECRET_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STAGE", "ci")
    written(pytester.path / "env")
    return pytester.path


def made(folder: Path, detectors: str = "", tests: str = TESTS, **files: str) -> None:
    url = f"sqlite:///{folder}/shop_test.db"
    project(folder, url, detectors, test_it=tests, **files)
    text = (folder / "pyproject.toml").read_text()
    (folder / "pyproject.toml").write_text(text.replace("\n[tool.dbparity]\n", CONTRACT, 1))


def test_a_run_that_is_as_declared_says_so(pytester: pytest.Pytester, folder: Path) -> None:
    made(folder)
    result = run(pytester)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["dbparity: environment ci, as declared in env/contract.toml"])
    result.stdout.no_fnmatch_line("*environment: this process*")


def test_one_that_is_not_is_warned_of_by_name(
    pytester: pytest.Pytester, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_PREFIX", "/canary")
    made(folder)
    result = run(pytester)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["dbparity: environment ci, 1 not as declared in env/contract.toml"])
    result.stdout.fnmatch_lines(["this run", f"  {DEVIATES}"])
    result.stdout.no_fnmatch_line("*canary*")


def test_told_to_fail_it_runs_nothing(
    pytester: pytest.Pytester, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_PREFIX", "/canary")
    made(folder, '[tool.dbparity.detectors]\nenvironment = "fail"\n')
    result = run(pytester)
    assert result.ret == EXIT_CODE
    result.stdout.fnmatch_lines(["*dbparity: nothing was run.*", DEVIATES])
    monkeypatch.setenv("API_PREFIX", "/api")
    run(pytester).assert_outcomes(passed=1)


def test_what_a_conftest_sets_counts(pytester: pytest.Pytester, folder: Path) -> None:
    sets = "import os\nos.environ['API_PREFIX'] = '/v2'\n"
    made(folder, '[tool.dbparity.detectors]\nenvironment = "off"\n', conftest=sets)
    result = run(pytester)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["dbparity: environment ci, 1 not as declared in env/contract.toml"])
    result.stdout.no_fnmatch_line("*environment: this process*")


def test_a_contract_that_cannot_be_read_ends_the_run_by_name(pytester: pytest.Pytester, folder: Path) -> None:
    (folder / "env" / "contract.toml").write_text("environments = 1\n")
    made(folder)
    result = run(pytester)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*contract.toml: environments must be a table"])
