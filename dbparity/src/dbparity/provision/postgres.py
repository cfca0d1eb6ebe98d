"""Databases on a PostgreSQL server, made through its maintenance database."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from dbparity.observer import Observer
from dbparity.provision.databases import Note, Stored
from dbparity.provision.errors import DatabaseRefusedError
from dbparity.provision.held import HeldConnection
from dbparity.provision.likeness import Likeness
from dbparity.provision.lock import schema_lock
from dbparity.provision.names import PREFIX
from dbparity.provision.patience import Patience
from dbparity.provision.spelling import key_number, literal, quoted, refusal, statement
from dbparity.sqlstate import sqlstate

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import TypeVar

    from sqlalchemy import Connection
    from sqlalchemy.engine import URL

    T = TypeVar("T")

MAINTENANCE = ("postgres", "template1")
STATEMENT_SECONDS = 50
BUSY_SECONDS = 20.0
LEAVING_SECONDS, PAUSE_SECONDS = 1.0, 0.002
SLICE_SECONDS = 5
IN_USE = "55006"
SHORT_KEY = 0x7FFFFFFF
FORCE_SINCE, UNTOUCHED_SINCE = (13,), (15,)

_STORED = """
SELECT d.datname, shobj_description(d.oid, 'pg_database'),
       CASE WHEN :sizes AND has_database_privilege(d.oid, 'CONNECT') THEN pg_database_size(d.oid) ELSE 0 END,
       (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.oid)
FROM pg_database d WHERE d.datname LIKE :pattern ORDER BY d.datname
"""
_UNTOUCHED = """
SELECT sessions = 0 AND numbackends = 0 AND current_setting('track_counts') = 'on'
FROM pg_stat_database WHERE datname = :name
"""
_HELD = """
SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted
               AND ((classid::bigint << 32) | objid::bigint) = :key)
