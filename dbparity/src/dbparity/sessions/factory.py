"""Sessions for tests as the application makes its own: its session factory's class and options, on the test's database.

An application has a factory of one kind, and a test may want the other: an async application's rows looked at by a
sync test. So the classes are matched: SQLModel's Session with its AsyncSession, SQLAlchemy's with SQLAlchemy's, and
an AsyncSession keeps the sync class (with the listeners on it) that the application has given it.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from dbparity.isolation.discard import discard
from dbparity.sessions.drivers import NoDriverError, url_for
from dbparity.sessions.options import COMPARED
from dbparity.targets import identity_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.pool import ConnectionPoolEntry

__all__ = ["NoDriverError", "session_factory"]

_ENGINES = frozenset({"bind", "sync_session_class"})


@contextmanager
def session_factory(
    own: Any,  # noqa: ANN401 - a sessionmaker, sync or async, scoped or not, or whatever else makes sessions
    url: URL | str,
    *,
    is_async: bool | None = None,
    savepoint: bool = False,
    base: URL | str | None = None,
) -> Iterator[Any]:
    """Yield a factory like the application's `own` (None: none is known), bound to an engine for `url`.

    `is_async`: of which kind; None for the application's. `savepoint`: the test's transaction is on one connection.
    `base`: the database that the application's engines mean. Where its own factory is bound to an engine of that
    database, the engine here is a twin of it: the same settings and listeners, and a pool of its own, so that test
    and application do not wait for each other's connections.
    """
    url = make_url(url)
    recipe = _Recipe(own, url)
    wants_async = recipe.is_async if is_async is None else is_async
    own_engine = recipe.engine(wants_async, {identity_of(url), identity_of(base or url)})
    twin = _twin(own_engine) if own_engine is not None else None
    engine = twin or _engine(url, is_async=wants_async, savepoint=savepoint)
    with _emptied(engine):
        yield recipe.factory(wants_async, engine)


class _Recipe:
    """How an application makes its sessions."""

    def __init__(self, own: Any, url: URL) -> None:  # noqa: ANN401 - see session_factory
        factory = getattr(own, "session_factory", own)
        self.kind: type[Any] | None = None
        self.options: dict[str, Any] = {}
        if isinstance(factory, (sessionmaker, async_sessionmaker)):
            self.kind, self.options = factory.class_, dict(factory.kw)
        elif factory is not None:
            self.kind, self.options = _seen(factory())
        if self.kind is None:
            self.kind = AsyncSession if url.get_dialect().is_async else Session
            self.kind = _sqlmodels(self.kind)
        self.is_async = issubclass(self.kind, AsyncSession)

    def engine(self, wants_async: bool, identities: set[Any]) -> Engine | AsyncEngine | None:  # noqa: FBT001
        """The application's own engine, if its factory is bound to one that fits."""
        bind = self.options.get("bind")
        if isinstance(bind, AsyncEngine if wants_async else Engine) and identity_of(bind.url) in identities:
            return bind
        return None

    def factory(self, wants_async: bool, engine: Engine | AsyncEngine) -> Any:  # noqa: ANN401, FBT001
        """The factory for sessions of one kind."""
        assert self.kind is not None  # noqa: S101 - __init__ sees to it
        options = {name: value for name, value in self.options.items() if name not in _ENGINES}
        if not wants_async:
            return sessionmaker(engine, class_=self._sync_class(), **options)  # type: ignore[arg-type]
        kind = self.kind if self.is_async else _async_class(self.kind)
        return async_sessionmaker(engine, class_=kind, sync_session_class=self._sync_class(), **options)  # type: ignore[arg-type]

    def _sync_class(self) -> type[Session]:
        found: type[Session] | None = self.kind
        if self.is_async:
            found = self.options.get("sync_session_class") or self.kind.sync_session_class  # type: ignore[union-attr]
        assert found is not None  # noqa: S101 - __init__ sees to it
        return found


def _seen(session: Any) -> tuple[type[Any], dict[str, Any]]:  # noqa: ANN401 - sync or async
    """Class and options of a session that a plain function has made."""
    if not isinstance(session, (Session, AsyncSession)):
        msg = f"sessionmaker must name what returns a session when it is called, and got a {type(session).__name__}."
        raise TypeError(msg)
    inner = session.sync_session if isinstance(session, AsyncSession) else session
    options: dict[str, Any] = {name: getattr(inner, name) for name in COMPARED if hasattr(inner, name)}
    if isinstance(session, AsyncSession):
        options["sync_session_class"] = type(inner)
    return type(session), options | {"bind": session.bind}


def _sqlmodels(kind: type[Any]) -> type[Any]:
    """SQLModel's class of this kind where SQLModel is in use."""
    if "sqlmodel" not in sys.modules:
        return kind
    from sqlmodel import Session as SyncSession  # noqa: PLC0415 - optional

    return _async_class(SyncSession) if issubclass(kind, AsyncSession) else SyncSession


def _async_class(sync: type[Any]) -> type[AsyncSession]:
    library = sys.modules.get("sqlmodel")
    if library is not None and issubclass(sync, library.Session):
        from sqlmodel.ext.asyncio.session import AsyncSession as Matching  # noqa: PLC0415 - optional

        return Matching
    return AsyncSession


def _twin(engine: Engine | AsyncEngine) -> Engine | AsyncEngine:
    """An engine of the same settings and listeners with a pool of its own."""
    own = engine.sync_engine if isinstance(engine, AsyncEngine) else engine
    twin = Engine(own.pool.recreate(), own.dialect, own.url)
    twin.update_execution_options(**own.get_execution_options())
    twin.dispatch._update(own.dispatch, only_propagate=False)  # noqa: SLF001 - there is no public way
    twin._has_events = own._has_events  # noqa: SLF001 - the same
    return AsyncEngine(twin) if isinstance(engine, AsyncEngine) else twin


def _engine(url: URL, *, is_async: bool, savepoint: bool) -> Engine | AsyncEngine:
    """An engine like any other, that is led to the test's database."""
    if savepoint and not is_async and url.get_driver_name() == "asyncpg":
        # There every connection is a part in the test's one, which waits for its loop by itself: no greenlet needed.
        from dbparity.sessions.sync_asyncpg import DRIVERNAME  # noqa: PLC0415 - asyncpg is optional

        return create_engine(url.set(drivername=DRIVERNAME))
    url = url_for(url, is_async=is_async, savepoint=savepoint)
    return create_async_engine(url) if is_async else create_engine(url)


@contextmanager
def _emptied(engine: Engine | AsyncEngine) -> Iterator[None]:
    """Its connections end with the block: whatever loop they were made on, and wherever this is."""
    records: WeakSet[ConnectionPoolEntry] = WeakSet()
    pool = engine.sync_engine.pool if isinstance(engine, AsyncEngine) else engine.pool

    def note(connection: object, record: ConnectionPoolEntry) -> None:  # noqa: ARG001 - the event's signature
        records.add(record)

    event.listen(pool, "connect", note)
    try:
        yield
    finally:
        event.remove(pool, "connect", note)
        for record in [each for each in records if not each.in_use]:
            discard(record)
