"""What savepoint isolation has to say: whose changes stand in whose way, and what it could not do as asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbparity.config import Strictness
from dbparity.findings import Finding
from dbparity.isolation.drivers import LOCK_SECONDS
from dbparity.origin import caller
from dbparity.request import current_request
from dbparity.sqlstate import LOCK_NOT_AVAILABLE, sqlstate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from dbparity.isolation.segments import Segment, Transaction
    from dbparity.observer import Observer
    from dbparity.watch import RunningTest, Watch

NOTES = "savepoint"
CONFLICT = "isolation-conflict"
DIRTY_VIEW = "dirty-view"
LIMIT = "savepoint-limit"
OTHERWISE = 'Mark the test with @pytest.mark.dbparity(isolation="delete") or (isolation="clone").'

_BLOCKERS = (
    "SELECT DISTINCT a.pid, coalesce(nullif(a.application_name, ''), a.usename::text), a.state, "
    "extract(epoch FROM clock_timestamp() - a.xact_start)::int, left(a.query, 100) "
    "FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.granted AND l.relation IS NOT NULL "
    "AND a.datname = current_database() AND a.xact_start IS NOT NULL AND a.pid <> pg_backend_pid() AND a.pid <> {pid}"
)


class IsolationConflictError(RuntimeError):
    """Two sessions want what one real transaction cannot give them both."""


class Witness:
    """Speaks for the isolation of one test after the other."""

    def __init__(self, watch: Watch, observer: Observer) -> None:
        self._watch = watch
        self._observer = observer
        self._told: set[str] = set()
        self.test: RunningTest | None = None

    def watches(self, test: RunningTest | None) -> None:
        """Another test begins, or none."""
        self.test = test
        self._told.clear()

    def who(self) -> str:
        """Name whoever runs this, for a sentence."""
        origin, request = caller(), current_request()
        return f"{request or 'the test itself'}{f' at {origin}' if origin else ''}"

    def note(self, text: str) -> None:
        """Keep with the test what was asked and could not be done."""
        if self.test is not None and text not in self._told:
            self._told.add(text)
            self.test.notes.setdefault(NOTES, []).append(text)

    def waited_in_vain(self, seconds: float, others: Sequence[Transaction]) -> None:
        """Keep with the test that somebody has neither committed nor rolled back for so long."""
        theirs = ", ".join(dict.fromkeys(each.by for each in others))
        self.note(
            f"{self.who()} waited {seconds:g} s before its first change for what {theirs} had changed to be committed "
            "or rolled back, and went on without."
        )

    def limit(self, message: str, remedy: str = OTHERWISE) -> None:
        """Report that something differs from a real connection of its own."""
        if message not in self._told:
            self._told.add(message)
            self._watch.report(Finding(LIMIT, message, remedy=remedy, strictness=Strictness.WARN))

    def conflict(self, loser: str, others: Iterable[Segment]) -> IsolationConflictError:
        """Report a rollback that cannot be done, and make the error for it."""
        theirs = "; ".join(dict.fromkeys(f"{each.by} changed {_tables(each.tables)}" for each in others))
        message = (
            f"{loser} wants to roll back what it changed, and cannot under savepoint isolation: on the same real "
            f"transaction, afterwards, {theirs}. That would be undone with it. In production each has a "
            "transaction of its own."
        )
        self._watch.report(Finding(CONFLICT, message, remedy=OTHERWISE, strictness=Strictness.WARN))
        return IsolationConflictError(f"{message} {OTHERWISE}")

    def dirty_view(self, words: frozenset[str], uncommitted: Sequence[Segment]) -> None:
        """Report a statement that sees another session's uncommitted changes."""
        for segment in uncommitted:
            seen = segment.tables & words
            key = f"{DIRTY_VIEW} {segment.by}"
            if seen and key not in self._told:
                self._told.add(key)
                self._watch.report(
                    Finding(
                        DIRTY_VIEW,
                        f"{self.who()} reads {_tables(seen)}, which {segment.by} has changed and not committed: it "
                        "sees those changes here, and would not in production.",
                        remedy='Commit before somebody else is to see it, or isolate by "delete" or "clone".',
                        strictness=Strictness.WARN,
                    )
                )

    def explain_lock(self, error: BaseException, pid: int) -> None:
        """Say in the error of a lock that could not be had who may hold it."""
        if sqlstate(error) != LOCK_NOT_AVAILABLE:
            return
        try:
            holders = self._observer.call(lambda connection: _holders(connection, pid))
        except Exception as failure:  # noqa: BLE001 - the error itself matters more
            holders = [f"(the server could not be asked: {failure})"]
        told = "; ".join(holders) or "nobody who is still connected"
        message = (
            f"{error.args[0] if error.args else error}\nA lock was waited for longer than {LOCK_SECONDS} s. "
            f"Transactions open on this database outside of the test's own: {told}."
        )
        error.args = (message, *error.args[1:])


def _holders(connection: Connection, pid: int) -> list[str]:
    rows: Sequence[Any] = connection.exec_driver_sql(_BLOCKERS.format(pid=int(pid))).all()
    return [f"pid {row[0]} ({row[1]}, {row[2]}, for {row[3]} s): {row[4]}" for row in rows]


def _tables(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "something"
