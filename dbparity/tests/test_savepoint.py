"""Under savepoint isolation an application commits, rolls back and nests as it likes, and nothing stays."""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from isolated import NOTES, ROLES, USERS, Suite, asked
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction

from dbparity.isolation.savepoint import IsolationConflictError, SavepointIsolation
from dbparity.isolation.witness import CONFLICT, DIRTY_VIEW

if TYPE_CHECKING:
    from collections.abc import Callable


class Person:
    """Somebody with a session of the application's engine, whatever kind that is."""

    def __init__(self, suite: Suite, **options: Any) -> None:
        self._application = suite.application
        engine = self._application.engine
        if options:
            engine = engine.execution_options(**options)
        self._session: Any = (AsyncSession if self._application.is_async else Session)(engine)

    def do(self, work: Callable[[Session], Any]) -> Any:
        if self._application.is_async:
            return self._application.runner.run(self._session.run_sync(work), context=copy_context())
        return work(self._session)

    def add(self, email: str) -> None:
        self.do(lambda session: session.execute(USERS.insert().values(email=email)))

    def emails(self) -> list[str]:
        emails = self.do(lambda session: session.scalars(sa.select(USERS.c.email).order_by(USERS.c.id)).all())
        return list(emails)

    def commit(self) -> None:
        self.do(lambda session: session.commit())

    def rollback(self) -> None:
        self.do(lambda session: session.rollback())

    def close(self) -> None:
        self.do(lambda session: session.close())


def test_what_is_committed_is_seen_by_others_in_the_test_and_by_nobody_after(
    suite: Suite, isolation: SavepointIsolation
) -> None:
    for _ in range(2):
        with suite.test(isolation):
            one, two = Person(suite), Person(suite)
            assert two.emails() == []
            one.add("a@x")
            one.commit()
            assert two.emails() == ["a@x"]
            assert asked(suite.url, "SELECT count(*) FROM users") == [(0,)]
            one.close()
            two.close()
    assert asked(suite.url, "SELECT count(*) FROM users") == [(0,)]
    assert suite.watch.findings == []


@pytest.mark.parametrize("how", ["close", "rollback", "commit"])
def test_a_request_keeps_what_it_committed_when_the_test_ends_its_older_open_read(
    suite: Suite, isolation: SavepointIsolation, how: str
) -> None:
    with suite.test(isolation):
        tester, request = Person(suite), Person(suite)
        assert tester.emails() == []
        request.add("a@x")
        request.commit()
        request.close()
        getattr(tester, how)()
        assert tester.emails() == ["a@x"]
        tester.close()
    assert suite.watch.findings == []


def test_a_rollback_undoes_its_own_changes_and_no_others(suite: Suite, isolation: SavepointIsolation) -> None:
    with suite.test(isolation):
        one, two = Person(suite), Person(suite)
        one.add("kept@x")
        one.commit()
        assert one.emails() == ["kept@x"]
        two.add("lost@x")
        two.rollback()
        assert two.emails() == one.emails() == ["kept@x"]
        two.add("late@x")
        two.close()
        assert one.emails() == ["kept@x"]
        one.close()


def test_a_session_goes_on_after_the_error_that_it_rolled_back(
    suite: Suite, isolation: SavepointIsolation
) -> None:
    with suite.test(isolation):
        one, two = Person(suite), Person(suite)
        one.add("a@x")
        one.commit()
        two.emails()
        one.add("b@x")
        with pytest.raises(IntegrityError):
            one.add("a@x")
        assert "a@x" in two.emails()
        one.rollback()
        assert two.emails() == ["a@x"]
        one.add("c@x")
        one.commit()
        assert two.emails() == ["a@x", "c@x"]
        one.close()
        two.close()


def _nested(session: Session) -> SessionTransaction:
    nested = session.get_nested_transaction()
    assert nested is not None
    return nested


