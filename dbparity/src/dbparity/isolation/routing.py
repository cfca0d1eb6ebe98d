"""Leading the application's engines to where the current test works, whoever made them and when.

SQLAlchemy tells every listener on the class `Engine` of each new connection of each engine in the process, with
the arguments that its driver is about to be given. Where they mean the database under test, the route of the
current test decides what the engine gets: another database, or a part in the test's one transaction. The
application needs no change, no factory and no override for it.

A connection that was pooled during an earlier test would lead there still: it is closed when the lead changes,
or at its next checkout.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakSet

from sqlalchemy import Engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import Pool

from dbparity.config import Strictness
from dbparity.findings import Finding
from dbparity.isolation.discard import discard, is_stranded
from dbparity.observer import is_own
from dbparity.origin import caller
from dbparity.targets import Identity, identity_of, identity_of_connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

    from dbparity.watch import Watch

OTHER_DATABASE = "other-database"
UNLED_ENGINE = "unled-engine"


class Route(Protocol):
    """Where the connections to the database under test go while a test runs."""

    @property
    def leads_to(self) -> Identity | None:
        """The database at its end, for engines that were given that URL themselves."""

    def connect(
        self,
        dialect: Dialect,
        arguments: list[Any],
        options: dict[str, Any],
    ) -> DBAPIConnection | None:
        """Return the connection to use; or change the arguments in place and return None for the usual one."""


class RedirectTo:
    """Connects to another database, with everything else as the application has it."""

    def __init__(self, url: URL | str) -> None:
        self.url = make_url(url)
        self.leads_to = identity_of(self.url)

    def __eq__(self, other: object) -> bool:
        """Two that lead to the same place are the same route."""
        return isinstance(other, RedirectTo) and other.url == self.url

    def __hash__(self) -> int:
        return hash(self.url)

    def connect(self, dialect: Dialect, arguments: list[Any], options: dict[str, Any]) -> None:
        redirect(dialect, self.url, arguments, options)


def redirect(dialect: Dialect, url: URL, arguments: list[Any], options: dict[str, Any]) -> None:
    """Change the arguments of a driver's `connect` so that they mean the database of `url`."""
    if dialect.name == "sqlite":
        options.pop("uri", None)
        options.pop("database", None)
        arguments[:] = [url.database or ":memory:", *arguments[1:]]
    else:
        name = "dbname" if dialect.driver.startswith("psycopg") else "database"
        options[name] = url.database


@dataclass(frozen=True, eq=False)
class _Lead:
    """From one `lead` to the next: an epoch."""

    identity: Identity
    route: Route

    def covers(self, identity: Identity | None) -> bool:
        return identity is not None and identity in (self.identity, self.route.leads_to)


@dataclass(frozen=True, eq=False)
class _Made:
    """Under which lead a pooled connection was made, and for which database."""

    lead: _Lead | None
    identity: Identity | None


_FREE = _Made(None, None)
"""A connection that is never led: dbparity's own, or one to another database."""


