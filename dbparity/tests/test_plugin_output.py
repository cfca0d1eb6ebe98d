"""What a failing test is told, and what the summary says; and how findings fail the test they belong to."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from inner import project, run

SCREEN = 50
"""Lines: a failing test's sections are read, not scrolled."""

TESTS = """
import pytest
from shop import Customer, Sessions, register

@pytest.fixture
def left_open():
    session = Sessions()
    session.add(Customer(name="Ann"))
    session.flush()
    yield session

def test_leaks(left_open):
    pass

def test_fails():
    for number in range(60):
        register(f"Customer {number}")
    assert False

@pytest.mark.ci_sensitive("the mailer is slow there")
def test_is_sensitive():
    register("Eve")

def test_passes():
    register("Zoe")
"""


def written(pytester: pytest.Pytester, config: str = "", tests: str = TESTS) -> None:
    project(pytester.path, f"sqlite:///{pytester.path}/shop_test.db", config, test_it=tests)


def leaks(strictness: str) -> str:
    return f'[tool.dbparity.detectors]\nleak = "{strictness}"\n'


def below(result: pytest.RunResult, headline: str) -> list[str]:
    """The lines of a failing test's part of the output."""
    lines = result.outlines
    begin = next(number for number, line in enumerate(lines) if headline in line and line.startswith("__"))
    length = next(number for number, line in enumerate(lines[begin + 1 :]) if line.startswith(("__", "==")))
    return lines[begin : begin + 1 + length]


def test_a_failing_test_is_told_the_verdict_the_findings_and_the_timeline_on_one_screen(
    pytester: pytest.Pytester,
) -> None:
    written(pytester)
    result = run(pytester, "-k", "test_fails")
    result.assert_outcomes(failed=1, deselected=3)
    told = below(result, "test_fails")
    sections = [line.strip("- ") for line in told if line.startswith("----")]
    assert sections == ["dbparity: schema", "dbparity: timeline"]
    assert "ready: the tables match the models" in told
    assert any("INSERT INTO customers" in line and "register" not in line for line in told)
    assert len(told) < SCREEN


def test_a_finding_that_fails_is_the_test_s_own_failure_and_names_who_where_and_what_to_do(
    pytester: pytest.Pytester,
) -> None:
    written(pytester, leaks("fail"))
    result = run(pytester, "-k", "test_leaks or test_passes")
    result.assert_outcomes(passed=2, errors=1, deselected=2)
    told = below(result, "ERROR at teardown of test_leaks")
    assert any("leak: " in line and "taken at test_it.py:9 in left_open" in line for line in told)
    assert len([line for line in told if line.strip().startswith("-> ")]) == 1
    assert len(told) < SCREEN
    assert not any("plugin/" in line for line in told)


def test_a_finding_that_warns_is_in_the_summary_and_fails_nothing(pytester: pytest.Pytester) -> None:
    written(pytester, leaks("warn"))
    result = run(pytester, "-k", "test_leaks")
    result.assert_outcomes(passed=1, deselected=3)
    result.stdout.fnmatch_lines(
        ["*= dbparity =*", "test_it.py::test_leaks", "  leak: *test_it.py:9*", "*-> *"]
    )


def test_a_detector_that_is_off_says_nothing(pytester: pytest.Pytester) -> None:
    written(pytester, leaks("off"))
    result = run(pytester, "-k", "test_leaks")
    result.assert_outcomes(passed=1, deselected=3)
    assert "leak: " not in result.stdout.str()


def test_a_sensitive_test_shows_its_timeline_and_is_counted(pytester: pytest.Pytester) -> None:
    written(pytester)
    result = run(pytester, "-k", "sensitive or passes")
    result.assert_outcomes(passed=2, deselected=2)
    assert "name='Zoe'" not in result.stdout.str()
    result.stdout.fnmatch_lines(
        [
            "*dbparity: tests that pass*",
            "*test_it.py::test_is_sensitive*",
            "*dbparity: timeline*",
            "*INSERT INTO customers *name='Eve'*",
            "*dbparity: schema*",
            "ready: *",
            "dbparity: 1 ci_sensitive test ran, validated in full",
        ]
    )
    shown = run(pytester, "-k", "sensitive", "-rP").outlines  # by pytest
    assert len([line for line in shown if "INSERT INTO customers" in line]) == 1


def test_the_timeline_of_every_test_is_printed_where_it_is_asked_for(pytester: pytest.Pytester) -> None:
    written(pytester)
    result = run(pytester, "-k", "passes", "--dbparity-timeline")
    result.assert_outcomes(passed=1, deselected=3)
    result.stdout.fnmatch_lines(["*test_it.py::test_passes*", "*INSERT INTO customers *name='Zoe'*"])


def test_a_failing_test_under_clone_is_told_the_way_into_its_database(pytester: pytest.Pytester) -> None:
    written(pytester)
    result = run(pytester, "-k", "test_fails", "--dbparity-isolation=clone")
    result.assert_outcomes(failed=1, deselected=3)
    told = below(result, "test_fails")
    way_in = next(line.strip() for line in told if line.strip().startswith("sqlite3 "))
    path = pytester.path / way_in.partition(" ")[2]
    assert path.exists()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM customers").fetchone() == (60,)
    result.stdout.fnmatch_lines(["*= dbparity =*", f"test_it.py::test_fails: {way_in}"])


DROPPING = """
from shop import Base, engine

def test_drops_the_tables():
    Base.metadata.drop_all(engine)
    assert False
"""


@pytest.mark.parametrize(("isolation", "errors"), [("delete", 1), ("clone", 0)])
def test_the_verdict_is_that_of_the_moment_in_which_the_test_failed(
    pytester: pytest.Pytester, isolation: str, errors: int
) -> None:
    written(pytester, tests=DROPPING)
    result = run(pytester, f"--dbparity-isolation={isolation}")
    result.assert_outcomes(failed=1, errors=errors)  # under delete also for what it leaves to others
    result.stdout.fnmatch_lines(["*dbparity: schema*", "empty: *"])
