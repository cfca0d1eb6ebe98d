"""The sessions that are alive, and where each was made.

SQLAlchemy has no event for a new session (the first one it sends comes with its first statement), so
`Session.__init__` is wrapped while tests run. Subclasses, SQLModel's and the session inside every AsyncSession
come the same way.
"""

from __future__ import annotations

import functools
import itertools
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from dbparity.observer import is_own
from dbparity.origin import Origin, caller
from dbparity.request import Request, current_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dbparity.watch import RunningTest, Watch


@dataclass(frozen=True, eq=False)
class TrackedSession:
    """A session, without keeping it alive."""

    number: int
    """Counted from 1 in each run."""
    ref: weakref.ref[Session]
    origin: Origin | None
    """The user's line that made it."""
    test: RunningTest | None
    request: Request | None
    thread: str

    def __str__(self) -> str:
        made = f", made at {self.origin}" if self.origin else ""
        owner = f" by {self.request}" if self.request else ""
        return f"session {self.number}{made}{owner}"


class SessionRegistry:
    """Every session made since `start` that is still referenced by somebody."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._numbers = itertools.count(1)
        self._tracked: weakref.WeakKeyDictionary[Session, TrackedSession] = weakref.WeakKeyDictionary()
        self._original: Callable[..., None] | None = None
        self.added: list[Callable[[Session, TrackedSession], None]] = []
        """Who is told of each new session."""

    def start(self) -> None:
        """Begin to notice new sessions."""
        original = self._original = Session.__init__
        noticed = self._watch.guard("sessions").over(self.add)

        @functools.wraps(original)
        def init(session: Session, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - handed through
            original(session, *arguments, **options)
            noticed(session)

        Session.__init__ = init  # type: ignore[assignment,method-assign]

    def stop(self) -> None:
        """Leave SQLAlchemy as it was."""
        if self._original is not None:
            Session.__init__ = self._original  # type: ignore[method-assign]
            self._original = None

    def add(self, session: Session) -> None:
        """Track a session; dbparity's own are not."""
        bind = getattr(session, "bind", None)
        if bind is not None and is_own(bind.dialect):
            return
        tracked = self._tracked[session] = TrackedSession(
            next(self._numbers),
            weakref.ref(session),
            caller(),
            self._watch.test,
            current_request(),
            threading.current_thread().name,
        )
        for each in self.added:
            each(session, tracked)

    def of(self, session: Session) -> TrackedSession | None:
        """What is known of this session."""
        return self._tracked.get(session)

    def live(self) -> Iterator[tuple[Session, TrackedSession]]:
        """The sessions that somebody still holds, oldest first."""
        found = []
        for ref in self._tracked.keyrefs():  # a copy: other threads make sessions meanwhile
            session = ref()
            tracked = self._tracked.get(session) if session is not None else None
            if session is not None and tracked is not None:
                found.append((session, tracked))
        yield from sorted(found, key=lambda pair: pair[1].number)
