"""Rows that another connection took away under a running test: the section of a failing test says so in words."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI, HTTPException
from sqlalchemy import Engine, ForeignKey, create_engine, delete, make_url, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.orm.exc import ObjectDeletedError, StaleDataError
from starlette.testclient import TestClient

from dbparity.config import Config
from dbparity.observer import Observer
from dbparity.provision.database import TestDatabase
from dbparity.sessions.clients import Clients
from dbparity.sessions.timeline import Timeline
from dbparity.watch import RunningTest, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dbparity.testing.postgres import PrivateCluster

GONE = "is gone: deleted by another connection, for no statement of this process deleted it"


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Token(Base):
    __tablename__ = "tokens"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))


class Document(Base):
    __tablename__ = "documents"
    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column()
    body: Mapped[str]
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012


class Place:
    def __init__(self, url: str, folder: Path) -> None:
        self.url = make_url(url)
        self.engine: Engine = create_engine(self.url)
        Base.metadata.create_all(self.engine)
        observer = Observer(self.url)
        self.test = RunningTest(
            "test_x.py::test_it",
            TestDatabase(self.url, self.url, Base.metadata, Config(), observer, "run-1", "main"),
        )
        self.timeline = Timeline()
        self.watch = Watch([self.timeline, Clients()], {})
        self.watch.start()
        self.watch.begin_test(self.test)
        with Session(self.engine) as session:
            session.add_all([User(id=1, name="Ann"), Token(id=1, user_id=1), Document(id=1, body="old")])
            session.commit()

    def outside(self, statement: str) -> None:
        """What another process does."""
        if self.url.get_backend_name() == "sqlite":
            with sqlite3.connect(str(self.url.database)) as connection:
                connection.execute(statement)
            connection.close()
        else:
            subprocess.run([sys.executable, "-c", OTHER, self.conninfo(), statement], check=True, timeout=60)

    def conninfo(self) -> str:
        return self.url.set(drivername="postgresql").render_as_string(hide_password=False)

    def gone(self) -> list[str]:
        self.watch.test_called()
        return [entry["text"] for entry in self.timeline.as_dicts(self.test) if entry["kind"] == "gone"]

    def section(self) -> str:
        ((_, shown),) = self.timeline.report_sections(self.test)
        assert len(shown.splitlines()) <= 30
        return shown

    def close(self) -> None:
        self.watch.stop()
        assert self.test.database is not None
        self.test.database.observer.close()
        self.engine.dispose()


OTHER = """
import sys, psycopg
with psycopg.connect(sys.argv[1], application_name="the other run") as connection:
    connection.execute(sys.argv[2])
"""

STAYS = """
import sys, psycopg
with psycopg.connect(sys.argv[1], application_name="the other run", autocommit=True) as connection:
    for line in sys.stdin:
        connection.execute(line)
        print("done", flush=True)
