"""Connections, and the transactions on them, that outlive the test that took them.

Looked at when the last of the test's own fixtures is torn down. What a fixture of a wider scope took while it was
set up is not the test's; what the test took through an object that outlives it, is. Nothing is waited for: what
is found is named, then closed, so that the next test does not meet its locks.
"""

from __future__ import annotations

import gc
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from dbparity.sessions.backends import backend_of, described
from dbparity.sessions.checkouts import Checkout, Checkouts
from dbparity.sessions.leak_words import NAME, begin_finding, left_finding, orphan_finding, server_finding
from dbparity.sessions.release import release, roll_back
from dbparity.watch import Detector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbparity.provision.database import TestDatabase
    from dbparity.watch import RunningTest, Watch


class Leaks(Detector):
    """Names what a test has not given back, and gives it back."""

    name = NAME

    def __init__(self) -> None:
        self._watch: Watch | None = None
        self._checkouts: Checkouts | None = None
        self._databases: set[TestDatabase] = set()
        self._now = 0.0

    def start(self, watch: Watch) -> None:
        """Listen to every pool of the process."""
        self._watch = watch
        self._checkouts = Checkouts(watch)
        self._checkouts.listeners.add()

    def stop(self) -> None:
        """Listen no more."""
        if self._checkouts is not None:
            self._checkouts.listeners.remove()
        self._watch = self._checkouts = None

    def fixture_began(self, name: str, scope: str) -> None:
        """What it takes is its own, and lives as long as it does."""
        if self._checkouts is not None:
            self._checkouts.fixtures.append((name, scope))

    def fixture_ended(self, name: str, scope: str) -> None:  # noqa: ARG002 - the innermost ends first
        """The fixture below it goes on."""
        if self._checkouts is not None and self._checkouts.fixtures:
            self._checkouts.fixtures.pop()

    def fixture_finalized(self, name: str, scope: str) -> None:
        """What it has not given back by now is a leak of its own."""
        if self._checkouts is not None:
            self._checkouts.orphan((name, scope))

    def run_ended(self) -> None:
        """Ask the server what no pool knows of any more."""
        backends = self._checkouts.backends if self._checkouts is not None else {}
        for database in self._databases:
            for pid, line in described(database, list(backends)).items():
                if self._watch is not None:
                    self._watch.report(server_finding(backends[pid], line))

    def test_ended(self, test: RunningTest) -> None:
        """Report what is left, and close it: first what the garbage collector could not give back by itself."""
        checkouts = self._checkouts
        if test.database is not None:
            self._databases.add(test.database)
        if checkouts is None or not (checkouts.out or checkouts.dropped):
            return
        self._outliving(test, checkouts)
        self._now = time.perf_counter()
        dropped, checkouts.dropped = checkouts.dropped, []
        left = checkouts.of(test)
        self._found(test, [each for each in dropped if each.test is test])
        self._found(test, [each for each in left if each.is_async])
        if not all(each.is_async for each in left):
            gc.collect()
            self._found(test, checkouts.of(test))

    def _outliving(self, test: RunningTest, checkouts: Checkouts) -> None:
        """What is wrong on connections that are not this test's."""
        orphaned, checkouts.orphaned = checkouts.orphaned, []
        for each in orphaned:
            if each.record in checkouts.out and self._watch is not None:
                self._watch.report(orphan_finding(each))
                self._close(each)
        for each in checkouts.begun_by(test):
            if self._watch is not None:
                self._watch.report(begin_finding(test, each))
            with suppress(Exception):  # the connection may be beyond that
                roll_back(each)
            each.begin = None

    def _found(self, test: RunningTest, left: Sequence[Checkout]) -> None:
        server = described(test.database, [pid for each in left if (pid := backend_of(each.connection))])
        for each in left:
            if self._watch is not None:
                self._watch.report(
                    left_finding(test, each, server.get(backend_of(each.connection) or 0, ""), self._now)
                )
            self._close(each)

    def _close(self, checkout: Checkout) -> None:
        with suppress(Exception):  # a connection that cannot be closed any more is closed
            release(checkout)
        if self._checkouts is not None:
            self._checkouts.out.pop(checkout.record, None)
