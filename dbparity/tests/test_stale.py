"""Objects held at the boundaries of requests and tests, beside what is committed."""

from __future__ import annotations

import gc
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import (
    Connection,
    StaticPool,
    create_engine,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session
from stale_place import Admin, Base, Place, Seat, User, held

from dbparity.config import Config
from dbparity.observer import Observer
from dbparity.provision.database import TestDatabase
from dbparity.sessions.stale import StaleReads
from dbparity.watch import RunningTest, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass
class Savepoint:
    """What an isolation offers a detector: a look into the test's own transaction."""

    connection: Connection
    name: str = "savepoint"

    def fresh(self, work: Callable[[Connection], Any]) -> Any:
        return work(self.connection)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(f"sqlite:///{tmp_path}/app.db", tmp_path)
    yield place
    place.close()


def test_what_a_request_changed_behind_a_held_object_is_told(place: Place) -> None:
    session, user = held(place)
    place.request(lambda: place.rename(1, "Eve"))
    assert user.name == "Ann"
    (message,) = place.messages()
    assert message.startswith("in test_x.py::test_it, session 1, made at ")
    assert "stale_place.py:" in message
    assert " in held holds User 1 as it is no longer since request 1 (PATCH /users)" in message
    assert message.endswith("name is 'Ann' there and 'Eve' in the database.")
    (evidence,) = place.watch.findings[0].evidence
    assert "UPDATE users by session 2 in request 1 (PATCH /users) at " in evidence
    session.close()


def test_an_object_that_only_the_test_function_held_is_told(place: Place) -> None:
    def body() -> None:
        with Session(place.engine, expire_on_commit=False) as session:
            user = session.get_one(User, 1)
            session.commit()
            place.request(lambda: place.rename(1, "Eve"))
            assert user.name == "Ann"

    body()
    (message,) = place.messages()
    assert "since request 1" in message


@pytest.mark.parametrize("way", ["refresh", "expire", "expire_all", "select", "one attribute"])
def test_an_object_that_was_refreshed_in_time_is_not_told(place: Place, way: str) -> None:
    def body() -> None:
        session, user = held(place)
        place.request(lambda: place.rename(1, "Eve"))
        if way == "refresh":
            session.refresh(user)
        elif way == "expire":
            session.expire(user)
        elif way == "expire_all":
            session.expire_all()
        elif way == "one attribute":
            session.expire(user, ["name"])
        else:
            session.scalars(select(User), execution_options={"populate_existing": True}).all()
        assert user.name == "Eve"
        session.close()

    body()
    assert place.messages() == []


def test_the_default_settings_leave_nothing_stale(place: Place) -> None:
    with Session(place.engine) as session:
        user = session.get_one(User, 1)
        session.commit()
        place.request(lambda: place.rename(1, "Eve"))
        assert user.name == "Eve"
        session.commit()
    assert place.messages() == []


def test_nobody_holds_what_is_only_waiting_to_be_collected(place: Place) -> None:
    session, user = held(place)
    user.__dict__["itself"] = user  # a cycle, as relationships make them
    del user
    gc.disable()
    try:
        place.request(lambda: place.rename(1, "Eve"))
    finally:
        gc.enable()
    assert place.messages() == []
    session.close()


def test_a_deleted_row_leaves_a_ghost(place: Place) -> None:
    session, user = held(place, 2)

    def delete() -> None:
        with Session(place.engine) as other:
            other.delete(other.get_one(User, 2))
            other.commit()

    place.request(delete)
    assert session.get(User, 2) is user
    (message,) = place.messages()
    assert "holds User 2 as it is no longer since request 1 (PATCH /users): its row is deleted." in message
    assert "DELETE users by session 2 in request 1" in place.watch.findings[0].evidence[0]
    session.close()


def test_what_another_process_changed_is_found_at_the_end(place: Place) -> None:
    session, user = held(place)
    with sqlite3.connect(str(place.url.database)) as outside:
        outside.execute("UPDATE users SET name = 'Eve' WHERE id = 1")
    outside.close()
    place.request(lambda: None)
    (message,) = place.messages()
    assert message.endswith("name is 'Ann' there and 'Eve' in the database.")
    assert "another connection did" in place.watch.findings[0].evidence[0]
    assert user.name == "Ann"
    session.close()


def test_changes_that_are_still_being_made_are_not_stale(place: Place) -> None:
    with Session(place.engine, expire_on_commit=False) as session:
        user = session.get_one(User, 1)
        user.name = "not flushed"
        assert place.messages() == []
        session.flush()
        session.add(User(id=9, name="not committed"))
        session.flush()
        place.request(lambda: None)
        assert place.messages() == []
        session.rollback()


def test_sessions_of_a_running_request_are_left_alone(place: Place) -> None:
    with place.watch.request("GET /slow"):
        session, user = held(place)
        place.request(lambda: place.rename(1, "Eve"))
        assert user.name == "Ann"
        session.close()
    assert place.messages() == []


def test_looking_begins_no_transaction_and_loads_nothing(place: Place) -> None:
    session, user = held(place)
    session.expire(user, ["seen"])
    place.request(lambda: place.rename(1, "Eve"))
    assert len(place.messages()) == 1
    assert not session.in_transaction()
    assert "seen" not in user.__dict__
    session.close()


def test_inheritance_and_composite_keys_are_compared(place: Place) -> None:
    session, admin = held(place, 3, Admin)
    seat = session.get_one(Seat, (1, "A"))
    session.commit()

    def change() -> None:
        with Session(place.engine) as other:
            other.get_one(Admin, 3).level = 2
            other.get_one(Seat, (1, "A")).taken = True
            other.commit()

    place.request(change)
    messages = place.messages()
    assert any("Admin 3" in each and "level is 1 there and 2 in the database" in each for each in messages)
    assert any("Seat 1, A" in each and "taken is False there and True" in each for each in messages)
    assert (admin.level, seat.taken) == (1, False)
    session.close()


def test_many_stale_objects_of_a_session_are_one_finding(place: Place) -> None:
    with Session(place.engine, expire_on_commit=False) as session:
        users = [User(id=number, name="many") for number in range(100, 140)]
        session.add_all(users)
        session.commit()
        place.rename(1, "other")
        with Session(place.engine) as other:
            other.execute(update(User).values(name="changed"))
            other.commit()
        place.watch.test_called()
        place.watch.end_test()
        (finding,) = place.watch.findings
        assert " and 39 more as it is no longer" in finding.message
        assert len(finding.evidence) == 5


def test_another_database_is_none_of_our_business(place: Place, tmp_path: Path) -> None:
    other = create_engine(f"sqlite:///{tmp_path}/other.db")
    Base.metadata.create_all(other)
    with Session(other, expire_on_commit=False) as session:
        user = User(id=1, name="elsewhere")
        session.add(user)
        session.commit()
        assert place.messages() == []
    other.dispose()


def test_under_savepoint_the_tests_own_transaction_is_what_is_committed(place: Place) -> None:
    session, user = held(place)
    with place.engine.connect() as connection:
        place.test.isolation = Savepoint(connection)  # type: ignore[assignment]
        assert place.messages() == []
        connection.execute(text("UPDATE users SET name = 'Eve' WHERE id = 1"))
        assert place.messages() == []  # by a transaction that is still open
        connection.commit()
        (message,) = place.messages()
        assert "'Eve' in the database" in message
    assert user.name == "Ann"
    session.close()


def test_a_database_in_memory_is_not_looked_at(tmp_path: Path) -> None:
    url = make_url("sqlite://")
    engine = create_engine(url, poolclass=StaticPool)
    Base.metadata.create_all(engine)
    database = TestDatabase(url, url, Base.metadata, Config(), Observer(url), "run", "main")
    watch = Watch([StaleReads()], {})
    watch.start()
    watch.begin_test(RunningTest("test_x.py::test_it", database))
    with Session(engine, expire_on_commit=False) as session:
        user = User(id=1, name="Ann")
        session.add(user)
        session.commit()
        watch.test_called()
    watch.stop()
    engine.dispose()
    assert watch.findings == []


def test_a_table_that_cannot_be_read_is_noted_and_harms_nobody(place: Place) -> None:
    session, user = held(place)
    with place.engine.begin() as connection:
        connection.execute(text("DROP TABLE admins"))
        connection.execute(text("ALTER TABLE users RENAME TO people"))
    assert place.messages() == []
    assert "held objects were not compared in test_x.py::test_it" in place.stale.note
    assert user.name == "Ann"
    session.close()
