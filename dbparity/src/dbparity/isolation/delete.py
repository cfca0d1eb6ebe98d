"""Real commits, and afterwards only the tables that the test has written to are emptied.

Rows that were there before the first test (put there by migrations) are put back where their table was written
to. Writes that dbparity could not see, from other processes or past SQLAlchemy, are found by looking into the
tables that should be empty. A transaction that somebody left open is named, and not waited for.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from dbparity.config import Strictness
from dbparity.findings import Finding
from dbparity.isolation.blocked import Blocked
from dbparity.isolation.dirty import DirtyTables
from dbparity.isolation.leftovers import Leftovers
from dbparity.isolation.routing import RedirectTo
from dbparity.isolation.slate import SEEDS_MOST, BlockedError
from dbparity.isolation.slates import slate_of
from dbparity.targets import identity_of

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from dbparity.isolation.dirty import Dirt
    from dbparity.isolation.routing import Router
    from dbparity.isolation.slate import Known
    from dbparity.provision.database import TestDatabase
    from dbparity.watch import RunningTest, Watch

UNSEEN_WRITE = "unseen-write"
SCHEMA_CHANGED = "schema-changed"
SEEDS_LOST = "seeds-lost"
RESET = "reset_sequences"
"""The note that asks for sequences as they were: `@pytest.mark.dbparity(reset_sequences=True)`."""
NAMED_MOST = 8


class InMemoryError(ValueError):
    """A database in memory belongs to one connection: nobody else can empty it."""


class DeleteIsolation:
    """Empties what a test has written to, and nothing else."""

    name = "delete"

    def __init__(
        self, database: TestDatabase, router: Router, watch: Watch, *, reset_sequences: bool = False
    ) -> None:
        if identity_of(database.url).is_memory:
            msg = 'A SQLite database in memory cannot be emptied from outside: use isolation = "savepoint".'
            raise InMemoryError(msg)
        self._database = database
        self._router = router
        self._watch = watch
        self._reset = reset_sequences
        self._route = RedirectTo(database.url)
        self._slate = slate_of(database.url)
        self._known: Known | None = None
        identities = (database.identity, identity_of(database.url))
        self._blocked = Blocked(watch, self._slate, identities)
        self._identities = identities
        self._leftovers = Leftovers(identities[1])
        self._dirty: DirtyTables | None = None
        self._last = ""

    @property
    def seeded(self) -> dict[str, int]:
        """The tables that had rows before the first test, and how many: these are put back."""
        return {key: len(rows) for key, rows in self._known.seeds.items()} if self._known else {}

    def begin(self, test: RunningTest) -> URL:
        """Lead every engine to the database; the first test finds out what it is to look like."""
        if self._dirty is None:
            self._known = self._slate.learn()
            self._dirty = DirtyTables(self._known.names, self._identities)
            self._dirty.start()
            self._blocked.start()
            leftover = self._leftovers.begin(self.seeded)
            if leftover is not None:
                self._watch.report(leftover)
        if self._reset or test.notes.get(RESET):
            self._slate.reset_sequences()
        self._router.lead(self._database.identity, self._route)
        return self._route.url

    def end(self, test: RunningTest) -> None:
        """Empty what the test has written to; look for what it wrote unseen."""
        if self._dirty is None or self._known is None:
            return
        dirt, self._last = self._dirty.take(), test.nodeid
        if dirt.schema:
            self._learn_anew(test)
        try:
            self._empty(self._known, dirt, test)
        except BlockedError as error:
            self._unblock(self._known, error, dirt, test)

    def close(self) -> None:
        """Look a last time, also at the rows that were there before the first test."""
        if self._dirty is not None and self._known is not None:
            self._dirty.stop()
            self._blocked.stop()
            self._look_at_seeds(self._known)
            self._leftovers.end()
        self._router.release()
        self._slate.close()
        self._dirty = None

    def _empty(self, known: Known, dirt: Dirt, test: RunningTest) -> None:
        dirty = dirt.tables | (known.seeds.keys() if dirt.anything else set())
        lost = sorted(dirt.tables & known.too_large)
        self._slate.empty(known, known.reached(dirty))
        unseen = self._slate.filled(known)
        if unseen:
            strangers = [] if dirt.anything else self._slate.strangers()
            self._slate.empty(known, known.reached(unseen))
            if not dirt.anything:
                self._report_unseen(sorted(unseen), strangers, test)
        if lost:
            self._report_lost(lost, test)

    def _unblock(self, known: Known, error: BlockedError, dirt: Dirt, test: RunningTest) -> None:
        if self._dirty is None:
            return
        self._dirty.dirt.add(dirt)  # the next test's end tries again
        if self._blocked.report(error, test):
            with suppress(BlockedError):
                self._empty(known, dirt, test)
                self._dirty.take()

    def _learn_anew(self, test: RunningTest) -> None:
        before = self._known
        if before is None or self._dirty is None:
            return
        now = self._known = self._slate.relearn(before)
        self._dirty.know(now.names)
        made, gone = sorted(now.tables.keys() - before.tables), sorted(before.tables.keys() - now.tables)
        changes = [f"made {', '.join(made)}"] * bool(made) + [f"dropped {', '.join(gone)}"] * bool(gone)
        if changes:
            self._watch.report(
                Finding(
                    SCHEMA_CHANGED,
                    f"{test.nodeid} has {' and '.join(changes)}: later tests have another schema than it had.",
                    remedy='Run it with @pytest.mark.dbparity(isolation="clone"): rows are emptied, tables stay.',
                    strictness=Strictness.FAIL,
                )
            )

    def _report_unseen(self, tables: list[str], strangers: list[str], test: RunningTest) -> None:
        self._watch.report(
            Finding(
                UNSEEN_WRITE,
                f"rows were written to {_listed(tables)} during {test.nodeid} past SQLAlchemy's engines "
                "of this process; they are deleted.",
                tuple(f"connected: {each}" for each in strangers[:NAMED_MOST]),
                "If another process or a bare driver is meant to write, nothing is wrong. "
                'Else find it: run the test with isolation="clone", where it has no way in.',
                Strictness.WARN,
            )
        )

    def _report_lost(self, tables: list[str], test: RunningTest) -> None:
        self._watch.report(
            Finding(
                SEEDS_LOST,
                f"{test.nodeid} has written to {_listed(tables)}, which had more than {SEEDS_MOST} rows before "
                "the first test: what it did there stays.",
                remedy='Run it with isolation="clone" or "savepoint".',
                strictness=Strictness.FAIL,
            )
        )

    def _look_at_seeds(self, known: Known) -> None:
        altered = sorted(self._slate.altered(known))
        if not altered:
            return
        self._watch.report(
            Finding(
                UNSEEN_WRITE,
                f"the rows that {_listed(altered)} had before the first test were changed during this run past "
                "SQLAlchemy's engines of this process; they are put back.",
                remedy="Look at what starts other processes, or uses a driver directly.",
                test=self._last,
            )
        )
        self._slate.empty(known, known.reached(altered))


def _listed(tables: list[str]) -> str:
    more = f" and {len(tables) - NAMED_MOST} more" if len(tables) > NAMED_MOST else ""
    return ", ".join(tables[:NAMED_MOST]) + more
