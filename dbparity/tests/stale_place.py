"""An application's engine on a database of some tables, the watch over it, and an object that a session holds."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, ForeignKey, create_engine, make_url, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlmodel import Field, SQLModel

from dbparity.config import Config
from dbparity.observer import Observer
from dbparity.provision.database import TestDatabase
from dbparity.sessions.clients import Clients
from dbparity.sessions.stale import StaleReads
from dbparity.watch import RunningTest, Watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    seen: Mapped[datetime | None]


class Admin(User):
    __tablename__ = "admins"
    id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    level: Mapped[int] = mapped_column(default=1)


class Seat(Base):
    __tablename__ = "seats"
    row: Mapped[int] = mapped_column(primary_key=True)
    place: Mapped[str] = mapped_column(primary_key=True)
    taken: Mapped[bool] = mapped_column(default=False)


class Item(SQLModel, table=True):
    __tablename__ = "stale_items"
    id: int | None = Field(default=None, primary_key=True)
    name: str


class Place:
    """An application's engine on a database under test, and the watch over it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = make_url(url)
        self.engine: Engine = create_engine(self.url)
        Base.metadata.create_all(self.engine)
        SQLModel.metadata.create_all(self.engine, [Item.__table__])  # type: ignore[attr-defined]
        with Session(self.engine) as session:
            session.add_all([User(id=1, name="Ann"), User(id=2, name="Bob"), Admin(id=3, name="Cy", level=1)])
            session.add(Seat(row=1, place="A"))
            session.merge(Item(id=1, name="chair"))
            session.commit()
        observer = Observer(self.url)
        self.database = TestDatabase(self.url, self.url, Base.metadata, Config(), observer, "run", "main")
        self.stale = StaleReads()
        self.watch = Watch([self.stale, Clients()], {})
        self.watch.start()
        self.test = RunningTest("test_x.py::test_it", self.database)
        self.watch.begin_test(self.test)

    def close(self) -> None:
        self.watch.stop()
        self.database.observer.close()
        self.engine.dispose()

    def rename(self, number: int, name: str) -> None:
        with Session(self.engine) as session:
            session.execute(update(User).where(User.id == number).values(name=name))
            session.commit()

    def request(self, work: Callable[[], object]) -> None:
        with self.watch.request("PATCH /users"):
            work()

    def messages(self) -> list[str]:
        self.watch.test_called()
        return [finding.message for finding in self.watch.findings]


def held(place: Place, number: int = 1, kind: type[Any] = User) -> tuple[Session, Any]:
    session = Session(place.engine, expire_on_commit=False)
    found = session.get_one(kind, number)
    session.commit()
    return session, found
