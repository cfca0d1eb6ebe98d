"""What drivers, threads, event loops and servers add to savepoint isolation."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from isolated import NOTES, USERS, asked
from placed import Place, user
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from dbparity.isolation.savepoint import SecondDriverError
from dbparity.isolation.witness import LIMIT
from dbparity.observer import close_background_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dbparity.testing.postgres import PrivateCluster

DEFERRED = sa.MetaData()
PARENTS = sa.Table("parents", DEFERRED, sa.Column("id", sa.Integer, primary_key=True))
CHILDREN = sa.Table(
    "children",
    DEFERRED,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("parent_id", sa.ForeignKey("parents.id", deferrable=True, initially="DEFERRED")),
)


@pytest.fixture
def place(filled_by: Callable[[str], sa.URL], tmp_path: Path) -> Iterator[Callable[[str], Place]]:
    made: list[Place] = []

    def place(driver: str) -> Place:
        made.append(Place(filled_by(driver), tmp_path))
        return made[-1]

    yield place
    for each in reversed(made):
        each.close()
    close_background_loop()


@pytest.mark.parametrize("driver", ["sqlite", "psycopg"])
def test_threads_take_turns_and_lose_nothing(place: Callable[[str], Place], driver: str) -> None:
    here = place(driver)
    barrier = threading.Barrier(4)

    def work(name: int) -> None:
        barrier.wait(10)
        for turn in range(10):
            with Session(here.engine) as session:
                session.execute(user(f"{name}-{turn}@x"))
                with pytest.raises(IntegrityError), session.begin_nested():
                    session.execute(user(f"{name}-{turn}@x"))
                session.commit()

    with here.test(), ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
        assert here.count() == 40
    assert asked(here.url, "SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize("driver", ["sqlite+aiosqlite", "psycopg_async", "asyncpg"])
def test_tasks_take_turns_and_lose_nothing(place: Callable[[str], Place], driver: str) -> None:
    here = place(driver)

    async def work(name: int) -> None:
        for turn in range(5):
            async with AsyncSession(here.engine) as session:
                await session.execute(user(f"{name}-{turn}@x"))
                await session.commit()

    async def gathered() -> int:
        await asyncio.gather(*(work(name) for name in range(5)))
        async with AsyncSession(here.engine) as session:
            return await session.scalar(sa.select(sa.func.count()).select_from(USERS)) or 0

    with here.test():
        assert here.suite.application.runner.run(gathered()) == 25
    assert asked(here.url, "SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize("driver", ["sqlite+aiosqlite", "psycopg_async", "asyncpg"])
def test_one_engine_serves_several_event_loops_in_one_test(
    place: Callable[[str], Place], driver: str
) -> None:
    here = place(driver)

    async def request(email: str) -> list[str]:
        async with AsyncSession(here.engine) as session:
            await session.execute(user(email))
            await session.commit()
            return list((await session.scalars(sa.select(USERS.c.email))).all())

    async def stream() -> list[str]:
        async with here.engine.connect() as connection:
            rows = await connection.stream(sa.select(USERS.c.email))
            return [row[0] async for row in rows]

    with here.test():
        assert asyncio.run(request("a@x")) == ["a@x"]
        assert asyncio.run(request("b@x")) == ["a@x", "b@x"]
        assert asyncio.run(stream()) == ["a@x", "b@x"]
    with here.test():
        assert asyncio.run(request("c@x")) == ["c@x"]
    assert here.suite.watch.findings == []


@pytest.mark.parametrize("driver", ["psycopg_async", "asyncpg"])
def test_a_cancelled_statement_spoils_nothing(place: Callable[[str], Place], driver: str) -> None:
    here = place(driver)

    async def work() -> list[str]:
        async with AsyncSession(here.engine) as other:
            await other.execute(user("kept@x"))
            await other.commit()
            async with AsyncSession(here.engine) as session:
                await session.execute(user("lost@x"))
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(session.execute(sa.text("SELECT pg_sleep(30)")), 0.2)
            return list((await other.scalars(sa.select(USERS.c.email))).all())

    with here.test():
        assert here.suite.application.runner.run(work()) == ["kept@x"]


@pytest.mark.parametrize("driver", ["sqlite", "psycopg", "psycopg_async", "asyncpg"])
def test_deferred_constraints_are_checked_at_commit(
    place: Callable[[str], Place], driver: str, request: pytest.FixtureRequest
) -> None:
    here = place(driver)
    observer = here.suite.database.observer

    def build(connection: sa.Connection) -> None:
        DEFERRED.create_all(connection)
        connection.commit()

    def drop(connection: sa.Connection) -> None:
        DEFERRED.drop_all(connection)
        connection.commit()

    observer.call(build)
    request.addfinalizer(lambda: observer.call(drop))
    engine = getattr(here.engine, "sync_engine", here.engine)
    if driver == "sqlite":
        sa.event.listen(engine, "connect", lambda it, _: it.execute("PRAGMA foreign_keys = ON"))

    def work(connection: sa.Connection) -> int:
        connection.execute(CHILDREN.insert().values(id=1, parent_id=1))
        connection.execute(PARENTS.insert().values(id=1))
        connection.commit()
        connection.execute(CHILDREN.insert().values(id=2, parent_id=2))
        with pytest.raises(IntegrityError):
            connection.commit()
        connection.rollback()
        connection.execute(CHILDREN.insert().values(id=3, parent_id=3))
        connection.execute(PARENTS.insert().values(id=3))
        connection.commit()
        return connection.scalar(sa.select(sa.func.count()).select_from(CHILDREN)) or 0

    with here.test():
        assert _run(here, work) == 2


def _run(here: Place, work: Callable[[sa.Connection], Any]) -> Any:
    if not here.suite.application.is_async:
        with here.engine.connect() as connection:
            return work(connection)

    async def run() -> Any:
        async with here.engine.connect() as connection:
            return await connection.run_sync(work)

    return here.suite.application.runner.run(run())


def test_a_second_driver_is_refused_before_anything_hangs(place: Callable[[str], Place]) -> None:
    here = place("psycopg")
    second = create_async_engine(here.url.set(drivername="postgresql+asyncpg"))

    async def connect() -> None:
        async with second.connect():
            pass

    with here.test():
        here.count()
        with pytest.raises(SecondDriverError) as refused:
            asyncio.run(connect())
    message = str(refused.value)
    assert "asyncpg" in message
    assert "psycopg" in message
    assert "test_savepoint_drivers.py:" in message
    assert "placed.py:" in message
    assert 'isolation="clone"' in message


@pytest.mark.parametrize(("driver", "other"), [("sqlite", "sqlite+aiosqlite"), ("psycopg", "psycopg_async")])
def test_the_two_dialects_of_one_library_share_the_transaction(
    place: Callable[[str], Place], driver: str, other: str
) -> None:
    here = place(driver)
    name = other if other.startswith("sqlite") else f"postgresql+{other}"
    second = create_async_engine(here.url.set(drivername=name))

    async def add() -> None:
        async with AsyncSession(second) as session:
            await session.execute(user("a@x"))
            await session.commit()
        await second.dispose()

    with here.test():
        assert here.count() == 0
        asyncio.run(add())
        assert here.count() == 1


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_lock_held_by_somebody_else_is_an_error_that_names_them(
    cluster: PrivateCluster, filled: sa.URL, place: Callable[[str], Place], driver: str
) -> None:
    here = place(driver)
    holder = sa.create_engine(
        filled.set(drivername="postgresql+psycopg"), connect_args={"application_name": "the culprit"}
    )

    def work(connection: sa.Connection) -> str:
        connection.execute(sa.text("SET LOCAL lock_timeout = '200ms'"))
        with pytest.raises(DBAPIError) as refused:
            connection.execute(user("a@x"))
        connection.rollback()
        connection.execute(NOTES.select()).all()
        return str(refused.value)

    with holder.connect() as held:
        held.execute(sa.text("LOCK TABLE users IN ACCESS EXCLUSIVE MODE"))
        with here.test():
            message = _run(here, work)
    holder.dispose()
    assert "the culprit, idle in transaction" in message
    assert "LOCK TABLE users" in message


def test_a_text_that_ends_the_real_transaction_is_reported(
    cluster: PrivateCluster, place: Callable[[str], Place]
) -> None:
    here = place("psycopg")
    with here.test(), here.engine.connect() as connection:
        connection.exec_driver_sql("INSERT INTO users (email) VALUES ('a@x'); ROLLBACK")
        connection.rollback()
        assert here.count() == 0
    (finding,) = here.suite.found(LIMIT)
    assert "ended the test's real transaction" in finding.message
    assert "test_savepoint_drivers.py:" in finding.message


@pytest.mark.parametrize("driver", ["psycopg", "psycopg_async", "asyncpg"])
def test_a_stricter_isolation_level_is_noted(place: Callable[[str], Place], driver: str) -> None:
    here = place(driver)
    application = here.suite.application
    application.engine = here.engine.execution_options(isolation_level="REPEATABLE READ")
    with here.test() as test:
        application.do("INSERT INTO users (email) VALUES ('a@x')")
        assert any("repeatable" in note.lower() for note in test.notes["savepoint"])


def test_a_connection_that_the_server_cut_is_replaced_for_the_next_test(
    cluster: PrivateCluster, place: Callable[[str], Place]
) -> None:
    here = place("psycopg")
    with here.test(), here.engine.connect() as connection:
        pid = connection.scalar(sa.text("SELECT pg_backend_pid()"))
        cluster.sql(f"SELECT pg_terminate_backend({pid})")
        with pytest.raises(OperationalError):
            connection.execute(NOTES.select())
    with here.test():
        assert here.count() == 0


def test_two_phase_transactions_are_refused_with_a_way_out(place: Callable[[str], Place]) -> None:
    here = place("psycopg")
    with here.test(), here.engine.connect() as connection:
        with pytest.raises(NotImplementedError, match="delete"):
            connection.begin_twophase().prepare()  # SQLAlchemy 2.0's older ones say nothing before
        with pytest.raises(NotImplementedError, match="delete"):
            connection.exec_driver_sql("PREPARE TRANSACTION 'x'")


def test_the_drivers_own_connection_takes_part_below_the_adapters(place: Callable[[str], Place]) -> None:
    here = place("asyncpg")

    async def copy() -> int:
        async with here.engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            await raw.copy_records_to_table("users", records=[("a@x",), ("b@x",)], columns=["email"])
            async with raw.transaction():
                await raw.execute("INSERT INTO users (email) VALUES ('c@x')")
            count = await connection.scalar(sa.select(sa.func.count()).select_from(USERS))
            await connection.rollback()
            assert await connection.scalar(sa.select(sa.func.count()).select_from(USERS)) == 0
        return count or 0

    with here.test():
        assert here.suite.application.runner.run(copy()) == 3
    assert asked(here.url, "SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_statement_that_still_runs_does_not_hold_up_the_end_of_its_test(
    cluster: PrivateCluster, place: Callable[[str], Place], driver: str
) -> None:
    here = place(driver)
    running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' AND state = 'active'"

    def sleep(connection: sa.Connection) -> None:
        with pytest.raises(DBAPIError):
            connection.execute(sa.text("SELECT pg_sleep(60)"))

    def work() -> None:
        _run(here, sleep)

    with ThreadPoolExecutor(1) as thread:
        with here.test():
            leaked = thread.submit(work)
            deadline = time.monotonic() + 10
            while cluster.sql(running) != ["1"]:
                assert time.monotonic() < deadline, leaked
            begun = time.monotonic()
        assert time.monotonic() - begun < 10
        leaked.result(10)
    assert cluster.sql(running) == ["0"]
    with here.test():
        here.suite.application.do("INSERT INTO users (email) VALUES ('a@x')")
    assert asked(here.url, "SELECT count(*) FROM users") == [(0,)]
