"""Stale reads: what a session shows is not what is committed.

Two ways to find them. Where a SELECT meets a row that differs from the object it is matched to, at once
(`stale_select`). And at the boundaries of requests and tests, by comparing the objects that sessions still hold
with the committed rows (`stale_held`): what was stale after a request and was never refreshed until the test was
through is reported.
"""

from __future__ import annotations

import gc
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from dbparity.findings import Finding
from dbparity.observer import is_own
from dbparity.sessions.look import look
from dbparity.sessions.rows import rows
from dbparity.sessions.stale_held import Stale, compare, held_by
from dbparity.sessions.stale_select import MOST, NAME, REMEDY, IgnoredRows, named, tables_of, writer
from dbparity.sessions.values import shown
from dbparity.sessions.writes import Writes
from dbparity.targets import Identity, identity_of
from dbparity.watch import Detector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbparity.request import Request
    from dbparity.sessions.registry import TrackedSession
    from dbparity.watch import RunningTest, Watch


class StaleReads(Detector):
    """Compares what sessions show with what is committed."""

    name = NAME

    def __init__(self) -> None:
        self._unread = ""
        self._active: set[Request] = set()
        self._suspects: dict[tuple[int, Any], tuple[Stale, Request | None]] = {}
        self._done: set[tuple[int, Any]] = set()
        self._epoch = 0
        self._blind = False
        self._collected = False

    @property
    def note(self) -> str:
        """What could not be watched, and why, in words; empty where all was."""
        selects = rows.missing and f"SELECTs are not watched for stale objects: {rows.missing}"
        return "; ".join(filter(None, [selects, self._unread]))

    def start(self, watch: Watch) -> None:
        """Watch the rows that the ORM ignores."""
        self._watch = watch
        self._writes = Writes.join(watch)
        self._ignored = IgnoredRows(watch, self._writes)
        rows.add(self._ignored)

    def stop(self) -> None:
        """Leave SQLAlchemy as it was."""
        rows.remove(self._ignored)
        self._writes.leave()

    def test_began(self, test: RunningTest) -> None:  # noqa: ARG002 - whichever it is
        """Nothing is suspect yet."""
        self._active.clear()
        self._suspects.clear()
        self._done.clear()
        self._ignored.forget()
        self._epoch = self._writes.epoch
        self._blind = self._collected = False

    def request_began(self, request: Request) -> None:
        """Its sessions are at work, and none of our business until it has ended."""
        self._active.add(request)

    def request_ended(self, request: Request) -> None:
        """Look at what others hold of the tables that were written since the last look."""
        self._active.discard(request)
        changed = self._writes.since(self._epoch)
        if changed and request.test is not None:
            self._epoch = self._writes.epoch
            for stale in self._alive(self._look(request.test, changed)):
                self._suspects.setdefault((stale.tracked.number, stale.state.key), (stale, request))

    def test_called(self, test: RunningTest) -> None:
        """Report what is stale now, and what was after a request and has never been refreshed."""
        self._conclude(test)

    def test_ended(self, test: RunningTest) -> None:
        """The same for what outlives the fixtures."""
        self._conclude(test)

    def _conclude(self, test: RunningTest) -> None:
        now = {(each.tracked.number, each.state.key): each for each in self._alive(self._look(test, None))}
        found: dict[tuple[int, type], list[tuple[Stale, Request | None]]] = {}
        before = {key: pair for key, pair in self._suspects.items() if not pair[0].refreshed()}
        self._suspects.clear()
        for key in [*before, *(key for key in now if key not in before)]:
            stale, request = before.get(key, (now.get(key), None))
            if stale is None or key in self._done or key in self._ignored.objects:
                continue
            if key not in now and stale.state.session is not None:
                continue  # it was looked at again, and is right now
            self._done.add(key)
            place = (stale.tracked.number, stale.mapper.class_)
            found.setdefault(place, []).append((now.get(key, stale), request))
        for group in found.values():
            self._report(test, group)

    def _look(self, test: RunningTest, changed: set[str] | None) -> list[Stale]:
        """Compare the objects of the tables that changed, or of all, with their rows."""
        held = {} if self._blind else held_by(self._sessions(test), changed, self._writes.uncommitted())
        if not held:
            return []
        try:
            return look(test, lambda connection: compare(connection, held)) or []
        except Exception as error:  # noqa: BLE001 - looking must not fail what is looked at
            self._blind = True
            self._unread = f"held objects were not compared in {test.nodeid}: {type(error).__name__}"
            return []

    def _sessions(self, test: RunningTest) -> Iterator[tuple[Session, TrackedSession]]:
        """The sessions on the database under test that no running request is using."""
        for session, tracked in self._watch.sessions.live():
            if tracked.request not in self._active and means(session, test):
                yield session, tracked

    def _alive(self, found: list[Stale]) -> list[Stale]:
        """Those that somebody holds: an object may be there only because nobody has collected it yet."""
        if found and not self._collected:
            self._collected = True
            gc.collect()
        return [stale for stale in found if stale.state.obj() is not None]

    def _report(self, test: RunningTest, group: list[tuple[Stale, Request | None]]) -> None:
        first, request = group[0]
        many = f" and {len(group) - 1} more" if len(group) > 1 else ""
        since = f" since {request}" if request else ""
        message = (
            f"in {test.nodeid}, {first.tracked} holds {named(first.mapper, first.key)}{many} as it is no longer"
            f"{since}: {_difference(first)}."
        )
        others = [f"{named(each.mapper, each.key)}: {_difference(each)}" for each, _ in group[1:MOST]]
        tables = tables_of(first.mapper)
        others.append(writer(self._writes.of(tables, test.nodeid), first.tracked.number, tables, first.key))
        self._watch.report(Finding(NAME, message, tuple(others), REMEDY))


def means(session: Session, test: RunningTest) -> bool:
    """Whether a session works on the database under test."""
    if test.database is None or not session.identity_map:
        return False
    try:
        bind = session.get_bind()
    except SQLAlchemyError:
        return False
    if is_own(bind.dialect):
        return False
    places = [test.database.base, test.database.url, getattr(test.isolation, "url", None)]
    return _identity(bind.engine.url) in [_identity(place) for place in places if place is not None]


@cache
def _identity(url: URL) -> Identity:
    return identity_of(url)


def _difference(stale: Stale) -> str:
    if not stale.differing:
        return "its row is deleted"
    return ", ".join(
        f"{key} is {shown(key, held)} there and {shown(key, stored)} in the database"
        for key, (held, stored) in stale.differing.items()
    )