"""


@pytest.fixture(params=["sqlite", "psycopg"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        place = Place(f"sqlite:///{tmp_path}/app.db", tmp_path)
    else:
        place = request.getfixturevalue("postgres_place")
    yield place
    if request.param == "sqlite":
        place.close()


@pytest.fixture
def postgres_place(cluster: PrivateCluster, tmp_path: Path) -> Iterator[Place]:
    with cluster.database() as url:
        place = Place(url.replace("asyncpg", "psycopg"), tmp_path)
        yield place
        place.close()


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Place]:
    place = Place(f"sqlite:///{tmp_path}/app.db", tmp_path)
    yield place
    place.close()


@pytest.fixture
def other(postgres_place: Place) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", STAYS, postgres_place.conninfo()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_user_not_found_because_another_run_deleted_the_user_between_two_selects(
    postgres_place: Place, other: subprocess.Popen[str]
) -> None:
    """The founding incident: two test runs on one database, and a 404 that blames the application."""
    place = postgres_place
    app = FastAPI()

    def clean() -> None:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write("DELETE FROM users\n")
        other.stdin.flush()
        assert other.stdout.readline() == "done\n"

    @app.post("/refresh")
    def refresh() -> None:
        with Session(place.engine) as session:
            token = session.get_one(Token, 1)
            clean()
            user = session.scalars(select(User).where(User.id == token.user_id)).one_or_none()
            if user is None:
                raise HTTPException(404, "User not found")

    assert TestClient(app).post("/refresh").status_code == 404
    shown = place.section()
    folded = " ".join(shown.split())
    assert f"request 1 !!! the row of users with id=1, which this test had before, {GONE}" in folded
    assert '"the other run" from 127.0.0.1 since ' in folded
    assert "last: DELETE FROM users" in folded
    assert folded.count("also connected") == 1  # this process' own connections are not others


def test_a_lookup_of_a_deleted_row_is_told(place: Place) -> None:
    place.outside("DELETE FROM users")
    with Session(place.engine) as session:
        assert session.scalars(select(User).where(User.id == 1)).one_or_none() is None
        assert session.get(User, 1) is None
    (told,) = place.gone()
    assert told.startswith(f"the row of users with id=1, which this test had before, {GONE}")


def test_an_update_that_reaches_nothing_is_told(place: Place) -> None:
    with Session(place.engine, expire_on_commit=False) as session:
        user = session.get_one(User, 1)
        session.commit()
        user.name = "Eve"
        place.outside("DELETE FROM users WHERE id = 1")
        with pytest.raises(StaleDataError):
            session.commit()
    (told,) = place.gone()
    assert GONE in told
    assert GONE in " ".join(place.section().split())


def test_a_refresh_of_a_deleted_row_is_told(place: Place) -> None:
    with Session(place.engine) as session:
        user = session.get_one(User, 1)
        session.commit()
        place.outside("DELETE FROM users WHERE id = 1")
        with pytest.raises(ObjectDeletedError):
            _ = user.name
    (told,) = place.gone()
    assert GONE in told


def test_a_row_that_another_connection_changed_is_told(place: Place) -> None:
    with Session(place.engine, expire_on_commit=False) as session:
        document = session.get_one(Document, 1)
        session.commit()
        place.outside("UPDATE documents SET version = 9")
        document.body = "mine"
        with pytest.raises(StaleDataError):
            session.commit()
    (told,) = place.gone()
    assert "the row of documents with id=1, which this test had before, was changed by another" in told


@pytest.mark.parametrize("way", ["unit of work", "core", "text", "cascade", "rolled back"])
def test_what_this_process_deleted_itself_is_nobody_elses_doing(lite: Place, way: str) -> None:
    key: tuple[Any, int] = (User, 1)
    with Session(lite.engine) as session:
        if way == "unit of work":
            session.delete(session.get_one(User, 1))
        elif way == "core":
            session.execute(delete(User).where(User.name == "Ann"))
        elif way == "text":
            session.execute(text("delete from users"))
        elif way == "cascade":
            session.execute(text("PRAGMA foreign_keys = ON"))
            session.get_one(Token, 1).parent_id = 1
            session.flush()
            session.execute(delete(User))
            key = (Token, 1)
        else:
            session.add(User(id=2, name="Bob"))
            session.flush()
            session.rollback()
            key = (User, 2)
        session.commit()
    with Session(lite.engine) as session:
        session.get(*key)
    assert lite.gone() == []


def test_a_row_that_the_test_never_had_is_not_missed(lite: Place) -> None:
    with Session(lite.engine) as session:
        assert session.get(User, 99) is None
        assert session.scalars(select(User).where(User.name == "nobody")).all() == []
        assert session.get(User, 1) is not None
    assert lite.gone() == []


def test_deleting_one_row_says_nothing_of_another(lite: Place) -> None:
    with Session(lite.engine) as session:
        session.add(User(id=2, name="Bob"))
        session.commit()
        session.delete(session.get_one(User, 2))
        session.commit()
    lite.outside("DELETE FROM users WHERE id = 1")
    with Session(lite.engine) as session:
        assert session.get(User, 1) is None
    (told,) = lite.gone()
    assert "users with id=1" in told
    assert "SQLite does not tell who else has the file open" in told


def test_a_row_that_is_not_committed_yet_is_not_called_deleted(postgres_place: Place) -> None:
    with Session(postgres_place.engine) as one, Session(postgres_place.engine) as two:
        one.add(User(id=5, name="uncommitted"))
        one.flush()
        assert two.get(User, 5) is None
    (told,) = postgres_place.gone()
    assert "is not committed: session 2 has changed users and is not done" in told
