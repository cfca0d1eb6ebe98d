"""The timeline: what happened to the database, by which session and request, on one screen and without secrets."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import Depends, FastAPI
from sqlalchemy import Engine, create_engine, func, select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from starlette.testclient import TestClient

from dbparity.observer import own_engine
from dbparity.sessions.clients import Clients
from dbparity.sessions.recording import KEPT
from dbparity.sessions.statements import one_line, parameters
from dbparity.sessions.timeline import Timeline
from dbparity.sessions.timeline_text import LINES, WIDTH
from dbparity.watch import RunningTest, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "rosebud"


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "accounts"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str] = mapped_column(default=SECRET)


@pytest.fixture
def timeline() -> Timeline:
    return Timeline()


@pytest.fixture
def watch(timeline: Timeline) -> Iterator[Watch]:
    watch = Watch([timeline, Clients()], {})
    watch.start()
    yield watch
    watch.stop()


@pytest.fixture
def running(watch: Watch) -> RunningTest:
    test = RunningTest("test_x.py::test_it")
    watch.begin_test(test)
    return test


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/app.db")
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def kinds(timeline: Timeline, test: RunningTest) -> list[str]:
    return [entry["kind"] for entry in timeline.as_dicts(test)]


def section(timeline: Timeline, test: RunningTest) -> str:
    ((title, shown),) = timeline.report_sections(test)
    assert title == "dbparity: timeline"
    lines = shown.splitlines()
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= WIDTH
    return shown


def test_a_session_is_followed_from_its_making_to_its_end(
    engine: Engine, timeline: Timeline, running: RunningTest
) -> None:
    with Session(engine) as session:
        held = Account(id=1, email="a@example.org")
        session.add(held)
        session.commit()
        session.expire_all()
        session.rollback()
    entries = timeline.as_dicts(running)
    assert [entry["kind"] for entry in entries] == [
        *("opened", "checkout", "began", "statement", "flushed", "committed", "checkin"),
        *("expired", "closed"),
    ]
    opened, _, began, insert, flushed, committed, *_ = entries
    assert "test_timeline.py:" in opened["text"]
    assert {entry["session"] for entry in (opened, began, insert, flushed, committed)} == {1}
    assert insert["rows"] == 1
    assert insert["ms"] > 0
    assert insert["database"].endswith("app.db")
    assert (began["identity_map"], committed["identity_map"]) == (0, 1)
    assert flushed["text"] == "session 1 flushes 1 new (holds 0 objects)"
    assert all(before["at_ms"] <= after["at_ms"] for before, after in pairwise(entries))
    json.dumps(entries)


def test_requests_and_phases_are_told_apart(
    engine: Engine, timeline: Timeline, watch: Watch, running: RunningTest
) -> None:
    app = FastAPI()

    def opened() -> Iterator[Session]:
        with Session(engine) as session:
            yield session

    @app.get("/accounts")
    def count(session: Session = Depends(opened)) -> int:  # noqa: FAST002
        return len(session.scalars(select(Account)).all())

    client = TestClient(app)
    watch.test_calling()
    assert [client.get("/accounts").json() for _ in range(2)] == [0, 0]
    watch.test_called()
    with Session(engine) as session:
        session.execute(text("SELECT 1"))
    statements = [entry for entry in timeline.as_dicts(running) if entry["kind"] == "statement"]
    assert [(entry["request"], entry["phase"], entry["session"]) for entry in statements] == [
        *((1, "call", 1), (2, "call", 2), (None, "teardown", 3)),
    ]
    shown = section(timeline, running)
    assert "request 1  the application is asked: GET /accounts" in shown
    assert "request 2  session 2: SELECT … FROM accounts" in shown
    assert "teardown   session 3: SELECT 1" in shown


def test_set_up_call_and_teardown_are_told_apart(
    engine: Engine, timeline: Timeline, watch: Watch, running: RunningTest
) -> None:
    Session(engine).close()
    watch.test_calling()
    Session(engine).close()
    watch.test_called()
    Session(engine).close()
    phases = ["setup", "setup", "call", "call", "teardown", "teardown"]
    assert [entry["phase"] for entry in timeline.as_dicts(running)] == phases


def test_a_failed_statement_stands_out(engine: Engine, timeline: Timeline, running: RunningTest) -> None:
    with Session(engine) as session:
        session.add(Account(id=1, email="a@example.org"))
        session.commit()
        session.add(Account(id=2, email="a@example.org"))
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
    shown = section(timeline, running)
    assert "!!! session 1: IntegrityError: UNIQUE constraint failed: accounts.email at INSERT INTO" in shown
    assert "session 1 rolls back" in shown
    assert SECRET not in shown


def test_engines_without_sessions_are_heard_and_dbparitys_own_are_not(
    engine: Engine, timeline: Timeline, running: RunningTest, tmp_path: Path
) -> None:
    other = create_engine(f"sqlite:///{tmp_path}/other.db")
    own: Any = own_engine(f"sqlite:///{tmp_path}/app.db")
    with own.begin() as connection, Session(own) as session:
        connection.execute(text("SELECT 'own'"))
        session.execute(text("SELECT 'own'"))
    with pytest.raises(OperationalError), own.connect() as connection:
        connection.execute(text("SELECT nothing FROM nowhere"))
    assert timeline.as_dicts(running) == []
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
    with other.begin() as connection:
        connection.execute(text("SELECT 2"))
    assert kinds(timeline, running) == ["checkout", "statement", "commit", "checkin"] * 2
    assert "on " in section(timeline, running)  # two databases: each statement says on which
    assert "other.db" in section(timeline, running)
    own.dispose()
    other.dispose()


def test_async_sessions_are_followed_with_their_requests(
    engine: Engine, timeline: Timeline, watch: Watch, running: RunningTest, tmp_path: Path
) -> None:
    async def one(engine: Any, number: int) -> None:
        with watch.request(f"GET /{number}"):
            async with AsyncSession(engine) as session:
                await session.scalars(select(Account).where(Account.id == number))
                await session.commit()

    async def both() -> None:
        asynchronous = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/app.db")
        await asyncio.gather(one(asynchronous, 1), one(asynchronous, 2))
        await asynchronous.dispose()

    asyncio.run(both())
    statements = [entry for entry in timeline.as_dicts(running) if entry["kind"] == "statement"]
    assert {(entry["request_label"], entry["parameters"]) for entry in statements} == {
        ("GET /1", "[id=1]"),
        ("GET /2", "[id=2]"),
    }


def test_a_long_timeline_is_bounded_and_its_middle_left_out(
    engine: Engine, timeline: Timeline, running: RunningTest
) -> None:
    with Session(engine) as session:
        session.add(Account(id=1, email="a@example.org"))
        session.commit()
        for _ in range(KEPT):
            session.execute(text("SELECT 1"))
        session.execute(text("SELECT 'the last'"))
    assert len(timeline.as_dicts(running)) == KEPT
    shown = section(timeline, running)
    assert "entries left out" in shown.splitlines()[0]
    assert "SELECT 'the last'" in shown
    assert "session 1 is closed" in shown


def test_the_telling_entries_survive_the_many(
    engine: Engine, timeline: Timeline, running: RunningTest
) -> None:
    with Session(engine) as session:
        with pytest.raises(OperationalError):
            session.execute(text("SELECT x FROM nowhere"))
        session.rollback()
        for _ in range(100):
            session.execute(text("SELECT 1"))
    shown = section(timeline, running)
    assert "!!! session 1: OperationalError: no such table: nowhere" in shown
    assert "session 1 rolls back" in shown
    assert " entries left out" in shown


def test_nothing_is_recorded_between_tests_and_nothing_is_left_behind(engine: Engine) -> None:
    before = (Session.close, Session.expire_all)
    timeline = Timeline()
    watch = Watch([timeline], {})
    watch.start()
    Session(engine).close()  # before the first test
    first, second = RunningTest("one"), RunningTest("two")
    watch.begin_test(first)
    Session(engine).close()
    watch.begin_test(second)
    Session(engine).close()
    watch.stop()
    Session(engine).close()
    assert kinds(timeline, first) == kinds(timeline, second) == ["opened", "closed"]
    after = (Session.close, Session.expire_all)
    assert after == before
    assert watch.sessions.added == []


def test_secrets_are_masked_wherever_they_stand(
    engine: Engine, timeline: Timeline, running: RunningTest
) -> None:
    with Session(engine) as session:
        session.add(Account(id=1, email="a@example.org", password_hash=SECRET))
        session.add(Account(id=2, email="b@example.org", password_hash=SECRET))
        session.commit()
        session.scalars(select(Account).where(Account.password_hash == SECRET)).all()
        session.scalars(select(Account).where(func.lower(Account.password_hash) == SECRET)).all()
        session.scalars(select(Account).where(Account.password_hash.in_([SECRET]), Account.id == 1)).all()
        session.execute(text(f"UPDATE accounts SET password_hash = '{SECRET}'"))
        session.connection().exec_driver_sql("UPDATE accounts SET password_hash = ?", (SECRET,))
        session.execute(text("SELECT 1 FROM accounts WHERE email = :mail"), {"mail": "a@example.org"})
    whole = json.dumps(timeline.as_dicts(running)) + section(timeline, running)
    assert SECRET not in whole
    assert "***" in whole
    assert "email='a@example.org'" in whole
    assert "mail='a@example.org'" in whole


@pytest.mark.parametrize(
    ("statement", "given", "told"),
    [
        ("SELECT token FROM t WHERE id = ?", {"id_1": 7}, "[id=7]"),
        ("SELECT 1 FROM t WHERE lower(token) = ?", {"lower_1": "x"}, "[lower=***]"),
        ("SELECT 1 FROM t WHERE token = ? AND id = ?", {"token_1": "x", "id_1": 7}, "[token=***, id=7]"),
        ("SELECT x FROM tokens WHERE tokens.id = ?", {"pk_1": 7}, "[pk=7]"),
        ("INSERT INTO tokens (id) VALUES (?)", {"id": 1}, "[id=1]"),
        ("SELECT check_token(?)", ("x",), "[***]"),
        ("INSERT INTO t (id, secret) VALUES (?, ?)", {"id": 1, "secret": "x"}, "[id=1, secret=***]"),
        ("INSERT INTO t (id, secret) VALUES (?, ?)", (1, "x"), "[***, ***]"),
        ("INSERT INTO t (id) VALUES (?)", (1,), "[1]"),
        ("UPDATE t SET body = ?", {"body": "x" * 99}, f"[body='{'x' * 38}…]"),
        ("UPDATE t SET body = ?", {"body": b"123"}, "[body=<3 bytes>]"),
        ("SELECT 1", (), ""),
    ],
)
def test_parameters_are_short_and_without_secrets(statement: str, given: Any, told: str) -> None:
    assert parameters(statement, given) == told


def test_a_statement_takes_one_line() -> None:
    long = f"SELECT {', '.join(f't.column_{number}' for number in range(20))} \n  FROM t \n WHERE a = 1"
    assert one_line(long) == "SELECT … FROM t WHERE a = 1"
    assert one_line("UPDATE t SET token = 'it''s secret'") == "UPDATE t SET token = '***'"
    assert one_line(
        "SELECT 1 FROM t WHERE a = %(a_1)s::VARCHAR AND b = $2::TIMESTAMP WITH TIME ZONE AND c"
    ) == ("SELECT 1 FROM t WHERE a = ? AND b = ? AND c")
    assert one_line("UPDATE t SET name = 'known'") == "UPDATE t SET name = 'known'"
