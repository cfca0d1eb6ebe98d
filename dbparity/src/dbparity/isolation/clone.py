"""A database for each test, or each module: a copy of a template, led to and dropped afterwards.

Everything is real: commits, several connections, deferred constraints, sequences that begin at one. A copy that
nobody has connected to is handed to the next test; that of a failed test is kept, and said how to get into.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from dbparity.config import Strictness
from dbparity.isolation.routing import RedirectTo
from dbparity.observer import Observer
from dbparity.provision.databases import Note

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from dbparity.isolation.routing import Router
    from dbparity.provision.database import TestDatabase
    from dbparity.provision.templates import Templates
    from dbparity.watch import RunningTest, Watch

NOTE = "clone"
"""Where a failing test's lines are, in `RunningTest.notes`."""
KEPT_MOST = 10
"""How many clones a process keeps: a suite in which everything fails shall not fill the disk."""

Scope = Literal["test", "module"]


@dataclass(eq=False)
class Clone:
    """A copy of the template, and who works on it."""

    name: str
    route: RedirectTo
    observer: Observer
    place: str = ""
    """The test, or the module."""
    failed: list[str] = field(default_factory=list)
    """The tests that have failed on it."""


class CloneIsolation:
    """Gives every test, or every module, a database of its own."""

    name = "clone"

    def __init__(
        self,
        database: TestDatabase,
        router: Router,
        watch: Watch,
        templates: Templates,
        *,
        scope: Scope = "test",
    ) -> None:
        self.scope = scope
        self.kept: list[str] = []
        """Lines for the end of the run: each database that is kept, and the way in."""
        self._database = database
        self._router = router
        self._watch = watch
        self._templates = templates
        self._databases = templates.databases
        self._clone: Clone | None = None

    def begin(self, test: RunningTest) -> URL:
        """Lead every engine to this test's, or this module's, own database."""
        place = test.nodeid if self.scope == "test" else test.nodeid.partition("::")[0]
        if self._clone is not None and self._clone.place not in ("", place):
            self._retire(self._clone)
        clone = self._clone = self._clone or self._fresh()
        clone.place = place
        self._router.lead(self._database.identity, clone.route)
        test.database = replace(self._database, url=clone.route.url, observer=clone.observer)
        test.notes[NOTE] = self._way_in(clone)
        return clone.route.url

    def end(self, test: RunningTest) -> None:
        """Drop the database, unless its test has failed or the next one can have it."""
        clone = self._clone
        if clone is None:
            return
        self._router.release()
        if _has_failed(test):
            clone.failed.append(test.nodeid)
        else:
            test.notes.pop(NOTE, None)
        if self.scope == "module":
            return
        if self._databases.is_untouched(clone.name):
            clone.place = ""
            clone.failed.clear()
        else:
            self._retire(clone)

    def close(self) -> None:
        """Drop what is left."""
        if self._clone is not None:
            self._retire(self._clone)

    def _fresh(self) -> Clone:
        name, url = self._templates.clone()
        return Clone(name, RedirectTo(url), Observer(url))

    def _retire(self, clone: Clone) -> None:
        self._clone = None
        clone.observer.close()
        if clone.failed and len(self.kept) < KEPT_MOST:
            self._databases.keep(clone.name, Note("kept", clone.failed[0], time.time()))
            self.kept.append(f"{clone.failed[0]}: {self._databases.way_in(clone.name)}")
        else:
            self._databases.drop(clone.name)

    def _way_in(self, clone: Clone) -> list[str]:
        if len(self.kept) >= KEPT_MOST:
            return [f"Its database is dropped: those of {KEPT_MOST} failed tests are kept already."]
        return [
            f"Its database {clone.name} is kept until the next run. The way in:",
            f"    {self._databases.way_in(clone.name)}",
            "Drop it and its like with: dbparity orphans --drop",
        ]


def _has_failed(test: RunningTest) -> bool:
    return test.failed or any(each.strictness is Strictness.FAIL for each in test.findings)
