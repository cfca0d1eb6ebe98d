"""Every connection that is out of its pool, and who took it out."""

from __future__ import annotations

import threading
import time
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine
from sqlalchemy.engine import AdaptedConnection
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool

from dbparity.guard import Listeners
from dbparity.origin import Origin, caller
from dbparity.request import Request, current_request
from dbparity.sessions.backends import backend_of
from dbparity.sessions.pools import is_ours, pool_of

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.orm import SessionTransaction
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

    from dbparity.sessions.registry import TrackedSession
    from dbparity.watch import RunningTest, Watch

WIDE = frozenset({"class", "module", "package", "session"})
"""Scopes of fixtures that outlive a test."""


@dataclass(frozen=True, eq=False, slots=True)
class Begin:
    """A transaction that a test began on a connection which outlives it."""

    test: RunningTest | None
    origin: Origin | None
    connection: weakref.ref[Connection]


@dataclass(eq=False, slots=True)
class Checkout:
    """A connection that was taken out of its pool."""

    record: ConnectionPoolEntry
    proxy: weakref.ref[PoolProxiedConnection]
    pool: Pool
    test: RunningTest | None
    request: Request | None
    origin: Origin | None
    """The user's line that needed it."""
    fixture: tuple[str, str] | None
    """Name and scope of the fixture that was being set up."""
    thread: int = field(default_factory=threading.get_ident)
    since: float = field(default_factory=time.perf_counter)
    session: TrackedSession | None = None
    """The session that works on it."""
    in_transaction: bool = False
    """Whether SQLAlchemy has begun something on it that is not over."""
    begin: Begin | None = None
    """The transaction on it, where another than its own test began that."""

    @property
    def is_wide(self) -> bool:
        """Whether a fixture that outlives the test took it, while it was set up."""
        return self.fixture is not None and self.fixture[1] in WIDE

    @property
    def is_async(self) -> bool:
        """Whether its driver is: then neither a finaliser nor a thread can give it back."""
        return isinstance(self.record.dbapi_connection, AdaptedConnection)

    @property
    def connection(self) -> Any:  # noqa: ANN401 - any driver's
        """The driver's connection, or its adapter; None once it is closed."""
        proxy = self.proxy()
        return proxy.dbapi_connection if proxy is not None else None


class Checkouts:
    """What is out now, kept by the events of every pool of the process."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.out: dict[ConnectionPoolEntry, Checkout] = {}
        self.dropped: list[Checkout] = []
        """Connections of async drivers that the garbage collector took: nobody ever gave them back."""
        self.orphaned: list[Checkout] = []
        """What fixtures that outlive a test had not given back when they were torn down."""
        self.backends: dict[int, str] = {}
        """The server processes that engines of this process have connected to, and who was first to do so."""
        self.fixtures: list[tuple[str, str]] = []
        """The fixtures that are being set up now, the innermost last."""

        self.listeners = Listeners(
            watch.guard("leak"),
            (Pool, "connect", self._connected),
            (Pool, "checkout", self._taken),
            (Pool, "checkin", self._given_back),
            (Pool, "detach", self._detached),
            (Session, "after_begin", self._begun),
            (Engine, "begin", self._core_begun),
            (Engine, "commit", self._core_ended),
            (Engine, "rollback", self._core_ended),
        )

    def of(self, test: RunningTest) -> list[Checkout]:
        """What this test took and has not given back, oldest first."""
        return [each for each in list(self.out.values()) if each.test is test and not each.is_wide]

    def begun_by(self, test: RunningTest) -> list[Checkout]:
        """On which connections that outlive this test a transaction of its own is open."""
        return [each for each in list(self.out.values()) if each.begin and each.begin.test is test]

    def orphan(self, fixture: tuple[str, str]) -> None:
        """A fixture is torn down: what it has out now, it will never give back."""
        if fixture[1] in WIDE:
            self.orphaned += [each for each in list(self.out.values()) if each.fixture == fixture]

    @property
    def _is_wide(self) -> bool:
        return bool(self.fixtures) and self.fixtures[-1][1] in WIDE

    def _connected(self, connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:  # noqa: ARG002
        if pid := backend_of(connection):
            test, line = self._watch.test, caller()
            who = test.nodeid if test else "code outside of any test"
            self.backends[pid] = f"{who}{f' at {line}' if line else ''}"

    def _taken(
        self,
        connection: DBAPIConnection,  # noqa: ARG002 - the event's signature
        record: ConnectionPoolEntry,
        proxy: PoolProxiedConnection,
    ) -> None:
        pool = pool_of(proxy)
        if is_ours(pool):
            return
        fixture = self.fixtures[-1] if self.fixtures else None
        self.out[record] = Checkout(
            record, weakref.ref(proxy), pool, self._watch.test, current_request(), caller(), fixture
        )

    def _given_back(self, connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:  # noqa: ARG002
        self.out.pop(record, None)

    def _detached(self, connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        checkout = self.out.pop(record, None)
        if checkout is not None and checkout.proxy() is None and isinstance(connection, AdaptedConnection):
            self.dropped.append(checkout)

    def _begun(self, session: Session, transaction: SessionTransaction, connection: Connection) -> None:  # noqa: ARG002
        checkout = self._on(connection)
        if checkout is not None:
            checkout.session = self._watch.sessions.of(session)

    def _core_begun(self, connection: Connection) -> None:
        checkout, test = self._on(connection), self._watch.test
        if checkout is None:
            return
        checkout.in_transaction = True
        if (checkout.test is not test or checkout.is_wide) and not self._is_wide:
            checkout.begin = Begin(test, caller(), weakref.ref(connection))

    def _core_ended(self, connection: Connection) -> None:
        checkout = self._on(connection)
        if checkout is not None:
            checkout.begin = None
            checkout.in_transaction = False

    def _on(self, connection: Connection) -> Checkout | None:
        if connection.closed or connection.invalidated:
            return None
        record: Any = getattr(connection.connection, "_connection_record", None)
        return self.out.get(record)
