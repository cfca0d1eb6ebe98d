"""An independent connection: what is really committed, asked from any code, sync or async, under any driver.

A detector often runs inside another session's work: in a greenlet of the application's event loop, in a thread
of its pool. So an async driver is driven on an event loop of our own, in a thread of its own, and whoever asks
waits for the answer as for a sync driver.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from sqlalchemy.engine.interfaces import Dialect

T = TypeVar("T")

DEADLINE_SECONDS = 60.0

_OWN = "_dbparity_own"
"""An attribute of a dialect: it is asked for at every statement."""
_own_work: ContextVar[bool] = ContextVar("dbparity_own_work", default=False)


def is_own(dialect: Dialect) -> bool:
    """Whether an engine of this dialect works for dbparity itself: neither watched nor led elsewhere."""
    return hasattr(dialect, _OWN) or _own_work.get()


@contextmanager
def own_work() -> Iterator[None]:
    """Take every engine that is used in this block, and in the tasks it starts, for one of dbparity's own."""
    token = _own_work.set(True)
    try:
        yield
    finally:
        _own_work.reset(token)


def own_engine(url: URL | str, **options: Any) -> Engine | AsyncEngine:  # noqa: ANN401 - create_engine's
    """An engine that dbparity's own listeners leave alone; async where the URL's driver is."""
    url = make_url(url)
    make: Callable[..., Engine | AsyncEngine]
    make = create_async_engine if url.get_dialect().is_async else create_engine
    engine = make(url, **options)
    setattr(engine.dialect, _OWN, True)
    return engine


class Loop:
    """An event loop in a daemon thread, for connections that must outlive the loops of single tests."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="dbparity", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], seconds: float = DEADLINE_SECONDS) -> T:
        """Run a coroutine there and wait for it, `seconds` at most (TimeoutError)."""
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result(seconds)
        except TimeoutError:
            future.cancel()
            raise

    def close(self) -> None:
        """End the thread and its loop."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(DEADLINE_SECONDS)
        if not self._thread.is_alive():
            self.loop.close()


_loop: Loop | None = None
_users = 0
_starting = threading.Lock()


def background_loop() -> Loop:
    """The one loop of this process that dbparity's own connections live on."""
    global _loop  # noqa: PLW0603 - threads and loops are the process's
    with _starting:
        if _loop is None or _loop.loop.is_closed():
            _loop = Loop()
        return _loop


def close_background_loop() -> None:
    """End that loop, if it was ever needed."""
    global _loop  # noqa: PLW0603 - the same
    with _starting:
        if _loop is not None:
            _loop.close()
            _loop = None


@contextmanager
def background_loop_in_use() -> Iterator[None]:
    """End the loop after this block, unless another one still uses it: a run within a run, say."""
    global _users  # noqa: PLW0603 - the same
    with _starting:
        _users += 1
    try:
        yield
    finally:
        with _starting:
            _users -= 1
            is_last = not _users
        if is_last:
            close_background_loop()


class Observer:
    """Asks one database through connections that no test and no application shares."""

    def __init__(self, url: URL | str, *, pooled: bool = True, **connect_args: Any) -> None:  # noqa: ANN401
        self.url = make_url(url)
        options: dict[str, Any] = {"pool_size": 1, "max_overflow": 1} if pooled else {"poolclass": NullPool}
        if self.url.get_backend_name() == "sqlite":
            options = {"poolclass": NullPool}
            connect_args.setdefault("timeout", 10)
            if self.url.get_dialect().is_async:  # the same file, without a thread and a loop in between
                self.url = self.url.set(drivername="sqlite")
        self._engine = own_engine(self.url, connect_args=connect_args, **options)

    def call(self, work: Callable[[Connection], T], *, autocommit: bool = False) -> T:
        """Run `work` on a connection of its own and roll back afterwards, unless it commits itself.

        With `autocommit` each statement stands alone, as CREATE DATABASE demands.
        """
        if isinstance(self._engine, AsyncEngine):
            return background_loop().run(self._call_async(self._engine, work, autocommit=autocommit))
        with self._engine.connect() as connection:
            return work(_alone(connection) if autocommit else connection)

    async def _call_async(
        self, engine: AsyncEngine, work: Callable[[Connection], T], *, autocommit: bool
    ) -> T:
        async with engine.connect() as connection:
            if autocommit:
                _ = await connection.execution_options(isolation_level="AUTOCOMMIT")
            return await connection.run_sync(work)

    def close(self) -> None:
        """Close its connections; it can be asked again, and then opens new ones."""
        if isinstance(self._engine, AsyncEngine):
            with suppress(TimeoutError):
                background_loop().run(self._engine.dispose())
        else:
            self._engine.dispose()


def _alone(connection: Connection) -> Connection:
    return connection.execution_options(isolation_level="AUTOCOMMIT")
