"""A refusal is known by its code with every driver, also with the one that calls the code otherwise."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from dbparity.sqlstate import is_locked_out, sqlstate


class Told(Exception):  # noqa: N818 - any driver's
    def __init__(self, **code: str | None) -> None:
        super().__init__("canceling statement due to lock timeout")
        vars(self).update(code)


@pytest.mark.parametrize(
    "error", [Told(sqlstate="55P03"), Told(pgcode="55P03"), Told(sqlstate=None, pgcode="55P03")]
)
def test_a_lock_that_was_not_to_be_had_is_known_bare_and_wrapped(error: Told) -> None:
    for each in (error, OperationalError("SELECT 1", {}, error)):
        assert sqlstate(each) == "55P03"
        assert is_locked_out(each)


def test_sqlite_says_it_in_words_and_other_errors_are_none() -> None:
    assert is_locked_out(OperationalError("SELECT 1", {}, sqlite3.OperationalError("database is locked")))
    assert not is_locked_out(sqlite3.OperationalError("no such table: users"))
    assert not is_locked_out(Told(sqlstate="42501"))
    assert sqlstate(None) == ""
