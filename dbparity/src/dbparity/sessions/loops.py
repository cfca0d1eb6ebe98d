"""An engine bound to one event loop and used on another, caught before the driver breaks the connection.

asyncpg (and the MySQL drivers) tie a connection to the loop that it was made on. Used on another one it fails
with "attached to a different loop", goes back to the pool broken, and every later test that gets it fails with
"another operation is in progress". So the connection is thrown away here, and a fresh one made on the loop that
runs. psycopg and aiosqlite work on any loop; there it is SQLAlchemy's queue of a pool, and its lock of a
connection, that belong to the loop which first had to wait for them. They are set free.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import AdaptedConnection
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import Pool

from dbparity.config import Strictness
from dbparity.findings import Finding
from dbparity.guard import Listeners
from dbparity.isolation.discard import discard
from dbparity.origin import Origin, caller
from dbparity.request import Request, current_request
from dbparity.sessions.loop import loop_here
from dbparity.sessions.pools import driver_of, is_facade, is_ours, pool_of
from dbparity.watch import Detector

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

    from dbparity.watch import RunningTest, Watch

TIED = frozenset({"asyncpg", "asyncmy", "aiomysql", "aioodbc"})
"""Drivers whose connections work on one loop only."""
BIRTH = "dbparity_loop"


@dataclass(frozen=True)
class Birth:
    """When and where a connection was made."""

    loop: weakref.ref[AbstractEventLoop]
    test: str
    request: Request | None
    origin: Origin | None

    def __str__(self) -> str:
        who = self.test or "code that ran outside of any test"
        request = f" in {self.request}" if self.request else ""
        line = f" at {self.origin}" if self.origin else ""
        return f"{who}{request}{line}"


class Loops(Detector):
    """Notices connections that are taken out of their pool on another event loop than they were made on."""

    name = "loop"

    def __init__(self) -> None:
        self._watch: Watch | None = None
        self._told: set[int] = set()

    def start(self, watch: Watch) -> None:
        """Listen to every pool of the process."""
        self._watch = watch
        self._listeners = Listeners(
            watch.guard(self.name),
            (Pool, "connect", self._connected),
            (Pool, "checkout", self._checked_out),
            (Pool, "close", self._closing),
        )
        self._listeners.add()

    def stop(self) -> None:
        """Listen no more."""
        self._listeners.remove()
        self._watch = None

    def test_began(self, test: RunningTest) -> None:  # noqa: ARG002 - whichever it is
        """A test is told once of each engine."""
        self._told.clear()

    def _connected(self, connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        if isinstance(connection, AdaptedConnection) or is_facade(connection):
            record.info[BIRTH] = self._born()

    def _born(self) -> Birth | None:
        loop = loop_here()
        test = self._watch.test if self._watch else None
        nodeid = test.nodeid if test else ""
        return Birth(weakref.ref(loop), nodeid, current_request(), caller()) if loop else None

    def _checked_out(
        self, connection: DBAPIConnection, record: ConnectionPoolEntry, proxy: PoolProxiedConnection
    ) -> None:
        birth: Birth | None = record.info.get(BIRTH)
        loop = loop_here() if birth is not None else None
        if birth is None or loop is None or birth.loop() is loop:
            return
        pool = pool_of(proxy)
        if not is_ours(pool):
            self._crossed(connection, record, pool, birth)

    def _closing(self, connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        """Close what `engine.dispose()` on another loop cannot: it would log errors and leave the socket open."""
        birth: Birth | None = record.info.pop(BIRTH, None)
        tied = type(getattr(connection, "driver_connection", None)).__module__.partition(".")[0] in TIED
        if birth is not None and tied and birth.loop() is not loop_here():
            discard(record)
            record.dbapi_connection = _Closed()  # type: ignore[assignment, misc] # closed in its stead

    def _crossed(
        self, connection: DBAPIConnection, record: ConnectionPoolEntry, pool: Pool, birth: Birth
    ) -> None:
        loop = loop_here()
        driver = driver_of(pool)
        freed = [each for each in _primitives(pool, connection) if _set_free(each, loop)]
        if is_facade(connection):
            if driver in TIED:
                self._report(pool, _protected(birth, driver))
        elif driver in TIED:
            self._report(pool, _tied(birth, driver))
            discard(record)
            raise DisconnectionError(f"made on another event loop, by {birth}")
        elif freed:
            self._report(pool, _waited(birth, driver))
        record.info[BIRTH] = self._born()

    def _report(self, pool: Pool, finding: Finding) -> None:
        if self._watch is not None and id(pool) not in self._told:
            self._told.add(id(pool))
            self._watch.report(_completed(finding, self._watch.test))


class _Closed:
    """Stands where a connection was that has been closed already."""

    def close(self) -> None:
        """Nothing is left to close."""

    terminate = close


def _tied(birth: Birth, driver: str) -> Finding:
    evidence = (
        f"{driver} ties a connection to the event loop it was made on; that one {_fate(birth)}",
        (
            'left alone, this fails with "attached to a different loop", and the tests after it with '
            '"another operation is in progress"'
        ),
        "the connection was replaced by one made on this loop",
    )
    return _finding(birth, f"a connection that {birth} opened", evidence, Strictness.FAIL)


def _protected(birth: Birth, driver: str) -> Finding:
    evidence = (
        f"{driver} ties a connection to the event loop it was made on; that one {_fate(birth)}",
        (
            "it works only because savepoint isolation leads every engine to one connection, which is dbparity's "
            "own; under real commits it breaks"
        ),
    )
    return _finding(birth, f"a connection that {birth} opened", evidence, Strictness.WARN)


def _waited(birth: Birth, driver: str) -> Finding:
    evidence = (
        (
            f"{driver} works on any loop, but a pool belongs to the loop that first had to wait for it; that one "
            f"{_fate(birth)}"
        ),
        'left alone, the next wait here fails with "is bound to a different event loop"; it was set free',
    )
    return _finding(birth, f"a pool whose connection {birth} opened", evidence, Strictness.FAIL)


def _finding(birth: Birth, subject: str, evidence: tuple[str, ...], strictness: Strictness) -> Finding:
    return Finding(Loops.name, subject, evidence, _remedy(birth), strictness)


def _completed(finding: Finding, test: RunningTest | None) -> Finding:
    """The sentence's second half: who uses it now."""
    request = current_request()
    user = test.nodeid if test else "code outside of any test"
    within = f" in {request}" if request else ""
    line = caller()
    where = f" at {line}" if line else ""
    message = f"{finding.message} on one event loop is used by {user}{within}{where} on another"
    return replace(finding, message=message)


