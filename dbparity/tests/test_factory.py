"""Sessions for tests: of the application's class, with its options, on the test's database, sync and async."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import warnings
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import sqlmodel
from sqlalchemy import NullPool, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlmodel.ext.asyncio.session import AsyncSession as SQLModelAsyncSession

from dbparity.sessions.drivers import NoDriverError, url_for
from dbparity.sessions.factory import session_factory
from dbparity.sessions.options import Options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dbparity.testing.postgres import PrivateCluster

ONE = text("SELECT 1")


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/factory.db"


@pytest.fixture
def aiosqlite(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/factory.db"


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Engines go without a sound, wherever their loop went."""
    with caplog.at_level(logging.ERROR), warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
        gc.collect()
    assert caplog.records == []


class Audited(Session):
    """An application's own class."""


def options_of(session: Session | AsyncSession) -> Options:
    return Options.of(session.sync_session if isinstance(session, AsyncSession) else session)


# ---- of the application's kind


def test_a_sync_factory_keeps_class_options_and_listeners(sqlite: str) -> None:
    own = sessionmaker(class_=Audited, expire_on_commit=False, autoflush=False, info={"tenant": 1})
    heard = []
    event.listen(own, "after_begin", lambda *_: heard.append(1))
    with session_factory(own, sqlite) as factory, factory() as session:
        assert isinstance(session, Audited)
        assert options_of(session) == options_of(own())
        assert session.info == {"tenant": 1}
        assert session.scalar(ONE) == 1
        assert str(session.get_bind().url) == sqlite  # type: ignore[union-attr]
    assert heard == [1]


def test_an_async_factory_keeps_class_and_options(aiosqlite: str) -> None:
    own = async_sessionmaker(class_=SQLModelAsyncSession, expire_on_commit=False)

    async def ask(factory: Any) -> int | None:
        async with factory() as session:
            assert isinstance(session, SQLModelAsyncSession)
            assert options_of(session) == options_of(own())
            return (await session.exec(sqlmodel.select(sqlmodel.literal(1)))).first()

    with session_factory(own, aiosqlite) as factory:
        assert asyncio.run(ask(factory)) == 1


def test_a_session_a_call(sqlite: str) -> None:
    with session_factory(sessionmaker(), sqlite) as factory, factory() as one, factory() as other:
        assert one is not other


@pytest.mark.parametrize("scoped", ["scoped", "async"])
def test_scoped_factories_are_unwrapped(scoped: str, sqlite: str, aiosqlite: str) -> None:
    if scoped == "scoped":
        own: Any = scoped_session(sessionmaker(class_=Audited))
        url = sqlite
    else:
        own = async_scoped_session(async_sessionmaker(sync_session_class=Audited), scopefunc=lambda: 1)
        url = aiosqlite
    with session_factory(own, url) as factory:
        session = factory()
        assert type(session).__name__ == ("Audited" if scoped == "scoped" else "AsyncSession")
        assert options_of(session).kind is Audited


def test_a_function_that_makes_sessions_will_do(sqlite: str) -> None:
    def own() -> Session:
        return Audited(expire_on_commit=False)

    with session_factory(own, sqlite) as factory, factory() as session:
        assert options_of(session) == options_of(own())
        assert session.scalar(ONE) == 1


def test_something_that_makes_no_sessions_is_told_so(sqlite: str) -> None:
    with pytest.raises(TypeError, match="got a list"), session_factory(list, sqlite):
        pass


def test_without_a_factory_the_url_decides(sqlite: str, aiosqlite: str) -> None:
    with session_factory(None, sqlite) as factory, factory() as session:
        assert isinstance(session, sqlmodel.Session)  # which is in use here
    with session_factory(None, aiosqlite) as factory:
        assert isinstance(factory(), SQLModelAsyncSession)


# ---- of the other kind


def test_a_sync_session_of_an_async_application(aiosqlite: str) -> None:
    own = async_sessionmaker(class_=SQLModelAsyncSession, expire_on_commit=False)
    with session_factory(own, aiosqlite, is_async=False) as factory, factory() as session:
        assert isinstance(session, sqlmodel.Session)
        assert options_of(session) == options_of(own())
        assert session.scalar(ONE) == 1


def test_an_async_session_of_a_sync_application(sqlite: str) -> None:
    own = sessionmaker(class_=Audited, autoflush=False)

    async def ask(factory: Any) -> int | None:
        async with factory() as session:
            assert options_of(session) == options_of(own())
            found: int | None = await session.scalar(ONE)
            return found

    with session_factory(own, sqlite, is_async=True) as factory:
        assert asyncio.run(ask(factory)) == 1


