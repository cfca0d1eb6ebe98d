"""Committed-state assertions under savepoint isolation: the application commits as ever, and nothing stays."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import MetaData, create_engine, make_url
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from dbparity.committed import Committed
from dbparity.config import Config
from dbparity.isolation.routing import Router
from dbparity.isolation.savepoint import SavepointIsolation
from dbparity.observer import Observer
from dbparity.provision.database import TestDatabase
from dbparity.watch import RunningTest, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from dbparity.testing.postgres import PrivateCluster


class Base(DeclarativeBase):
    metadata = MetaData()


class Person(Base):
    __tablename__ = "people"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


def create(connection: Connection) -> None:
    Base.metadata.create_all(connection)
    connection.commit()


class Isolated:
    """A test under savepoint isolation, begun."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = make_url(url)
        self.observer = Observer(self.url)
        self.observer.call(create)
        config = Config(database_url=url)
        database = TestDatabase(self.url, self.url, Base.metadata, config, self.observer, "run", "main")
        self.watch = Watch([], {})
        self.router = Router(self.watch)
        self.isolation = SavepointIsolation(database, self.router, self.watch)
        self.router.install()
        self.watch.start()
        self.test = RunningTest("test_a", database, self.isolation)
        self.watch.begin_test(self.test)
        self.isolation.begin(self.test)
        self.committed = Committed(database, self.isolation, self.watch)

    def end(self) -> None:
        self.committed.close()
        self.watch.end_test()
        self.isolation.end(self.test)
        self.watch.forget_test()
        self.isolation.close()
        self.watch.stop()
        self.router.uninstall()
        self.observer.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One database for all of these tests: nothing stays in it."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('savepoint')}/app.db"
        return
    cluster: PrivateCluster = request.getfixturevalue("cluster")
    with cluster.database() as url:
        yield make_url(url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


@pytest.fixture
def isolated(url: str, tmp_path: Path) -> Iterator[Isolated]:
    isolated = Isolated(url, tmp_path)
    yield isolated
    isolated.end()


def test_what_the_application_commits_is_seen_and_said_to_be_the_tests_own(isolated: Isolated) -> None:
    engine = create_engine(isolated.url)
    with isolated.committed.expect(people=+1), Session(engine) as session:
        session.add(Person(id=1, name="Ann"))
        session.commit()
    assert isolated.committed.one(Person, name="Ann").id == 1
    with pytest.raises(
        AssertionError, match="this test's own transaction: savepoint isolation commits nothing"
    ):
        isolated.committed.assert_state(Person=2)
    engine.dispose()
    assert (
        isolated.observer.call(lambda connection: connection.exec_driver_sql("SELECT * FROM people").all())
        == []
    )


def test_a_forgotten_commit_is_caught_while_the_session_is_open(isolated: Isolated) -> None:
    engine = create_engine(isolated.url)
    with Session(engine) as session:
        session.add(Person(id=1, name="Ann"))
        session.flush()
        with pytest.raises(AssertionError) as caught:
            isolated.committed.assert_state(Person=1)
        assert str(caught.value).startswith(
            "people has changes in the open transaction of session 1, made at "
        )
        assert "Nobody has committed them" in str(caught.value)
        for ask in (isolated.committed.rows, isolated.committed.count, isolated.committed.one):
            with pytest.raises(AssertionError, match="people has changes in the open transaction"):
                ask(Person)
        session.commit()
        isolated.committed.assert_state(Person=1)
    engine.dispose()


def test_a_forgotten_commit_is_caught_after_its_session(isolated: Isolated) -> None:
    engine = create_engine(isolated.url)

    def forget() -> None:
        with Session(engine) as session:
            session.add(Person(id=1, name="Ann"))
            session.flush()

    with pytest.raises(AssertionError, match="rolled back again"), isolated.committed.expect(people=+1):
        forget()
    engine.dispose()


def test_a_block_whose_session_is_still_open_is_told_so(isolated: Isolated) -> None:
    engine = create_engine(isolated.url)
    session = Session(engine)

    def register() -> None:
        session.add(Person(id=1, name="Ann"))
        session.flush()

    open_ = "people has changes in the open transaction"
    with pytest.raises(AssertionError, match=open_), isolated.committed.expect(people=+1):
        register()
    session.close()
    engine.dispose()


def test_an_async_application(cluster: PrivateCluster, tmp_path: Path) -> None:
    async def work(isolated: Isolated) -> None:
        engine = create_async_engine(isolated.url)
        async with AsyncSession(engine) as session:
            with isolated.committed.expect(people=+1):
                session.add(Person(id=1, name="Ann"))
                await session.commit()
            session.add(Person(id=2, name="Bob"))
            await session.flush()
            with pytest.raises(AssertionError, match="people has changes in the open transaction"):
                isolated.committed.assert_state(Person=2)
            await session.rollback()
            isolated.committed.assert_state(Person=1)
        await engine.dispose()

    with cluster.database() as url:
        isolated = Isolated(url, tmp_path)
        try:
            asyncio.run(work(isolated))
        finally:
            isolated.end()
