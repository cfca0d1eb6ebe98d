"""A test that a plugin runs once more after a failure: what was found of the first attempt is not the second's."""

from __future__ import annotations

import pytest
from inner import project, run

RERUNNING = """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for attempt in (1, 2):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if attempt == 2 or not any(each.failed for each in reports):
            break
        print("ATTEMPT", [each.when for each in reports if each.failed])
    for each in reports:
        item.ihook.pytest_runtest_logreport(report=each)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
"""
TESTS = """
from shop import engine, register

attempts = []

def test_it():
    attempts.append(engine.connect())
    attempts[-1].exec_driver_sql("SELECT 1")
    if len(attempts) {sound}:
        attempts[-1].close()
    register("Ann")
"""


@pytest.mark.parametrize(("sound", "outcome"), [("> 1", {"passed": 1}), ("> 9", {"passed": 1, "errors": 1})])
def test_each_attempt_answers_for_itself(
    pytester: pytest.Pytester, sound: str, outcome: dict[str, int]
) -> None:
    project(pytester.path, f"sqlite:///{pytester.path}/shop_test.db", test_it=TESTS.replace("{sound}", sound))
    (pytester.path / "conftest.py").write_text(RERUNNING)
    result = run(pytester, "-s")
    result.assert_outcomes(**outcome)
    result.stdout.fnmatch_lines(["*ATTEMPT*teardown*"])