def test_an_async_session_of_an_sqlmodel_application(sqlite: str) -> None:
    own = sessionmaker(class_=sqlmodel.Session)
    with session_factory(own, sqlite, is_async=True) as factory:
        assert isinstance(factory(), SQLModelAsyncSession)


def test_postgresql_is_reached_with_either_kind(cluster: PrivateCluster) -> None:
    own = async_sessionmaker(expire_on_commit=False)
    with session_factory(own, cluster.url(), is_async=False) as factory, factory() as session:
        assert session.scalar(ONE) == 1
        assert session.get_bind().dialect.driver == "psycopg"

    async def ask(factory: Any) -> None:
        async with factory() as session:
            assert await session.scalar(ONE) == 1

    with session_factory(own, cluster.url()) as factory:
        asyncio.run(ask(factory))  # its loop is closed when the engine is


# ---- the application's own engine


def test_the_applications_engine_lends_its_settings_and_listeners(sqlite: str) -> None:
    engine = create_engine(sqlite, pool_size=1, max_overflow=0, pool_timeout=1, connect_args={"timeout": 7})
    engine.update_execution_options(tenant="a")
    heard: list[str] = []
    event.listen(engine, "connect", lambda *_: heard.append("connect"))
    event.listen(engine, "before_cursor_execute", lambda *_: heard.append("execute"))
    own = sessionmaker(engine)
    clone = sqlite.replace("factory.db", "clone.db")
    with engine.connect(), session_factory(own, clone, base=sqlite) as factory, factory() as session:
        heard.clear()
        assert session.scalar(ONE) == 1  # nobody waits for the application's one connection
        bind = session.get_bind()
        assert bind.get_execution_options() == {"tenant": "a"}
        assert str(bind.engine.url) == sqlite  # it is led to the clone as the application's is
        session.rollback()
    assert heard == ["connect", "execute"]
    with session_factory(own, clone) as factory, factory() as session:
        assert str(session.get_bind().engine.url) == clone
    engine.dispose()


def test_the_applications_engine_is_not_used_for_the_other_kind(aiosqlite: str) -> None:
    own = async_sessionmaker(create_async_engine(aiosqlite, poolclass=NullPool))
    with session_factory(own, aiosqlite, is_async=False) as factory, factory() as session:
        assert session.scalar(ONE) == 1


# ---- drivers


@pytest.mark.parametrize(
    ("given", "is_async", "expected"),
    [
        ("postgresql+asyncpg://u@h/d?ssl=require", False, "postgresql+psycopg://u@h/d?sslmode=require"),
        ("postgresql+psycopg2://u@h/d?sslmode=require", True, "postgresql+asyncpg://u@h/d?ssl=require"),
        ("postgresql+asyncpg://u@h/d?prepared_statement_cache_size=0", False, "postgresql+psycopg://u@h/d"),
        ("postgresql+psycopg://u@h/d", True, "postgresql+psycopg://u@h/d"),
        ("postgresql+psycopg://u@h/d", False, "postgresql+psycopg://u@h/d"),
        ("sqlite+aiosqlite:///a.db", False, "sqlite+pysqlite:///a.db"),
        ("sqlite:///a.db", True, "sqlite+aiosqlite:///a.db"),
        ("sqlite:///a.db", False, "sqlite:///a.db"),
    ],
)
def test_the_url_of_the_other_kind(given: str, *, is_async: bool, expected: str) -> None:
    assert url_for(make_url(given), is_async=is_async) == make_url(expected)


def test_drivers_that_cannot_share_a_transaction_are_refused() -> None:
    url = make_url("postgresql+psycopg2://u@h/d")
    with pytest.raises(NoDriverError, match=r"held by one connection of psycopg2.*Use db_session.*clone"):
        url_for(url, is_async=True, savepoint=True)
    assert url_for(make_url("sqlite:///a.db"), is_async=True, savepoint=True).drivername == "sqlite+aiosqlite"


def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("psycopg", "psycopg2", "pg8000"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    url = make_url("postgresql+asyncpg://u:secret@h/d")
    with pytest.raises(
        NoDriverError, match=r"needs psycopg or psycopg2 or pg8000.*use async_db_session"
    ) as told:
        url_for(url, is_async=False)
    assert "secret" not in str(told.value)
    with pytest.raises(NoDriverError, match="needs a driver that dbparity knows"):
        url_for(SimpleNamespace(**_oracle()), is_async=True)  # type: ignore[arg-type]


def _oracle() -> dict[str, Any]:
    dialect = SimpleNamespace(is_async=False)
    return {
        "get_driver_name": lambda: "oracledb",
        "get_backend_name": lambda: "oracle",
        "get_dialect": lambda: dialect,
        "drivername": "oracle+oracledb",
    }
