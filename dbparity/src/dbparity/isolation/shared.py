"""The one real connection of a test process, kept across tests, and the real transaction of the running one.

Whatever is done with it is done as a whole: a statement and the savepoints before it are not torn apart by other
threads or tasks. Work is a plain function; where an async application waits for it, it runs on the connection's
own loop (asyncpg) or in a thread (psycopg), and the application's loop goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.util import await_only, greenlet_spawn
from sqlalchemy.util.concurrency import in_greenlet

from dbparity.isolation.drivers import Asyncpg, Driver, driver_of
from dbparity.isolation.futures import done
from dbparity.isolation.segments import Stack, Transaction
from dbparity.isolation.turns import Turns
from dbparity.observer import background_loop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from sqlalchemy.engine.interfaces import Dialect

T = TypeVar("T")

DEADLINE_SECONDS = 30.0
END_SECONDS = 10.0
INTERRUPT_SECONDS = 0.01


class BusyError(TimeoutError):
    """Another thread has been using the test's connection for too long."""


class SharedConnection:
    """A real connection over a sync library."""

    def __init__(self, dialect: Dialect, arguments: Sequence[Any], options: Mapping[str, Any]) -> None:
        self.driver: Driver = driver_of(dialect)
        self.options = dict(options)
        self.stack = Stack(aborts=self.driver.aborts)
        self.turns = Turns(self.stack)
        self.is_begun = False
        self.undo_later: deque[Transaction] = deque()
        """Transactions whose connection was closed, or collected as garbage, in the midst of them."""
        self.functions: dict[object, Any] = {}
        """Functions and codecs that engines gave to the connection."""
        self.seconds = DEADLINE_SECONDS
        self.is_executing = False
        """Whether the application's own statement runs now, which may be interrupted."""
        self._is_given_up = False
        self._current: object = None
        self._worker = 0
        self._task: asyncio.Task[Any] | None = None
        self._lock = threading.RLock()
        self._thread: ThreadPoolExecutor | None = None
        self.raw: Any = self._open(dialect, arguments, options)
        self.pid = self.driver.pid(self.raw)
        self.checks_deferred = bool(self._at_once(lambda: self.ask(self.driver.deferrable)))

    def run(self, work: Callable[[], T], *, waits: bool) -> T:
        """Do `work` while nobody else does; `waits`: for an async dialect."""
        if not waits or not in_greenlet():
            return self._locked(work)
        if self.driver.is_quick:
            # Others get their turn here, as they would while a real aiosqlite works.
            await_only(asyncio.sleep(0))
            return self._locked(work)
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "dbparity-connection")
        return self._wait(work, self._thread.submit(self._locked, work))

    @property
    def is_mid_work(self) -> bool:
        """Whether this very thread is in the midst of something: asked by what the garbage collector calls."""
        return self._current is not None and self._worker == threading.get_ident()

    def _at_once(self, work: Callable[[], T]) -> T:
        """Do `work` and let nobody else on this thread do anything meanwhile."""
        return self._locked(work)

    def _wait(self, work: Callable[[], T], future: Future[T]) -> T:
        """Wait in a task of the application's; where that is cancelled, so is the statement, and nothing else."""
        try:
            await_only(done(future))
        except asyncio.CancelledError:
            background_loop().loop.call_soon_threadsafe(self._interrupt, work, future)
            raise
        return future.result()

    def _interrupt(self, work: object, future: Future[Any]) -> None:
        if future.done() or future.cancel():
            return
        if self._current is work and self.is_executing:
            with suppress(Exception):
                self.driver.cancel(self.raw)
        else:  # between two savepoints: those must be known to be there or not
            background_loop().loop.call_later(INTERRUPT_SECONDS, self._interrupt, work, future)

    def begin(self) -> list[str]:
        """Return what begins the real transaction, if nothing has yet."""
        if self.is_begun:
            return []
        self.is_begun = True
        return list(self.driver.begin)

    def end(self) -> None:
        """Roll back the real transaction, within a deadline; a connection that does not let us is given up."""
        if not self.is_begun:
            return
        try:
            self._finish()
        except Exception:  # noqa: BLE001 - whatever it was, the next test gets a new connection
            self.abandon()
        self.is_begun = False
        self.undo_later.clear()
        self.stack.reset()

    def is_usable(self) -> bool:
        """Whether another test can have it."""
        return not (self._is_given_up or self.driver.is_closed(self.raw))

    def close(self) -> None:
        """Roll back and close."""
        self.end()
        if not self._is_given_up:
            with suppress(Exception):
                self._shut()
        self._is_given_up = True
        if self._thread is not None:
            self._thread.shutdown(wait=False)
        self.turns.close()

    def abandon(self) -> None:
        """Interrupt what runs, and never use this connection again."""
        self._is_given_up = True
        with suppress(Exception):
            self.driver.cancel(self.raw)
        with suppress(Exception):
            self.driver.close(self.raw)

    def _open(self, dialect: Dialect, arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - drivers have no common type
        return self.driver.connect(dialect, arguments, options)

    def _locked(self, work: Callable[[], T]) -> T:
        if not self._lock.acquire(timeout=self.seconds):
            msg = (
                f"Another thread has been using this test's one connection for {self.seconds:.0f} s. Under savepoint "
                'isolation all sessions take turns; use isolation="clone" where they must work at once.'
            )
            raise BusyError(msg)
        before, self._current = self._current, work
        self._worker = threading.get_ident()
        try:
            return work()
        finally:
            self._current = before
            self._lock.release()

    def _finish(self) -> None:
        if not self._lock.acquire(timeout=0):
            with suppress(Exception):
                self.driver.cancel(self.raw)
            if not self._lock.acquire(timeout=END_SECONDS):
                raise BusyError
        try:
            self.driver.say(self.raw, ["ROLLBACK"])
        finally:
            self._lock.release()

    def _shut(self) -> None:
        self.driver.close(self.raw)

    def ask(self, question: str) -> list[Any]:
        """Return the rows of a question; to be called in the midst of work."""
        cursor = self.raw.cursor()
        cursor.execute(question)
        rows = list(cursor.fetchall())
        cursor.close()
        return rows


class BackgroundConnection(SharedConnection):
    """A real connection of a driver that has nothing but coroutines."""

    def run(self, work: Callable[[], T], *, waits: bool) -> T:
        del waits
        loop = background_loop().loop
        if asyncio._get_running_loop() is loop or not in_greenlet():  # noqa: SLF001 - documented, never raises
            return self._at_once(work)
        return self._wait(work, asyncio.run_coroutine_threadsafe(self._whole(work), loop))

    async def turned(self, work: Awaitable[T]) -> T:
        """Await something of the driver's own while nobody else uses the connection."""
        async with self._turn:
            return await work

    @property
    def is_mid_work(self) -> bool:
        here = asyncio._get_running_loop() is background_loop().loop  # noqa: SLF001 - documented, never raises
        return here and (self._current is not None or not in_greenlet())

    async def _whole(self, work: Callable[[], T]) -> T:
        async with self._turn:
            self._current, self._task = work, asyncio.current_task()
            try:
                return await greenlet_spawn(work)
            finally:
                self._current = self._task = None

    def _interrupt(self, work: object, future: Future[Any]) -> None:
        if future.done():
            return
        if self._current is not work or self.is_executing:  # it has not begun, or is at its statement
            future.cancel()
        else:
            background_loop().loop.call_later(INTERRUPT_SECONDS, self._interrupt, work, future)

    def _open(self, dialect: Dialect, arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the same
        self._turn = asyncio.Lock()
        return self._at_once(lambda: self.driver.connect(dialect, arguments, options))

    def _at_once(self, work: Callable[[], T]) -> T:
        loop = background_loop()
        if asyncio._get_running_loop() is loop.loop:  # noqa: SLF001 - documented, and never raises
            return await_only(self._whole(work))
        # Also in a task of the application's: a second task must not come and connect as well.
        return loop.run(self._whole(work), self.seconds)

    def _finish(self) -> None:
        background_loop().loop.call_soon_threadsafe(self._cancel_running)
        background_loop().run(self._whole(lambda: self.driver.say(self.raw, ["ROLLBACK"])), END_SECONDS)

    def _cancel_running(self) -> None:
        """Have asyncpg cancel the statement on the server; it would go on there without its connection."""
        if self._task is not None and self.is_executing:
            self._task.cancel()

    def _shut(self) -> None:
        background_loop().run(greenlet_spawn(self.driver.close, self.raw), END_SECONDS)

    def abandon(self) -> None:
        self._is_given_up = True
        background_loop().loop.call_soon_threadsafe(self.driver.cancel, self.raw)


def share(dialect: Dialect, arguments: Sequence[Any], options: Mapping[str, Any]) -> SharedConnection:
    """Open the real connection that engines of this dialect will share."""
    kind = BackgroundConnection if isinstance(driver_of(dialect), Asyncpg) else SharedConnection
    return kind(dialect, arguments, options)