def test_nested_transactions_of_several_sessions_do_not_meet(
    suite: Suite, isolation: SavepointIsolation
) -> None:
    def nest(person: Person) -> None:
        def work(session: Session) -> None:
            session.execute(USERS.insert().values(email="outer@x"))
            with session.begin_nested():
                session.execute(USERS.insert().values(email="inner@x"))
                undone = session.begin_nested()
                session.execute(USERS.insert().values(email="undone@x"))
                undone.rollback()
            with pytest.raises(IntegrityError), session.begin_nested():
                session.execute(USERS.insert().values(email="inner@x"))
            with session.begin_nested():
                session.execute(sa.select(USERS)).all()

        person.do(work)

    with suite.test(isolation):
        one, two = Person(suite), Person(suite)
        # Both have a savepoint of the same name open, one within the other's time.
        two.do(lambda session: session.begin_nested())
        nest(one)
        assert one.emails() == ["outer@x", "inner@x"]
        two.do(lambda session: _nested(session).rollback())
        one.commit()
        assert two.emails() == ["outer@x", "inner@x"]
        one.close()
        two.close()


def test_many_nested_transactions_stay_flat(suite: Suite, isolation: SavepointIsolation) -> None:
    def many(session: Session) -> None:
        for number in range(100):
            with session.begin_nested():
                session.execute(USERS.insert().values(email=f"{number}@x"))

    with suite.test(isolation):
        person = Person(suite)
        person.do(many)
        assert len(person.emails()) == 100
        assert isolation.depth < 4
        person.rollback()
        assert person.emails() == []
        person.close()


def test_a_rollback_below_later_changes_of_another_is_refused_by_name(
    suite: Suite, isolation: SavepointIsolation
) -> None:
    with suite.test(isolation):
        tester, request = Person(suite), Person(suite)
        tester.add("first@x")
        with suite.watch.request("POST /roles"):
            request.do(lambda session: session.execute(ROLES.insert().values(id=9, Name="later")))
            request.commit()
        with pytest.raises(IsolationConflictError) as refused:
            tester.rollback()
        message = str(refused.value)
        assert "the test itself at " in message
        assert "request 1 (POST /roles) at " in message
        assert message.count("test_savepoint.py:") == 2
        assert "roles" in message
        assert 'isolation="delete"' in message
        request.close()
    assert len(suite.found(CONFLICT)) == 1
    assert asked(suite.url, "SELECT count(*) FROM users") == [(0,)]


def test_an_update_that_met_no_row_has_nothing_to_roll_back_and_nothing_to_hide(
    suite: Suite, isolation: SavepointIsolation
) -> None:
    """A conditional UPDATE that lost, as single use is made of: production's other sessions see no trace of it."""
    with suite.test(isolation):
        loser, other = Person(suite), Person(suite)
        nobody = USERS.update().where(USERS.c.email == "nobody@x").values(email="b@x")
        loser.do(lambda session: session.execute(nobody))
        assert other.emails() == []
        other.add("later@x")
        other.commit()
        loser.rollback()
        assert loser.emails() == ["later@x"]
        loser.close()
        other.close()
    assert suite.watch.findings == []


def test_autocommit_commits_each_statement_and_rolls_nothing_back(
    suite: Suite, isolation: SavepointIsolation
) -> None:
    with suite.test(isolation):
        free, other = Person(suite, isolation_level="AUTOCOMMIT"), Person(suite)
        other.emails()
        free.add("a@x")
        free.rollback()
        with pytest.raises(IntegrityError):
            free.add("a@x")
        free.rollback()
        free.add("b@x")
        free.rollback()
        assert other.emails() == ["a@x", "b@x"]
        free.close()
        assert other.emails() == ["a@x", "b@x"]
        other.close()
    assert suite.found(CONFLICT) == []


def test_begin_commit_and_rollback_sent_as_text_stay_virtual(
    suite: Suite, isolation: SavepointIsolation
) -> None:
    engine = suite.application.engine
    target = engine.sync_engine if suite.application.is_async else engine
    words = "BEGIN IMMEDIATE" if target.dialect.name == "sqlite" else "BEGIN ISOLATION LEVEL READ COMMITTED"
    sa.event.listen(target, "begin", lambda connection: connection.exec_driver_sql(words))
    with suite.test(isolation):
        one, two = Person(suite), Person(suite)
        one.add("a@x")
        one.do(lambda session: session.connection().exec_driver_sql("COMMIT"))
        one.add("b@x")
        one.do(lambda session: session.connection().exec_driver_sql("ROLLBACK"))
        one.do(lambda session: session.connection().exec_driver_sql("SAVEPOINT mine"))
        one.add("c@x")
        one.do(lambda session: session.connection().exec_driver_sql("ROLLBACK TO SAVEPOINT mine"))
        one.do(lambda session: session.connection().exec_driver_sql("RELEASE SAVEPOINT mine"))
        one.commit()
        assert two.emails() == ["a@x"]
        with pytest.raises(OperationalError, match="does not exist"):
            one.do(lambda session: session.connection().exec_driver_sql("RELEASE nobody"))
        one.close()
        two.close()
    assert asked(suite.url, "SELECT count(*) FROM users") == [(0,)]


