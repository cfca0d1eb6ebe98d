"""A database with some models on it, for the tests of committed-state assertions."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, ForeignKey, LargeBinary, MetaData, Table, create_engine, text
from sqlalchemy import Column as SqlColumn
from sqlalchemy.engine import make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.types import Integer, String

from dbparity.committed import Committed
from dbparity.config import Config
from dbparity.observer import Observer
from dbparity.provision.database import TestDatabase
from dbparity.watch import RunningTest, Watch

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Executable


class Base(DeclarativeBase):
    metadata = MetaData()


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]
    password_hash: Mapped[str] = mapped_column(default="argon2id$abcdef")
    named: Mapped[str | None] = mapped_column("display_name")
    born: Mapped[datetime | None]
    settings: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    picture: Mapped[bytes | None] = mapped_column(LargeBinary)
    key: Mapped[uuid.UUID] = mapped_column(default=uuid.uuid4)
    kind: Mapped[str] = mapped_column(default="user")
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "user"}  # noqa: RUF012 - SQLAlchemy's


class Admin(User):
    __mapper_args__ = {"polymorphic_identity": "admin"}  # noqa: RUF012 - the same


class Token(Base):
    __tablename__ = "tokens"
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    purpose: Mapped[str] = mapped_column(primary_key=True)
    uses: Mapped[int] = mapped_column(default=0)


visits = Table("visits", Base.metadata, SqlColumn("path", String), SqlColumn("count", Integer))
QUIET = Config(database_url="sqlite://")


class Lab:
    """A database, an application's engine on it, and `committed`."""

    def __init__(self, url: str, folder: Path, metadata: MetaData, observed: str = "") -> None:
        self.engine = create_engine(url)
        metadata.create_all(self.engine)
        target = make_url(observed or url)
        self.database = TestDatabase(target, target, metadata, QUIET, Observer(target), "run", "main")
        self.watch = Watch([], {})
        self.watch.start()
        self.watch.begin_test(RunningTest("test_a"))
        self.committed = Committed(self.database, watch=self.watch)

    def add(self, *instances: Any) -> None:
        with Session(self.engine) as session:
            session.add_all(instances)
            session.commit()

    def execute(self, statement: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement))

    def change(self, *statements: Executable) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(statement)

    def close(self) -> None:
        self.committed.close()
        self.watch.stop()
        self.database.observer.close()
        self.engine.dispose()


def psycopg(url: str) -> str:
    return make_url(url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
