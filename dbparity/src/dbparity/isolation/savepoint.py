"""Isolation by one real transaction a test, rolled back at its end.

Every engine of the application that means the database under test gets, for each connection of its pool, a facade
over the one real connection of this process. Their transactions are virtual: savepoints of the real one
(`dbparity.isolation.segments`). So the application commits, rolls back, nests, and uses as many sessions as in
production, while nothing is ever really committed.

What differs from real commits, and cannot be helped:

- `now()` stands still for the whole test, because the transaction is one.
- Other connections see nothing of the test: another process, an engine with a `creator=`, a second driver (asyncpg
  in the application and psycopg in the test: refused with an error that says so; aiosqlite and pysqlite, or
  psycopg's two dialects, can be mixed).
- A session sees what another has not committed yet. That is reported ("dirty-view") where a statement names a
  table with such changes.
- A rollback is impossible where another session changed something later: IsolationConflictError. In production
  that is ordinary; such a test needs "delete" or "clone". So that it does not happen by chance, a session waits
  before its first change for the open changes of others, if those can go on meanwhile (`turns`): 3 s at most.
- Nobody waits for anybody's locks, and stricter isolation levels have no effect. Sessions take turns, statement by
  statement.
- What lasts for a transaction lasts for the test: SET LOCAL, advisory locks, ON COMMIT DROP. NOTIFY is never sent.
- What lasts for a connection is shared by all: SET, temporary tables, codecs, SQLite's functions and PRAGMAs
  (except query_only). The options of the first engine decide.
- Sequences move on, and a statement that may not run in a transaction (VACUUM, CREATE DATABASE) fails.

Deferred constraints, which other rollback isolation never checks, are checked at each commit of the application,
where the schema has any: PostgreSQL by SET CONSTRAINTS ALL IMMEDIATE in a savepoint, SQLite by foreign_key_check.
They see the uncommitted changes of other sessions as well.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import NullPool

from dbparity.isolation.drivers import differing, driver_of
from dbparity.isolation.facade import Facade
from dbparity.isolation.part import Part
from dbparity.isolation.routing import redirect
from dbparity.isolation.shared import SharedConnection, share
from dbparity.isolation.witness import OTHERWISE, IsolationConflictError, Witness
from dbparity.observer import background_loop, own_engine
from dbparity.targets import identity_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy.engine import URL
    from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect

    from dbparity.isolation.routing import Router
    from dbparity.provision.database import TestDatabase
    from dbparity.watch import RunningTest, Watch

__all__ = ["IsolationConflictError", "SavepointIsolation", "SecondDriverError"]

T = TypeVar("T")


class SecondDriverError(RuntimeError):
    """Two drivers want the database in one test, and a transaction cannot be shared between them."""


class SavepointIsolation:
    """One real connection a driver, kept across tests; one real transaction a test."""

    name = "savepoint"

    def __init__(self, database: TestDatabase, router: Router, watch: Watch) -> None:
        self._database = database
        self._router = router
        self._witness = Witness(watch, database.observer)
        self._connections: dict[str, SharedConnection] = {}
        self._active: SharedConnection | None = None
        """What this test's engines share, once one of them has connected."""
        self._claimed_by = ""
        self._opening = threading.Lock()
        self._parts: WeakSet[Part] = WeakSet()
        self._engines: dict[str, Engine | AsyncEngine] = {}
        self.leads_to = identity_of(database.url)

    def begin(self, test: RunningTest) -> URL:
        """Lead the engines here; the transaction begins with the first statement."""
        self._witness.watches(test)
        self._active = None
        self._router.lead(self._database.identity, self)
        return self._database.url

    def end(self, test: RunningTest) -> None:
        """Roll back, whatever the test has left open."""
        self._router.release()
        for part in list(self._parts):
            part.end(test.nodeid)
        if self._active is not None:
            self._active.end()
        self._active = None
        self._witness.watches(None)

    def close(self) -> None:
        """Close the real connections."""
        for each in self._connections.values():
            each.close()
        self._connections.clear()

    def connect(self, dialect: Dialect, arguments: list[Any], options: dict[str, Any]) -> DBAPIConnection:
        """Give an engine a facade for its new connection (called by the router)."""
        redirect(dialect, self._database.url, arguments, options)
        return self._facade(dialect, arguments, options)

    def fresh(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on a sync Connection of its own in the test's transaction; what it does is rolled back."""
        engine = self._own_engine()
        if isinstance(engine, AsyncEngine):
            return background_loop().run(_alone(engine, work))
        with engine.connect() as connection:
            return work(connection)

    def uncommitted(self) -> list[str]:
        """Tell whose changes `fresh` sees although nobody has committed them."""
        segments = self._active.stack.uncommitted() if self._active else []
        return [f"{each.by} ({', '.join(sorted(each.tables)) or 'unknown tables'})" for each in segments]

    @property
    def depth(self) -> int:
        """How many savepoints of ours the real transaction has now."""
        return len(self._active.stack) if self._active else 0

    def _own_engine(self) -> Engine | AsyncEngine:
        """Return an engine of the driver that this test's transaction is on."""
        url, active = self._database.url, self._active
        if active is not None:
            backend = url.get_backend_name()
            url = url.set(drivername=backend if backend == "sqlite" else f"{backend}+{active.driver.family}")
        engine = self._engines.get(url.drivername)
        if engine is None:

            def creator() -> DBAPIConnection:
                return self._own_facade(self._engines[url.drivername])

            engine = self._engines[url.drivername] = own_engine(url, poolclass=NullPool, creator=creator)
        return engine

    def _own_facade(self, engine: Engine | AsyncEngine) -> DBAPIConnection:
        dialect = engine.dialect
        arguments, options = dialect.create_connect_args(engine.url)
        if self._active is not None:
            options = self._active.options
        return self._facade(dialect, arguments, options)

    def _facade(
        self, dialect: Dialect, arguments: Sequence[Any], options: Mapping[str, Any]
    ) -> DBAPIConnection:
        part = Part(dialect, self._shared(dialect, arguments, options), self._witness)
        self._parts.add(part)
        facade: Any = Facade(part)
        return facade  # type: ignore[no-any-return]

    def _shared(
        self, dialect: Dialect, arguments: Sequence[Any], options: Mapping[str, Any]
    ) -> SharedConnection:
        family = driver_of(dialect).family
        with self._opening:
            active = self._active
            if active is None:
                self._claimed_by = self._witness.who()
                active = self._active = self._kept(family, dialect, arguments, options)
        if active.driver.family != family:
            raise self._second(family, active)
        if differs := differing(active.options, options):
            self._witness.limit(
                f"{self._witness.who()} connects with other options ({', '.join(differs)}) than the engine that "
                f"connected first: all share one connection here, which has the first one's."
            )
        return active

    def _kept(
        self, family: str, dialect: Dialect, arguments: Sequence[Any], options: Mapping[str, Any]
    ) -> SharedConnection:
        kept = self._connections.get(family)
        if kept is None or not kept.is_usable() or differing(kept.options, options):
            if kept is not None:
                kept.close()
            kept = self._connections[family] = share(dialect, arguments, options)
        return kept

    def _second(self, family: str, active: SharedConnection) -> SecondDriverError:
        return SecondDriverError(
            f"{self._witness.who()} connects to {self._database.identity} with {family}, and this test's transaction "
            f"is on a connection of {active.driver.family} (opened by {self._claimed_by}). Two drivers cannot share a "
            f"transaction: one would not see what the other does. Use one driver in the application and its tests "
            f"(create_engine takes the same URL for psycopg's sync and async dialect). {OTHERWISE}"
        )


async def _alone(engine: AsyncEngine, work: Callable[[Connection], T]) -> T:
    async with engine.connect() as connection:
        return await connection.run_sync(work)