def test_a_session_that_outlives_its_test_blocks_nobody_and_is_told_why_it_failed(
    suite: Suite, isolation: SavepointIsolation
) -> None:
    with suite.test(isolation, "tests/test_a.py::test_leaks"):
        leaked = Person(suite)
        leaked.add("a@x")
    assert asked(suite.url, "SELECT count(*) FROM users") == [(0,)]
    with suite.test(isolation, "tests/test_a.py::test_next"):
        person = Person(suite)
        assert person.emails() == []
        person.close()
        with pytest.raises(OperationalError, match=r"test_a\.py::test_leaks ended"):
            leaked.emails()
        leaked.rollback()
        leaked.close()


def test_a_session_sees_uncommitted_changes_of_another_and_that_is_reported(
    suite: Suite, isolation: SavepointIsolation
) -> None:
    with suite.test(isolation):
        one, two = Person(suite), Person(suite)
        two.do(lambda session: session.execute(sa.select(NOTES)).all())
        one.add("a@x")
        assert one.emails() == ["a@x"]
        two.do(lambda session: session.execute(sa.select(NOTES)).all())
        assert suite.watch.findings == []
        assert two.emails() == ["a@x"]
        two.emails()
        (finding,) = suite.found(DIRTY_VIEW)
        assert "users" in finding.message
        assert finding.message.count("test_savepoint.py:") == 2
        assert isolation.uncommitted()[0].endswith("(users)")
        one.commit()
        assert isolation.uncommitted() == []
        one.close()
        two.close()


def test_a_fresh_connection_sees_the_test_and_changes_nothing(
    suite: Suite, isolation: SavepointIsolation
) -> None:
    def count(connection: sa.Connection) -> int:
        connection.execute(USERS.insert().values(email="fresh@x"))
        return int(connection.scalar(sa.select(sa.func.count()).select_from(USERS)) or 0)

    with suite.test(isolation):
        assert isolation.fresh(count) == 1
        person = Person(suite)
        person.add("a@x")
        person.commit()
        assert isolation.fresh(count) == 2
        assert person.emails() == ["a@x"]
        person.close()
    assert suite.watch.findings == []


def test_rows_can_be_streamed_while_others_write(suite: Suite, isolation: SavepointIsolation) -> None:
    def stream(session: Session) -> list[str]:
        seen = []
        rows = session.execute(sa.select(USERS.c.email).order_by(USERS.c.id).execution_options(yield_per=2))
        for row in rows:
            seen.append(row[0])
            if len(seen) == 1 and not suite.application.is_async:
                other = Person(suite)
                other.add("lost@x")
                other.rollback()
                other.close()
        return seen

    with suite.test(isolation):
        person = Person(suite)
        for number in range(5):
            person.add(f"{number}@x")
        person.commit()
        assert person.do(stream) == [f"{number}@x" for number in range(5)]
        person.close()


@pytest.mark.parametrize("suite", ["psycopg", "psycopg_async", "asyncpg"], indirect=True)
def test_a_second_test_has_the_same_real_connection(suite: Suite, isolation: SavepointIsolation) -> None:
    def pid(session: Session) -> int:
        return int(session.scalar(sa.text("SELECT pg_backend_pid()")) or 0)

    seen = set()
    for _ in range(3):
        with suite.test(isolation):
            person = Person(suite)
            seen.add(person.do(pid))
            person.close()
    assert len(seen) == 1


def test_the_database_says_itself_when_a_transaction_has_failed(
    suite: Suite, isolation: SavepointIsolation
) -> None:
    with suite.test(isolation):
        one, two = Person(suite), Person(suite)
        one.add("a@x")
        with pytest.raises(DBAPIError):
            one.do(lambda session: session.execute(sa.text("SELECT nothing FROM nowhere")))
        if suite.url.get_backend_name() == "postgresql":
            with pytest.raises(DBAPIError, match="current transaction is aborted"):
                one.do(lambda session: session.execute(sa.text("SELECT 1")))
            one.commit()
            assert two.emails() == []
        else:
            one.commit()
            assert two.emails() == ["a@x"]
        one.close()
        two.close()
