"""Who is in the way when tables are to be emptied: the transaction that a test has left open, by name."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.pool import Pool

from dbparity.config import Strictness
from dbparity.findings import Finding
from dbparity.sessions.backends import backend_of
from dbparity.targets import identity_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

    from dbparity.isolation.slate import BlockedError, Slate
    from dbparity.sessions.registry import TrackedSession
    from dbparity.targets import Identity
    from dbparity.watch import RunningTest, Watch

BLOCKED = "blocked-cleaning"


class Blocked:
    """Knows which server processes this process has opened, and whose sessions use them."""

    def __init__(self, watch: Watch, slate: Slate, identities: Collection[Identity]) -> None:
        self._watch = watch
        self._slate = slate
        self._identities = identities
        self._pids: set[int] = set()

    def start(self) -> None:
        """Note the server process of every connection that is lent."""
        event.listen(Pool, "checkout", self._lent)

    def stop(self) -> None:
        """Note no more."""
        event.remove(Pool, "checkout", self._lent)

    def report(self, error: BlockedError, test: RunningTest) -> bool:
        """Name who holds the locks, and end those that this process has opened; False where there is none of them."""
        sessions = dict(self._in_transaction())
        evidence = []
        for each in error.blockers:
            owner = sessions.get(each.pid)
            evidence.append(f"{each.words}{f'; it is {owner}' if owner else ''}")
        if not any(each.pid for each in error.blockers):
            evidence += [f"in a transaction: {each}" for each in sessions.values()]
        ours = {each.pid for each in error.blockers if each.pid} & self._pids
        self._slate.end(ours)
        self._watch.report(
            Finding(
                BLOCKED,
                f"the rows of {test.nodeid} could not be deleted: a transaction was left open.",
                tuple(evidence),
                "Close the session or end its transaction before the test ends."
                + (" Its connection was closed." if ours else ""),
                Strictness.FAIL,
            )
        )
        return bool(ours)

    def _in_transaction(self) -> Iterator[tuple[int | None, TrackedSession]]:
        for session, tracked in self._watch.sessions.live():
            with suppress(Exception):  # a session in any state: it is evidence only
                if (
                    session.in_transaction()
                    and identity_of(session.get_bind().engine.url) in self._identities
                ):
                    # In a transaction it has a connection already: nothing is opened here.
                    yield backend_of(session.connection().connection.dbapi_connection), tracked

    def _lent(
        self, connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: PoolProxiedConnection
    ) -> None:
        info: dict[Any, Any] = record.info
        pid = info.get(BLOCKED)
        if pid is None:
            pid = info[BLOCKED] = backend_of(connection) or 0
        self._pids.add(pid)