def _fate(birth: Birth) -> str:
    loop = birth.loop()
    if loop is None or loop.is_closed():
        return "is closed by now"
    return "runs elsewhere" if loop.is_running() else "does not run any more"


def _remedy(birth: Birth) -> str:
    if birth.request is not None:
        return (
            "one loop for all requests: `with TestClient(app) as client:` (without `with`, each request has a "
            "loop of its own), or httpx's ASGITransport in an async test"
        )
    return (
        "make the engine in a function-scoped fixture, or dispose of it when the test's loop ends, or give it "
        'poolclass=NullPool in tests, or give the tests one loop (loop_scope="session")'
    )


def _primitives(pool: Pool, connection: object) -> list[Any]:
    """SQLAlchemy's asyncio primitives, if they are in use: the pool's queue, the connection's lock."""
    waiting = getattr(pool, "_pool", None)
    queue = getattr(waiting, "__dict__", {}).get("_queue")
    return [each for each in (queue, getattr(connection, "_execute_mutex", None)) if each is not None]


def _set_free(primitive: Any, loop: AbstractEventLoop | None) -> bool:  # noqa: ANN401 - asyncio's Queue or Lock
    bound: AbstractEventLoop | None = getattr(primitive, "_loop", None)
    if bound is None or bound is loop or bound.is_running():
        return False
    primitive._loop = None  # noqa: SLF001 - as it was before anybody waited
    return True
