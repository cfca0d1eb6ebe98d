"""Sessions that live otherwise in tests than in production, where each request has one of its own.

A session that serves the test and the application hides a missing commit; one that serves several requests hands
them each other's objects; one that several tasks use at once breaks only when the timing is right. And a session
with other options than the application's sessionmaker gives tests something that production does not run.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from dbparity.config import BadConfigError, resolve
from dbparity.findings import Finding
from dbparity.guard import Listeners
from dbparity.observer import is_own
from dbparity.origin import caller
from dbparity.request import Request, current_request
from dbparity.sessions.loop import task_here
from dbparity.sessions.options import Options, is_test_code, joins_wrongly
from dbparity.sessions.users import Users
from dbparity.watch import Detector

if TYPE_CHECKING:
    from sqlalchemy.orm import ORMExecuteState

    from dbparity.config import Config
    from dbparity.watch import Watch

REMEDIES = {
    "test": "let the application make a session for each request (the fixture `db_sessions` is a factory for it), "
    "and keep `db_session` for the test",
    "requests": "make a session for each request, in a dependency that yields within `with` or `async with`",
    "tasks": "give each task a session of its own; what they share is the engine",
    "options": "make it with the application's own sessionmaker, as the fixture `db_sessions` does",
    "join": 'say join_transaction_mode="create_savepoint", or use the fixture `db_sessions`',
}


class Fidelity(Detector):
    """Watches who uses each session."""

    name = "fidelity"

    def __init__(self, config: Config | None = None) -> None:
        self._factory = config.sessionmaker if config is not None else ""
        self._own: Options | None = None
        self._watch: Watch | None = None
        self._users: weakref.WeakKeyDictionary[Session, Users] = weakref.WeakKeyDictionary()

    def start(self, watch: Watch) -> None:
        """Listen to every session."""
        self._watch = watch
        self._listeners = Listeners(
            watch.guard(self.name),
            (Session, "do_orm_execute", self._executing),
            (Session, "after_begin", self._used),
            (Session, "before_flush", self._used),
            (Session, "before_commit", self._used),
        )
        self._listeners.add()

    def stop(self) -> None:
        """Listen no more."""
        self._listeners.remove()
        self._watch = None

    def _executing(self, state: ORMExecuteState) -> None:
        self._used(state.session)

    def _used(self, session: Session, *_: object) -> None:
        users = self._users.get(session)
        if users is None:
            users = self._users[session] = Users(_is_ours(session))
        if users.is_ignored:
            return
        request, task = current_request(), task_here()
        if users.is_same(request, task):
            users.work(task)
            return
        self._judge(session, users, request)
        if other := users.concurrent(session, task):
            what = f"is used by {_here(request)} while {other} is at work on it"
            self._tell(session, users, "tasks", what, _TASKS)
        users.remember(request, task)

    def _judge(self, session: Session, users: Users, request: Request | None) -> None:
        test = self._watch.test if self._watch else None
        if request is None:
            if test is None or threading.current_thread() is not threading.main_thread():
                return  # nobody knows on whose behalf
            users.test = users.test or f"{test.nodeid}{_at()}"
        elif users.request is None:
            users.request = request
            self._compare(session, users, request)
        elif users.request is not request:
            what = f"serves {users.request} and {request}"
            self._tell(session, users, "requests", what, _REQUESTS)
        if users.test and users.request is not None:
            what = f"serves both the test's own code ({users.test}) and the application ({users.request})"
            self._tell(session, users, "test", what, _TEST)

    def _compare(self, session: Session, users: Users, request: Request) -> None:
        tracked = self._watch.sessions.of(session) if self._watch else None
        if tracked is None or not is_test_code(tracked.origin):
            return
        own = self._application()
        differences = tuple(Options.of(session).unlike(own)) if own is not None else ()
        if differences:
            what = f"serves {request} and is not made as the application makes its own"
            self._tell(session, users, "options", what, differences)
        if wrong := joins_wrongly(session):
            self._tell(session, users, "join", f"serves {request} and joins a transaction", (wrong,))

    def _application(self) -> Options | None:
        if self._factory and self._own is None:
            try:
                self._own = Options.made_by(resolve(self._factory))
            except (BadConfigError, TypeError, AttributeError):  # no factory: the fixtures say so
                self._factory = ""
        return self._own

    def _tell(self, session: Session, users: Users, kind: str, what: str, evidence: tuple[str, ...]) -> None:
        if kind in users.told or self._watch is None:
            return
        users.told.add(kind)
        tracked = self._watch.sessions.of(session)
        subject = f"{tracked}," if tracked is not None else "a session made before the tests began"
        self._watch.report(Finding(self.name, f"{subject} {what}", evidence, REMEDIES[kind]))


_TEST = (
    (
        "what the application forgets to commit is seen by the test all the same, and objects that one of them has "
        "loaded are handed to the other"
    ),
)
_REQUESTS = (
    (
        "in production each has its own: here the second sees what the first has not committed, and the objects "
        "that it has loaded, as they were"
    ),
)
_TASKS = (
    (
        "a session is for one task or thread at a time: the statements of two run in one transaction, and one may "
        "commit or roll back half of the other's work"
    ),
)


def _is_ours(session: Session) -> bool:
    bind = session.bind
    return bind is not None and is_own(bind.dialect)


def _here(request: Request | None) -> str:
    task = task_here()
    who = (
        f"the task {task.get_name()}" if task is not None else f"the thread {threading.current_thread().name}"
    )
    return f"{who}{_at()}{f' in {request}' if request else ''}"


def _at() -> str:
    line = caller()
    return f" at {line}" if line else ""