class Router:
    """The listeners, and the lead that is in force."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._lead: _Lead | None = None
        self._records: WeakSet[ConnectionPoolEntry] = WeakSet()
        self._told: set[Identity | int] = set()
        self._installed = 0.0

    def install(self) -> None:
        """Begin to listen: to engines made before and after."""
        self._installed = time.time()
        event.listen(Engine, "do_connect", self._connecting)
        event.listen(Pool, "checkout", self._checked_out)

    def uninstall(self) -> None:
        """Stop listening and close what was led."""
        self.release()
        event.remove(Engine, "do_connect", self._connecting)
        event.remove(Pool, "checkout", self._checked_out)

    def lead(self, identity: Identity, route: Route) -> None:
        """From now on, connections to `identity` take this route; those of earlier leads are closed.

        Where the same route is in force already, connections stay, except those whose event loop has ended.
        """
        lead = self._lead
        if lead is not None and lead.route == route and lead.identity == identity:
            self._close(lambda record: is_stranded(record.dbapi_connection))
        else:
            self._change(_Lead(identity, route))

    def release(self) -> None:
        """From now on, connections go where their engines say; those that were led are closed."""
        self._change(None)

    def knows(self, identity: Identity) -> None:
        """Say nothing of connections to this database: tests were handed it on purpose."""
        self._told.add(identity)

    def _change(self, lead: _Lead | None) -> None:
        self._lead = lead
        self._close(lambda record: self._is_stale(record.info.get(self, _FREE)))

    def _close(self, unwanted: Callable[[ConnectionPoolEntry], bool]) -> None:
        for record in list(self._records):
            # One that is still lent is left to whoever holds it, and closed at its next checkout.
            if not record.in_use and unwanted(record):
                self._records.discard(record)
                discard(record)

    def _is_stale(self, made: _Made) -> bool:
        if made.lead is not None:
            return made.lead is not self._lead
        return self._lead is not None and self._lead.covers(made.identity)

    def _connecting(
        self,
        dialect: Dialect,
        record: ConnectionPoolEntry | None,
        arguments: list[Any],
        options: dict[str, Any],
    ) -> DBAPIConnection | None:
        lead, identity = self._lead, None
        if is_own(dialect):
            made = _FREE
        else:
            identity = _identity(dialect, arguments, options)
            made = _Made(lead if lead is not None and lead.covers(identity) else None, identity)
        if record is not None:
            record.info[self] = made
            if made is not _FREE:
                self._records.add(record)
        if lead is None or made is _FREE:
            return None
        if made.lead is None:
            self._note_other(identity)
            return None
        return lead.route.connect(dialect, arguments, options)

    def _checked_out(
        self, connection: DBAPIConnection, record: ConnectionPoolEntry, proxy: PoolProxiedConnection
    ) -> None:
        made: _Made | None = record.info.get(self)
        if made is _FREE or (made is not None and made.lead is self._lead):
            return
        if made is None:
            self._meet_unknown(connection, record, proxy)
        elif self._is_stale(made):
            discard(record)
            msg = "This connection belongs to an earlier test."
            raise DisconnectionError(msg)
        else:
            self._note_other(made.identity)

    def _meet_unknown(
        self, connection: DBAPIConnection, record: ConnectionPoolEntry, proxy: PoolProxiedConnection
    ) -> None:
        """Meet a connection made before `install`, or past `do_connect`: by `creator=` or a pool of its own."""
        pool = proxy._pool  # noqa: SLF001 - it has no public name
        if is_own(pool._dialect):  # noqa: SLF001 - the same
            record.info[self] = _FREE
        elif getattr(record, "last_connect_time", self._installed) < self._installed:
            discard(record)
            msg = "This connection was made before the tests began."
            raise DisconnectionError(msg)
        elif self._lead is not None:
            record.info[self] = _FREE
            self._note_unled(pool, connection)

    def _note_unled(self, pool: Pool, connection: DBAPIConnection) -> None:
        lead = self._lead
        if lead is None or id(pool) in self._told or not _may_reach(pool, connection, lead):
            return
        self._told.add(id(pool))
        self._watch.report(
            Finding(
                UNLED_ENGINE,
                f"an engine with a creator= of its own connects to {lead.identity} past dbparity"
                f"{_where()}: what it does is not isolated.",
                remedy="Give create_engine the URL and connect_args instead of creator= or async_creator=.",
                strictness=Strictness.WARN,
            )
        )

    def _note_other(self, identity: Identity | None) -> None:
        lead = self._lead
        if lead is None or identity is None or identity in self._told or identity.is_memory:
            return
        if identity.backend != lead.identity.backend:
            return
        self._told.add(identity)
        self._watch.report(
            Finding(
                OTHER_DATABASE,
                f"a connection is made to {identity}{_where()}, and the database under test is {lead.identity}.",
                remedy="If it is the development database, the engine was made from another URL than the tests' own. "
                "What is done there is neither isolated nor undone.",
                strictness=Strictness.WARN,
            )
        )


def _where() -> str:
    origin = caller()
    return f" at {origin}" if origin else ""


def _identity(dialect: Dialect, arguments: list[Any], options: dict[str, Any]) -> Identity | None:
    try:
        return identity_of_connect(dialect, arguments, options)
    except (TypeError, ValueError):  # several hosts or ports, say
        return None


def _may_reach(pool: Any, connection: Any, lead: _Lead) -> bool:  # noqa: ANN401 - drivers have no common type
    """Ask a connection that nobody announced which database it has, as far as its driver can tell."""
    dialect = pool._dialect  # noqa: SLF001 - it has no public name
    if dialect.name != lead.identity.backend:
        return False
    if dialect.name == "sqlite":
        cursor = connection.cursor()
        cursor.execute("PRAGMA database_list")
        rows = cursor.fetchall()
        cursor.close()
        return lead.covers(identity_of(URL.create("sqlite", database=rows[0][2] or None)))
    info = getattr(connection, "info", None)
    name = getattr(info, "dbname", None)
    return name is None or name == lead.identity.database
