"""What is SQLite's own under savepoint isolation: its pools, its PRAGMAs and its scripts."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from isolated import NOTES, USERS, asked, fill
from placed import Place, user
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session

from dbparity.isolation.witness import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Place]:
    url = sa.make_url(f"sqlite:///{tmp_path}/app.db")
    fill(url)
    place = Place(url, tmp_path)
    yield place
    place.close()


def test_a_pool_of_one_is_a_pool_of_one(here: Place) -> None:
    engine = sa.create_engine(here.url, pool_size=1, max_overflow=0, pool_timeout=0.05)
    with here.test(), Session(engine) as one, Session(engine) as two:
        one.execute(user("a@x"))
        with pytest.raises(PoolTimeoutError):
            two.execute(user("b@x"))
    engine.dispose()


def test_pragmas_of_the_connect_event_hold_and_query_only_is_kept_to_its_engine(here: Place) -> None:
    reader = sa.create_engine(here.url)

    @sa.event.listens_for(here.engine, "connect")
    def configure(connection: Any, _: object) -> None:
        if isinstance(connection, sqlite3.Connection):
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = NORMAL")
            cursor.execute("PRAGMA foreign_keys = ON")
            cursor.close()

    sa.event.listen(reader, "connect", lambda it, _: it.execute("PRAGMA query_only = ON"))
    for _ in range(2):
        with here.test(), Session(here.engine) as session, Session(reader) as reading:
            reading.execute(NOTES.select()).all()
            session.execute(user("a@x"))
            session.commit()
            with pytest.raises(OperationalError, match="readonly"):
                reading.execute(user("b@x"))
            reading.rollback()
            with pytest.raises(IntegrityError):
                session.execute(NOTES.insert().values(user_id=99))
            session.rollback()
            with Session(here.engine) as second:  # its connect event comes in the midst
                assert second.scalar(sa.text("PRAGMA foreign_keys")) == 1
    reader.dispose()
    assert here.suite.watch.findings == []


def test_foreign_keys_that_are_switched_on_too_late_are_reported(here: Place) -> None:
    late = sa.create_engine(here.url)
    sa.event.listen(late, "connect", lambda it, _: it.execute("PRAGMA foreign_keys = ON"))
    with here.test(), Session(here.engine) as session, Session(late) as second:
        session.execute(user("a@x"))
        session.commit()
        second.execute(NOTES.select()).all()
    late.dispose()
    (finding,) = here.suite.found(LIMIT)
    assert "foreign_keys" in finding.message


def test_a_script_is_executed_without_its_implicit_commit(here: Place) -> None:
    with here.test():
        raw = here.engine.raw_connection()
        raw.executescript(
            "INSERT INTO users (email) VALUES ('a;b@x'); INSERT INTO users (email) VALUES ('c@x')"
        )
        raw.commit()
        raw.close()
        assert here.count() == 2
    assert asked(here.url, "SELECT count(*) FROM users") == [(0,)]


def test_a_rollback_undoes_also_what_came_before_the_failing_one_of_many(here: Place) -> None:
    with here.test(), here.engine.connect() as connection:
        with pytest.raises(IntegrityError):
            connection.execute(USERS.insert(), [{"email": "a@x"}, {"email": "b@x"}, {"email": "a@x"}])
        assert (
            connection.scalar(sa.text("SELECT count(*) FROM users")) == 2
        )  # SQLite undoes the one statement
        connection.rollback()
        assert here.count() == 0
