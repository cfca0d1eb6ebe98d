"""Connections and transactions that outlive their test: named with the line that took them, then closed."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from leaking import INSERT, only, running
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session, sessionmaker

from dbparity.config import Strictness
from dbparity.sessions.leaks import Leaks
from dbparity.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("collector_held")


@pytest.fixture
def watch() -> Iterator[Watch]:
    watch = Watch([Leaks()], {})
    watch.start()
    yield watch
    watch.stop()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/leaks.db", pool_size=1, max_overflow=0, pool_timeout=1)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE item (name text)"))
    yield engine
    engine.dispose()


def use(engine: Engine) -> None:
    """What the next test does: it would wait in vain for a pool that is exhausted or a file that is locked."""
    with engine.begin() as connection:
        connection.execute(INSERT)


# ---- sessions


def test_a_session_that_its_fixture_does_not_close_is_named_with_its_line(
    watch: Watch, engine: Engine
) -> None:
    held = []
    with running(watch), watch.fixture("session", "function"):
        held.append(Session(engine))
        held[0].execute(INSERT)
    finding = only(watch)
    assert finding.strictness is Strictness.FAIL
    assert finding.message.startswith(
        "test_a.py::test_it leaves a transaction open, on a connection taken at "
    )
    assert "test_leaks.py:" in finding.message
    assert finding.message.endswith("while the fixture session was set up")
    assert "session 1, made at" in finding.evidence[1]
    assert "close it where it is made" in finding.remedy
    use(engine)


def test_a_session_that_its_fixture_closes_is_sound(watch: Watch, engine: Engine) -> None:
    with running(watch), watch.fixture("session", "function"), Session(engine) as session:
        session.execute(INSERT)
        session.rollback()
    assert watch.findings == []


def test_a_session_that_is_merely_garbage_is_none(watch: Watch, engine: Engine) -> None:
    with running(watch):
        cycle = SimpleNamespace(session=Session(engine))
        cycle.itself = cycle
        cycle.session.execute(INSERT)
        del cycle
    assert watch.findings == []
    use(engine)


def test_a_session_without_a_transaction_is_none(watch: Watch, engine: Engine) -> None:
    session = Session(engine)
    with running(watch):
        session.execute(INSERT)
        session.commit()
    assert watch.findings == []


def test_a_session_older_than_the_test_is_said_to_be(watch: Watch, engine: Engine) -> None:
    with running(watch, "test_a.py::test_first"), watch.fixture("db", "session"):
        session = Session(engine)
    with running(watch, "test_a.py::test_second"):
        session.execute(INSERT)
    finding = only(watch)
    assert finding.test == "test_a.py::test_second"
    assert finding.evidence[1].endswith("older than this test (made in test_a.py::test_first)")
    assert "the session outlives the test" in finding.remedy
    use(engine)
    assert session.scalar(text("SELECT count(*) FROM item")) == 1  # it can go on
    session.close()


def test_what_a_wider_fixture_takes_as_it_is_set_up_is_its_own(watch: Watch, engine: Engine) -> None:
    with running(watch, "test_a.py::test_first"), watch.fixture("connection", "module"):
        connection = engine.connect()
    with running(watch, "test_a.py::test_second"):
        connection.execute(INSERT)
        connection.rollback()
    assert watch.findings == []
    connection.close()


def test_what_a_wider_fixture_has_not_given_back_when_it_is_torn_down(watch: Watch, engine: Engine) -> None:
    with running(watch, "test_a.py::test_first"), watch.fixture("connection", "module"):
        connection = engine.connect()
    watch.fixture_finalized("connection", "module")
    with running(watch, "test_b.py::test_second"):
        pass
    finding = only(watch)
    assert finding.strictness is Strictness.WARN
    assert finding.test == "test_a.py::test_first"
    assert finding.message.startswith(
        "the module-scoped fixture connection was torn down and leaves a connection"
    )
    use(engine)
    del connection


def test_what_a_wider_fixture_gives_back_is_sound(watch: Watch, engine: Engine) -> None:
    with running(watch, "test_a.py::test_first"), watch.fixture("connection", "module"):
        connection = engine.connect()
    connection.close()
    watch.fixture_finalized("connection", "module")
    with running(watch, "test_b.py::test_second"):
        use(engine)
    assert watch.findings == []


def test_a_transaction_left_open_on_a_connection_of_a_wider_fixture(watch: Watch, engine: Engine) -> None:
    with running(watch, "test_a.py::test_first"), watch.fixture("connection", "module"):
        connection = engine.connect()
    with running(watch, "test_a.py::test_second"):
        connection.begin()
        connection.execute(INSERT)
    finding = only(watch)
    assert finding.test == "test_a.py::test_second"
    assert finding.strictness is Strictness.FAIL
    assert "leaves a transaction open that it began at" in finding.message
    assert "by test_a.py::test_first" in finding.evidence[0]
    assert not connection.in_transaction()
    connection.close()


def test_a_transaction_of_a_wider_fixture_is_its_own(watch: Watch, engine: Engine) -> None:
    with running(watch, "test_a.py::test_first"):
        with watch.fixture("connection", "module"):
            connection = engine.connect()
        with watch.fixture("transaction", "module"):
            connection.begin()
        connection.execute(INSERT)
    with running(watch, "test_a.py::test_second"):
        connection.execute(INSERT)
    assert watch.findings == []
    connection.close()


def test_a_failed_test_is_not_failed_once_more(watch: Watch, engine: Engine) -> None:
    session = Session(engine)
    with running(watch) as test:
        session.execute(INSERT)
        test.failed = True
    assert only(watch).strictness is Strictness.WARN
    use(engine)


# ---- connections


def test_a_connection_that_a_request_keeps_is_named_with_the_request(watch: Watch, engine: Engine) -> None:
    kept = []
    with running(watch), watch.request("GET /x"):
        kept.append(engine.connect())
    finding = only(watch)
    assert finding.message.startswith("test_a.py::test_it leaves a connection out of its pool, taken at ")
    assert finding.message.endswith("in request 1 (GET /x)")
    use(engine)


def test_a_connection_given_back_is_sound(watch: Watch, engine: Engine) -> None:
    with running(watch), watch.request("GET /x"):
        use(engine)
    assert watch.findings == []


def test_a_dependency_that_is_not_finalised_is_a_leak(watch: Watch, engine: Engine) -> None:
    make = sessionmaker(engine)

    def dependency() -> Generator[Session]:
        with make() as session:
            yield session

    with running(watch), watch.request("GET /x"):
        unfinished = dependency()
        next(unfinished).execute(INSERT)
    assert "request 1 (GET /x)" in only(watch).message
    use(engine)
    unfinished.close()


def test_a_dependency_that_is_finalised_is_sound(watch: Watch, engine: Engine) -> None:
    with running(watch), watch.request("GET /x"), Session(engine) as session:
        session.execute(INSERT)
    assert watch.findings == []


def test_a_thread_that_holds_a_transaction_is_not_waited_for(watch: Watch, engine: Engine) -> None:
    begun, ended = threading.Event(), threading.Event()
    errors: list[Exception] = []

    def work() -> None:
        with engine.connect() as connection:
            connection.execute(INSERT)
            begun.set()
            ended.wait(10)
            try:
                connection.commit()
            except Exception as error:  # noqa: BLE001 - whatever it is told
                errors.append(error)

    thread = threading.Thread(target=work)
    with running(watch):
        thread.start()
        assert begun.wait(10)
    assert "a transaction open" in only(watch).message
    use(engine)
    ended.set()
    thread.join(10)
    assert errors


def test_a_warm_pool_is_sound(watch: Watch, engine: Engine) -> None:
    for number in range(3):
        with running(watch, f"test_a.py::test_{number}"):
            use(engine)
    assert watch.findings == []


def test_a_database_in_memory_is_not_closed(watch: Watch) -> None:
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE item (name text)"))
    session = Session(engine)
    with running(watch):
        session.execute(INSERT)
    assert only(watch).test == "test_a.py::test_it"
    session.close()
    use(engine)
    engine.dispose()