"""


class AdvisoryHold:
    """A shared advisory lock, until it is closed."""

    def __init__(self, connection: HeldConnection, key: int) -> None:
        self._connection, self._key = connection, key
        self._ask("pg_advisory_lock_shared")

    def close(self) -> None:
        """Let go."""
        with suppress(SQLAlchemyError, OSError, TimeoutError):  # the connection is gone: so is the lock
            self._ask("pg_advisory_unlock_shared")

    def _ask(self, function: str) -> None:
        self._connection.call(
            lambda connection: connection.exec_driver_sql(f"SELECT {function}({self._key})")
        )


class PostgresDatabases:
    """The databases beside a configured one, on its server."""

    def __init__(self, base: URL) -> None:
        self.base = base
        self._observer: Observer | None = None
        self._holder: HeldConnection | None = None
        self._likeness: Likeness | None = None

    def url_of(self, name: str) -> URL:
        """The URL that leads to a database, through the base's driver."""
        return self.base.set(database=name)

    def create(self, name: str) -> URL:
        """Make an empty database that is like the base in encoding, collation and settings."""
        likeness = self._like()
        self._ddl(f"CREATE DATABASE {quoted(name)}{likeness.clause}")
        return self._settled(name)

    def clone(self, template: str, name: str) -> URL:
        """Copy a database that nobody is connected to; wait a while for those that are, then name them."""
        until = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._call(_ddl(f"CREATE DATABASE {quoted(name)} TEMPLATE {quoted(template)}"))
            except DBAPIError as error:
                if sqlstate(error) != IN_USE:
                    raise refusal(error, self.base, f"copy {template}") from error
                if time.monotonic() > until:  # the server itself waits five seconds each time
                    raise DatabaseRefusedError(self._busy(template)) from error
            else:
                return self._settled(name)

    def is_proven(self, template: str) -> bool:
        """Whether a template has its name, which is the last thing that it is given, and its note."""
        query = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = :name"
        note = Note.parse(self._scalar(query, name=template))
        return note is not None and note.dbparity == "template"

    def seal(self, building: str, template: str, note: Note) -> None:
        """Note it, let nobody in, and only then give it the template's name."""
        name = quoted(building)
        self._ddl(f"COMMENT ON DATABASE {name} IS {literal(str(note))}")
        self._ddl(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        self._terminate(building)
        self._ddl(f"DROP DATABASE IF EXISTS {quoted(template)}")
        self._ddl(f"ALTER DATABASE {name} RENAME TO {quoted(template)}")

    def keep(self, name: str, note: Note) -> None:
        """Say on the database itself why it is still there."""
        self._ddl(f"COMMENT ON DATABASE {quoted(name)} IS {literal(str(note))}")

    def is_untouched(self, name: str) -> bool:
        """Whether nobody has connected since it was made; older servers are not sure at once, and say no."""
        if self._call(_version) < UNTOUCHED_SINCE:
            return False
        return self._scalar(_UNTOUCHED, name=name) is True

    def drop(self, name: str, *, force: bool = True) -> bool:
        """Drop it, with `force` together with whoever is connected to it."""
        if not force and self._connected(name):
            return False
        option = " WITH (FORCE)" if force and self._call(_version) >= FORCE_SINCE else ""
        if force:
            self._terminate(name)
        try:
            self._call(_ddl(f"DROP DATABASE IF EXISTS {quoted(name)}{option}"))
        except DBAPIError as error:
            if force or sqlstate(error) != IN_USE:
                raise refusal(error, self.base, f"drop {name}") from error
            return False
        return True

    def stored(self, *, sizes: bool = False) -> list[Stored]:
        """Every database of ours on this server; the size of one takes the server a look at each of its files."""
        values = {"pattern": PREFIX + r"\_%", "sizes": sizes}

        def read(connection: Connection) -> list[Stored]:
            rows = connection.execute(sa.text(_STORED), values)
            return [Stored(row[0], Note.parse(row[1]), row[2], row[3]) for row in rows]

        return self._call(read)

    def hold(self, key: str) -> AdvisoryHold:
        """A shared advisory lock: the server lets go of it when this process ends, however it ends."""
        if self._holder is None:
            self._holder = HeldConnection(self._maintenance_url(), "dbparity holds its databases")
        return AdvisoryHold(self._holder, key_number(key))

    def is_held(self, key: str) -> bool:
        """Whether a living session holds it, whichever database of the server that is connected to."""
        return self._scalar(_HELD, key=key_number(key)) is True

    def building(self, key: str) -> AbstractContextManager[None]:
        """Wait for others that build the same, with a deadline."""
        number = key_number(f"build {key}") & SHORT_KEY
        return schema_lock(self._maintenance_url(), key=number, wait_seconds=Patience.build)

    def way_in(self, name: str) -> str:
        """The psql command for it."""
        host, port = self.base.host or self.base.query.get("host"), self.base.port
        parts = ["psql", *(["-h", str(host)] if host else []), *(["-p", str(port)] if port else [])]
        return " ".join([*parts, *(["-U", self.base.username] if self.base.username else []), "-d", name])

    def close(self) -> None:
        """Close the connections to the maintenance database; what was held is let go."""
        for each in (self._observer, self._holder):
            if each is not None:
                each.close()
        self._observer = self._holder = None

    def _settled(self, name: str) -> URL:
        """ALTER DATABASE … SET is not copied with a template: what holds for the base must hold here too."""
        for setting in self._like().settings:
            self._ddl(f"ALTER DATABASE {quoted(name)} SET {setting}")
        return self.url_of(name)

    def _like(self) -> Likeness:
        if self._likeness is None:
            self._likeness = self._call(lambda connection: Likeness.read(connection, self.base))
        return self._likeness

    def _busy(self, name: str) -> str:
        query = """SELECT string_agg(format('pid %s (%s, %s, %s)', pid, usename, application_name, state), '; ')
                   FROM pg_stat_activity WHERE datname = :name"""
        who = self._scalar(query, name=name) or "somebody who has just left"
        return f"{name} cannot be copied while others are connected to it: {who}. Close those connections."

    def _connected(self, name: str) -> int:
        return int(
            self._scalar("SELECT count(*) FROM pg_stat_activity WHERE datname = :name", name=name) or 0
        )

    def _terminate(self, name: str) -> None:
        """End who is connected, and see them gone: DROP DATABASE would look again only after 100 ms."""
        query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = :name"
        until = time.monotonic() + LEAVING_SECONDS
        while self._scalar(query, name=name) and time.monotonic() < until:
            time.sleep(PAUSE_SECONDS)

    def _scalar(self, query: str, **values: object) -> Any:  # noqa: ANN401 - as the query has it
        return self._call(lambda connection: connection.scalar(sa.text(query), values))

    def _ddl(self, sql: str) -> None:
        try:
            self._call(_ddl(sql))
        except DBAPIError as error:
            raise refusal(error, self.base, sql.split("'", 1)[0].strip()) from error

    def _maintenance_url(self) -> URL:
        self._observer = self._observer or self._maintenance()
        return self._observer.url

    def _call(self, work: Callable[[Connection], T]) -> T:
        self._observer = self._observer or self._maintenance()
        return self._observer.call(work, autocommit=True)

    def _maintenance(self) -> Observer:
        """An observer of the database that everybody uses to make others; of the base where that is closed."""
        error: DBAPIError | None = None
        for name in (*MAINTENANCE, self.base.database):
            observer = Observer(self.base.set(database=name))
            try:
                observer.call(_bounded, autocommit=True)
            except DBAPIError as refused:
                error = error or refused
                observer.close()
            else:
                return observer
        raise refusal(error, self.base, "connect to the server") from error


def _bounded(connection: Connection) -> None:
    """No statement of ours waits for ever, and the server's own limit for tests is not ours."""
    connection.exec_driver_sql(f"SET statement_timeout = '{STATEMENT_SECONDS}s'")
    connection.exec_driver_sql(f"SET lock_timeout = '{SLICE_SECONDS}s'")
    connection.exec_driver_sql("SET application_name = 'dbparity'")
    with suppress(DBAPIError):  # PostgreSQL 14 and later
        connection.exec_driver_sql("SET idle_session_timeout = 0")


def _ddl(sql: str) -> Callable[[Connection], None]:
    def run(connection: Connection) -> None:
        connection.execute(statement(sql))

    return run


def _version(connection: Connection) -> tuple[int, ...]:
    return tuple(int(part) for part in connection.dialect.server_version_info or ())
