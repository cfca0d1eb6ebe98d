"""Who uses a session: the test, a request, a task, a thread; and whether two of them do so at once."""

from __future__ import annotations

import sys
import threading
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy.orm.session

from dbparity.origin import Origin, caller

if TYPE_CHECKING:
    from asyncio import Task

    from sqlalchemy.orm import Session

    from dbparity.request import Request

ALTERNATIONS = 3
"""How often two living tasks must take turns before they are taken for concurrent: a, b, a, b.

Fewer are no proof: one that starts another, waits for it and goes on takes two.
"""
DEPTH = 60
_SESSION_FILE = sqlalchemy.orm.session.__file__


def _nobody() -> None:
    return None


@dataclass(slots=True)
class Users:
    """Who has used one session so far."""

    is_ignored: bool = False
    test: str = ""
    """The test whose own code has used it, and where."""
    request: Request | None = None
    """The first request that it served."""
    latest: Request | None = None
    """The last request that it served; None: it served the test since."""
    told: set[str] = field(default_factory=set)
    task: Any = _nobody
    """The last task, as a weak reference."""
    greenlet: Any = _nobody
    """The last piece of work that an async session did, as a weak reference: dead when it is done."""
    thread: int = 0
    origin: Origin | None = None
    """Where the last task or thread first used it."""
    pair: frozenset[int] = frozenset()
    turns: int = 0

    def is_same(self, request: Request | None, task: Task[Any] | None) -> bool:
        """Whether the user is the last one, whose use has been judged."""
        return (
            self.latest is request
            and self.task() is task
            and self.thread == threading.get_ident()
            and (request is not None or bool(self.test))
        )

    def concurrent(self, session: Session, task: Task[Any] | None) -> str:
        """Who else is at work on the session at this moment, in words; empty where nobody is."""
        before = self.task()
        if before is None or before.done():
            self.pair, self.turns = frozenset(), 0  # its id may be another's by now
        elif task is not None and before is not task:
            return self._tasks(before, task)
        thread = self.thread
        if thread not in {0, threading.get_ident()} and (_is_busy(thread, session) or self._is_at_work()):
            return f"another thread{self._where()}"
        return ""

    def remember(self, request: Request | None, task: Task[Any] | None) -> None:
        """Take the current request, task, thread and greenlet for the last user."""
        thread = threading.get_ident()
        self.latest = request
        if self.task() is not task or self.thread != thread:
            self.task = weakref.ref(task) if task is not None else _nobody
            self.thread, self.origin = thread, caller()
        self.work(task)

    def work(self, task: Task[Any] | None) -> None:
        """Take the current greenlet for the last piece of work."""
        self.greenlet = _greenlet() if task is not None else _nobody

    def _tasks(self, before: Task[Any], task: Task[Any]) -> str:
        pair = frozenset({id(before), id(task)})
        self.turns = self.turns + 1 if pair == self.pair else 1
        self.pair = pair
        at_once = self._is_at_work() or self.turns >= ALTERNATIONS
        return f"the task {before.get_name()}{self._where()}" if at_once else ""

    def _is_at_work(self) -> bool:
        greenlet = self.greenlet()
        return greenlet is not None and not greenlet.dead and greenlet.parent is not None

    def _where(self) -> str:
        return f" (at {self.origin})" if self.origin else ""


def _greenlet() -> Any:  # noqa: ANN401 - greenlet is optional
    library = sys.modules.get("greenlet")
    return weakref.ref(library.getcurrent()) if library is not None else _nobody


def _is_busy(thread: int, session: Session) -> bool:
    """Whether a thread is inside one of the session's methods."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - the documented door to other threads
    for _ in range(DEPTH):
        if frame is None:
            return False
        if frame.f_code.co_filename == _SESSION_FILE and frame.f_locals.get("self") is session:
            return True
        frame = frame.f_back
    return False
