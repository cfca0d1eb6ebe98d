"""The timeline of a test: sessions, transactions, statements and pools, by which request and in which phase.

Listens at the classes, so that every engine and session of the process is heard; dbparity's own are left out.
It runs beside every statement of every test: it stores tuples, and words are made when somebody asks.
"""

from __future__ import annotations

import functools
import itertools
from time import perf_counter
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool

from dbparity.guard import Listeners
from dbparity.observer import is_own
from dbparity.sessions.pools import is_ours, pool_of
from dbparity.sessions.recording import NAME, Recording, Statement, recording_of
from dbparity.sessions.timeline_text import as_dicts, rendered
from dbparity.sessions.vanished import Vanished
from dbparity.sessions.writes import Writes
from dbparity.targets import identity_of
from dbparity.watch import Detector

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy.engine import ExceptionContext
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

    from dbparity.request import Request
    from dbparity.sessions.registry import TrackedSession
    from dbparity.watch import RunningTest, Watch

TITLE = "dbparity: timeline"


class Timeline(Detector):
    """Records what happens to the database; finds no fault, and shows where one comes from."""

    name = NAME

    def __init__(self) -> None:
        self._recording: Recording | None = None
        self._numbers = itertools.count(1)
        self._counted = itertools.count(1)
        self._engines: WeakKeyDictionary[Engine, tuple[int, str]] = WeakKeyDictionary()
        self._connections: WeakKeyDictionary[ConnectionPoolEntry, int] = WeakKeyDictionary()
        self._wrapped: dict[str, Callable[..., Any]] = {}

    def start(self, watch: Watch) -> None:
        """Listen to every engine, pool and session."""
        self._watch = watch
        self._writes = Writes.join(watch)
        self._vanished = Vanished(watch, self._writes, self._note_gone, self._connections)
        self._vanished.start()
        self._guard = watch.guard(self.name)
        self._listeners = Listeners(
            self._guard,
            (Session, "after_begin", self._begun),
            (Session, "after_flush", self._flushed),
            (Session, "after_commit", self._session("committed")),
            (Session, "after_rollback", self._session("rolled back")),
            (Engine, "before_cursor_execute", self._executing),
            (Engine, "after_cursor_execute", self._executed),
            (Engine, "handle_error", self._failed),
            (Engine, "commit", self._bare("commit")),
            (Engine, "rollback", self._bare("rollback")),
            (Pool, "checkout", self._taken),
            (Pool, "checkin", self._returned),
        )
        self._listeners.add()
        self._told_of_new = self._guard.over(self._opened)
        watch.sessions.added.append(self._told_of_new)
        for method, kind in (("close", "closed"), ("expire_all", "expired")):
            self._wrap(method, self._session(kind))

    def stop(self) -> None:
        """Leave SQLAlchemy as it was."""
        for method, original in self._wrapped.items():
            setattr(Session, method, original)
        self._wrapped.clear()
        self._watch.sessions.added.remove(self._told_of_new)
        self._listeners.remove()
        self._vanished.stop()
        self._writes.leave()
        self._recording = None

    def test_began(self, test: RunningTest) -> None:
        """A new, empty timeline."""
        self._recording = test.notes[NAME] = Recording()
        self._vanished.forget()

    def request_began(self, request: Request) -> None:
        """Its number and label are an entry of their own, so that the others need only the number."""
        if self._recording is not None:
            self._recording.add("request", None, request.label)

    def request_ended(self, request: Request) -> None:  # noqa: ARG002 - whichever it is
        """What it asked for is answered now."""
        self._vanished.settle()
        if self._recording is not None:
            self._recording.add("answered", None, None)

    def test_calling(self, test: RunningTest) -> None:
        """From here on it is the test's own code."""
        self._enter("call", test)

    def test_called(self, test: RunningTest) -> None:
        """From here on it is teardown."""
        self._vanished.settle()
        self._enter("teardown", test)

    def report_sections(self, test: RunningTest) -> Sequence[tuple[str, str]]:
        """The telling part of the timeline, on one screen."""
        recording = recording_of(test)
        return [(TITLE, rendered(recording))] if recording is not None and recording.entries else []

    def as_dicts(self, test: RunningTest) -> list[dict[str, Any]]:
        """The whole timeline in types that JSON knows."""
        recording = recording_of(test)
        return as_dicts(recording) if recording is not None else []

    def _enter(self, phase: str, test: RunningTest) -> None:
        recording = recording_of(test)
        if recording is not None:
            recording.phase = phase

    def _wrap(self, method: str, note: Callable[[Session], Any]) -> None:
        original = self._wrapped[method] = getattr(Session, method)
        note = self._guard.over(note)

        @functools.wraps(original)
        def noted(session: Session, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - handed through
            note(session)
            return original(session, *arguments, **options)

        setattr(Session, method, noted)

    def _opened(self, _: Session, tracked: TrackedSession) -> None:
        if self._recording is not None:
            self._recording.add("opened", tracked.number, tracked.origin)

    def _session(self, kind: str) -> Callable[[Session], None]:
        """A listener that notes a session and the size of its identity map."""

        def note(session: Session) -> None:
            recording, tracked = self._recording, self._watch.sessions.of(session)
            if recording is not None and tracked is not None:
                recording.add(kind, tracked.number, len(session.identity_map))

        return note

    def _begun(self, session: Session, _transaction: object, _connection: object) -> None:
        self._session("began")(session)

    def _flushed(self, session: Session, _: object) -> None:
        recording, tracked = self._recording, self._watch.sessions.of(session)
        if recording is not None and tracked is not None:
            counts = (len(session.new), len(session.dirty), len(session.deleted), len(session.identity_map))
            recording.add("flushed", tracked.number, counts)

    def _executing(
        self,
        _connection: object,
        _cursor: object,
        _statement: object,
        _parameters: object,
        context: Any,  # noqa: ANN401 - ExecutionContext
        _many: object,
    ) -> None:
        if context is not None:
            context.dbparity_began = perf_counter()

    def _executed(
        self,
        connection: Connection,
        cursor: Any,  # noqa: ANN401 - the driver's
        statement: str,
        parameters: Any,  # noqa: ANN401 - the driver's
        context: Any,  # noqa: ANN401 - ExecutionContext
        many: bool,  # noqa: FBT001 - the event's
    ) -> None:
        recording = self._recording
        if recording is None or is_own(connection.dialect):
            return
        rows, session = cursor.rowcount, self._writes.session_on(connection)
        detail = self._statement(connection.engine, statement, parameters, context, many, rows=rows)
        recording.add("statement", session, detail)
        self._vanished.executed(session, context, rows)

    def _failed(self, failure: ExceptionContext) -> None:
        recording, engine = self._recording, failure.engine
        if recording is None or engine is None or failure.statement is None or is_own(engine.dialect):
            return
        error = f"{type(failure.original_exception).__name__}: {failure.original_exception}"
        given: Any = failure.parameters
        detail = self._statement(
            engine, failure.statement, given, failure.execution_context, isinstance(given, list), error=error
        )
        session = self._writes.session_on(failure.connection) if failure.connection is not None else None
        recording.add("failed", session, detail)

    def _statement(
        self,
        engine: Engine,
        text: str,
        parameters: Any,  # noqa: ANN401 - the driver's
        context: Any,  # noqa: ANN401 - ExecutionContext
        many: bool,  # noqa: FBT001 - the event's
        *,
        rows: int = -1,
        error: str = "",
    ) -> Statement:
        given = getattr(context, "compiled_parameters", None)
        executions = len(parameters) if many else 1
        first = given[0] if given else parameters[0] if many and parameters else parameters
        began = getattr(context, "dbparity_began", None)
        seconds = perf_counter() - began if began is not None else 0.0
        return Statement(text, first, executions, seconds, rows, self._number(engine), error)

    def _number(self, engine: Engine) -> int:
        known = self._engines.get(engine)
        if known is None:
            known = self._engines[engine] = (next(self._numbers), str(identity_of(engine.url)))
        number, database = known
        if self._recording is not None:
            self._recording.engines[number] = database
        return number

    def _bare(self, kind: str) -> Callable[[Connection], None]:
        """A listener for transactions of connections that no session uses."""

        def note(connection: Connection) -> None:
            recording = self._recording
            if recording is None or is_own(connection.dialect):
                return
            if self._writes.session_on(connection) is None:
                recording.add(kind, None, None)

        return note

    def _taken(self, _: object, entry: ConnectionPoolEntry, proxy: PoolProxiedConnection) -> None:
        if is_ours(pool_of(proxy)):
            return
        number = self._connections.get(entry)
        if number is None:
            number = self._connections[entry] = next(self._counted)
        if self._recording is not None:
            self._recording.add("checkout", None, number)

    def _returned(self, _: object, entry: ConnectionPoolEntry) -> None:
        number = self._connections.get(entry)
        if number is not None and self._recording is not None:
            self._recording.add("checkin", None, number)

    def _note_gone(self, lines: list[str], session: int | None) -> None:
        if self._recording is not None:
            self._recording.add("gone", session, lines)
