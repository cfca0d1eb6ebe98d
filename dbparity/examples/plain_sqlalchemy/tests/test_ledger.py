"""The library's tests, with real commits: only tables that a test wrote to are emptied after it."""

import pytest
from ledger import Account, open_account, transfer
from sqlalchemy.exc import IntegrityError


@pytest.fixture(autouse=True)
def two(db_session):
    open_account(db_session, "ada", 10)
    open_account(db_session, "bob")
    db_session.commit()


def test_a_transfer_moves_the_amount(db_sessions, committed):
    with db_sessions.begin() as session:
        transfer(session, 4, "ada", "bob")
    assert {row["name"]: row["balance"] for row in committed.rows(Account)} == {"ada": 6, "bob": 4}


def test_what_is_not_there_is_not_given(db_sessions, committed):
    with committed.expect(), pytest.raises(IntegrityError), db_sessions.begin() as session:
        transfer(session, 11, "ada", "bob")


def test_the_caller_commits(db_sessions, committed):
    with committed.expect(), db_sessions() as session:
        transfer(session, 4, "ada", "bob")  # and goes away without a commit


def test_each_test_begins_with_these_two(committed):
    committed.assert_state(accounts=2)
