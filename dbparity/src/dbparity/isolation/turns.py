"""Whose turn it is to change something: what another has changed is waited for, where that can end without us.

A rollback is impossible where another transaction has changed something later. Where requests and a worker write
at the same time, that would happen by chance; so a transaction waits before its first change until those who have
changed something have committed or rolled back. Who may be waiting for us is not waited for: the code that
started us in the midst of its transaction (a test that has flushed and makes a request), and what cannot go on
before we do. Whatever else it is that keeps somebody: the wait has an end.
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy.util import await_only
from sqlalchemy.util.concurrency import in_greenlet

from dbparity.isolation.futures import done
from dbparity.observer import background_loop
from dbparity.request import Request, current_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from dbparity.isolation.segments import Stack, Transaction

PAUSE_SECONDS = 0.004
WAIT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever runs some code: a task, or a thread that runs none."""

    thread: threading.Thread
    task: weakref.ref[asyncio.Task[Any]] | None
    request: Request | None

    @classmethod
    def here(cls) -> Actor:
        running = asyncio._get_running_loop() is not None  # noqa: SLF001 - documented, never raises
        task = asyncio.current_task() if running else None
        return cls(threading.current_thread(), weakref.ref(task) if task else None, current_request())

    def may_go_on(self, waiting: Actor) -> bool:
        """Whether it can, as far as can be told, while the other one waits."""
        if self.request is not None and self.request is waiting.request and None in (self.task, waiting.task):
            return False  # the steps of one request, in the threads of a pool
        if self.task is not None:
            task = self.task()
            return task is not None and not task.done() and task.get_loop().is_running()
        if self.request is not None and self.request.is_over:
            return False
        return self.thread is not waiting.thread and self.thread.is_alive()


_midst: ContextVar[tuple[weakref.ref[Transaction], ...]] = ContextVar("dbparity_midst", default=())
"""The transactions that had begun to change something here, or where this task was started."""


class Turns:
    """Who waits before a first change, in order of arrival."""

    def __init__(self, stack: Stack) -> None:
        self.seconds = WAIT_SECONDS
        self._stack = stack
        self._guard = threading.Lock()
        self._arrived: list[Transaction] = []
        """Those who wait, and those whose first change is being made."""
        self._actors: weakref.WeakKeyDictionary[Transaction, Actor] = weakref.WeakKeyDictionary()
        self._given_up: weakref.WeakSet[Transaction] = weakref.WeakSet()
        """Those who were waited for in vain."""
        self._clock: ThreadPoolExecutor | None = None

    @contextmanager
    def of(
        self, transaction: Transaction, *, waits: bool, meanwhile: Callable[[], None]
    ) -> Iterator[list[Transaction]]:
        """Wait for the turn of a transaction, and keep it while its first change is made.

        `waits`: for an async dialect. `meanwhile` is done at every look, and may raise. Yields those who were waited
        for in vain.
        """
        held = _held()
        with self._guard:
            self._arrived.append(transaction)
            self._actors[transaction] = Actor.here()
        try:
            late = self._ahead(transaction, held)
            if late:
                late = self._wait(transaction, held, _pause(self, waits=waits), meanwhile)
            _midst.set((*map(weakref.ref, held), weakref.ref(transaction)))
            yield late
        finally:
            with self._guard:
                self._arrived.remove(transaction)

    def close(self) -> None:
        """Nobody will wait any more."""
        if self._clock is not None:
            self._clock.shutdown(wait=False)

    def _wait(
        self,
        transaction: Transaction,
        held: list[Transaction],
        pause: Callable[[], None] | None,
        meanwhile: Callable[[], None],
    ) -> list[Transaction]:
        if pause is None:
            return []
        late: list[Transaction] = []
        # Counted, because a test may have stopped the clock.
        for _ in range(int(self.seconds / PAUSE_SECONDS)):
            pause()
            meanwhile()
            late = self._ahead(transaction, held)
            if not late:
                return []
        self._given_up.update(late)
        return late

    def _ahead(self, transaction: Transaction, held: list[Transaction]) -> list[Transaction]:
        """Return whom to wait for: who has changed something, or came before us to do so."""
        with self._guard:
            # These first: who leaves them has changed something by then, or has nothing to change.
            ahead = [] if held else self._arrived[: self._arrived.index(transaction)]
        ahead += [each for each in self._stack.writers(transaction) if each not in ahead]
        me = self._actors[transaction]
        return [
            each
            for each in ahead
            if each not in held
            and each not in self._given_up
            and (actor := self._actors.get(each)) is not None
            and actor.may_go_on(me)
        ]

    def _tick(self) -> None:
        """Pause in a greenlet; by a thread, because the loop's clock may be stopped."""
        if self._clock is None:
            self._clock = ThreadPoolExecutor(4, "dbparity-turns")
        await_only(done(self._clock.submit(time.sleep, PAUSE_SECONDS)))


def _pause(turns: Turns, *, waits: bool) -> Callable[[], None] | None:
    """Return how to wait here; None where that would keep everybody else from going on."""
    loop = asyncio._get_running_loop()  # noqa: SLF001 - documented, never raises
    if loop is None:
        return lambda: time.sleep(PAUSE_SECONDS)
    if waits and in_greenlet() and loop is not background_loop().loop:
        return turns._tick  # noqa: SLF001 - of this module
    return None


def _held() -> list[Transaction]:
    """Return in the midst of whose transactions this code runs."""
    return [each for ref in _midst.get() if (each := ref()) is not None and each.has_changed]
