"""What counts as a difference between two runs, and when a rule holds its tongue: on reports made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from dbparity.crosscheck.causes import causes
from dbparity.crosscheck.comparison import compared, repeated
from dbparity.crosscheck.rendering import rendered
from dbparity.crosscheck.trace import Trace

MODES = ("savepoint", "clone")


def ended(
    isolation: str, outcome: str = "passed", message: str = "", *events: dict[str, Any]
) -> dict[str, Any]:
    failure = {
        "type": "builtins.AssertionError",
        "message": message,
        "traceback": message,
        "at": "test_a.py:3",
    }
    return {
        "nodeid": "test_a.py::test_a",
        "outcome": outcome,
        "isolation": isolation,
        "failures": [failure] if outcome == "failed" else [],
        "findings": [],
        "observed": {"events": list(events), "clock_columns": [["customers", "created_at"]]},
    }


def report(*tests: dict[str, Any]) -> dict[str, Any]:
    return {"tests": list(tests)}


def statement(sql: str, connection: int = 1, transaction: int = 1, **told: Any) -> dict[str, Any]:
    return {
        "kind": "statement",
        "sql": sql,
        "connection": connection,
        "transaction": transaction,
        "integers": [],
        "origin": "shop.py:7 in register",
        **told,
    }


def test_the_same_failure_with_other_numbers_is_no_difference() -> None:
    first = report(ended("savepoint", "failed", "customer 17 at 0x7f is gone"))
    second = report(ended("clone", "failed", "customer 1 at 0x9a is gone"))

    assert compared(MODES, first, second).differences == ()


def test_another_failure_is_a_difference_without_a_cause() -> None:
    first = report(ended("savepoint", "failed", "no customer"))
    found = compared(MODES, first, report(ended("clone", "failed", "no order")))

    assert [each.kind for each in found.differences] == ["unknown"]
    assert "No known effect of isolation explains this." in rendered(found)


def test_a_test_that_ran_under_one_isolation_only_is_told() -> None:
    found = compared(MODES, report(ended("savepoint")), report())

    assert found.compared == 0
    assert "clone: did not run" in rendered(found)


def test_a_difference_that_does_not_come_again_is_unstable() -> None:
    found = compared(MODES, report(ended("savepoint")), report(ended("clone", "failed", "no")))
    again = repeated(found, report(ended("savepoint")), report(ended("clone")))

    assert [(each.kind, each.unstable) for each in again.differences] == [("unstable", "clone")]
    assert "Run again, it ended otherwise under clone" in rendered(again)


def test_an_error_that_the_test_survives_is_a_difference() -> None:
    error = {
        "kind": "error",
        "type": "OperationalError",
        "message": "locked",
        "connection": 1,
        "at_commit": False,
    }
    found = compared(MODES, report(ended("savepoint")), report(ended("clone", "passed", "", error)))

    assert [each.kind for each in found.differences] == ["unknown"]
    assert "on the way: OperationalError: locked" in rendered(found)


def clocked(isolation: str, *times: str, outcome: str = "passed", message: str = "") -> Trace:
    inserts = [
        statement("INSERT INTO customers (name) VALUES (?)", transaction=number, now=time)
        for number, time in enumerate(times, 1)
    ]
    return Trace(ended(isolation, outcome, message, *inserts))


def test_a_frozen_clock_is_no_cause_where_the_failure_does_not_speak_of_time() -> None:
    frozen = clocked("savepoint", "12:00:00", "12:00:00", outcome="failed", message="assert 'a' == 'b'")

    assert causes(frozen, clocked("clone", "12:00:01", "12:00:02")) == []


def test_a_frozen_clock_is_a_cause_where_the_failure_names_such_a_column() -> None:
    frozen = clocked(
        "savepoint", "12:00:00", "12:00:00", outcome="failed", message="assert a.created_at < b.created_at"
    )

    assert [each.kind for each in causes(frozen, clocked("clone", "12:00:01", "12:00:02"))] == ["frozen-now"]


@pytest.mark.parametrize(
    ("between", "kinds"),
    [([], ["missing-commit"]), ([{"kind": "commit", "connection": 1, "transaction": 1}], [])],
    ids=["still open", "committed"],
)
def test_a_commit_is_missing_only_where_the_writing_transaction_is_still_open(
    between: list[dict[str, Any]], kinds: list[str]
) -> None:
    events = [
        statement("INSERT INTO customers (name) VALUES (?)"),
        *between,
        statement("SELECT 1 FROM customers", 2),
    ]
    failed = Trace(ended("clone", "failed", "assert None", *events))

    assert [each.kind for each in causes(Trace(ended("savepoint", "passed", "", *events)), failed)] == kinds


def numbered(isolation: str, number: int, outcome: str = "passed", message: str = "") -> Trace:
    return Trace(ended(isolation, outcome, message, {"kind": "id", "table": "customers", "id": number}))


@pytest.mark.parametrize(
    ("message", "kinds"),
    [("assert 7 == 1", ["ids"]), ("assert 70 == 1", []), ("assert 7 == 2", []), ("no", [])],
)
def test_ids_are_a_cause_only_where_the_failure_names_both(message: str, kinds: list[str]) -> None:
    found = causes(numbered("savepoint", 7, "failed", message), numbered("clone", 1))

    assert [each.kind for each in found] == kinds


@pytest.mark.parametrize(("connects", "kinds"), [("first", []), ("last", ["second-connection"])])
def test_a_second_connection_is_a_cause_only_where_it_comes_after_rows(
    connects: str, kinds: list[str]
) -> None:
    outside = {"kind": "outside", "what": "psycopg.connect", "origin": "test_a.py:3 in count"}
    insert = statement("INSERT INTO customers (name) VALUES (?)")
    events = [outside, insert] if connects == "first" else [insert, outside]
    failed = Trace(ended("savepoint", "failed", "assert 0 == 1", *events))

    assert [each.kind for each in causes(failed, Trace(ended("clone", "passed", "", *events)))] == kinds


def test_a_password_in_a_message_does_not_reach_the_screen() -> None:
    message = "cannot reach postgresql://app:hunter2@db/shop"
    found = compared(MODES, report(ended("savepoint", "failed", message)), report(ended("clone")))

    assert "hunter2" not in rendered(found)
    assert "postgresql://app:***@db/shop" in rendered(found)
