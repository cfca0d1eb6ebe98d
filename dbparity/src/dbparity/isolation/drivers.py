"""What the drivers do not have in common: how each is connected, spoken to and interrupted.

An async driver over a library that also has a sync one (aiosqlite, psycopg) is served by the sync one: nothing is
bound to an event loop then. asyncpg has none, so its connection lives on dbparity's own loop.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sqlalchemy.util import await_only

from dbparity.isolation.psycopg2_types import accept_facades

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine.interfaces import Dialect

LOCK_SECONDS = 5
_OURS = frozenset(
    {"async_creator_fn", "autocommit", "isolation_level", "check_same_thread", "context", "password"}
)


_CHECKED = ("ROLLBACK TO SAVEPOINT dbparity_check", "RELEASE SAVEPOINT dbparity_check")


class UnsupportedDriverError(RuntimeError):
    """A driver that savepoint isolation knows nothing of."""


class Driver(ABC):
    """One database library."""

    family: str
    """Two engines can share a connection if their drivers are of one family."""
    aborts = True
    """Whether a failed statement spoils the transaction."""
    is_quick = False
    """Whether a statement is over before it would be worth another thread."""
    begin: Sequence[str] = ("BEGIN", f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")

    deferrable = (
        "SELECT 1 FROM pg_catalog.pg_constraint WHERE condeferrable UNION ALL "
        "SELECT 1 FROM pg_catalog.pg_trigger WHERE tgdeferrable AND NOT tgisinternal LIMIT 1"
    )
    """Has a row where the schema has something that is checked at commit only."""

    @abstractmethod
    def connect(self, dialect: Dialect, arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - drivers have no common type
        """Open a connection that leaves transactions to us."""

    @abstractmethod
    def say(self, raw: Any, statements: Sequence[str]) -> None:  # noqa: ANN401 - the same
        """Execute statements without parameters or rows."""

    def cursor(self, raw: Any, arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the same
        return raw.cursor(*arguments, **options)

    @abstractmethod
    def in_transaction(self, raw: Any) -> bool:  # noqa: ANN401 - the same
        """Whether the real transaction still stands; nobody is asked over the wire."""

    def check_deferred(self, raw: Any) -> None:  # noqa: ANN401 - the same
        """Check now what a real COMMIT would check, and leave it to be checked again."""
        # The inner savepoint gives the constraints their own modes back, and the queue of checks.
        try:
            self.say(raw, ["SAVEPOINT dbparity_check", "SET CONSTRAINTS ALL IMMEDIATE", *_CHECKED])
        except Exception:
            self.say(raw, _CHECKED)
            raise

    def is_closed(self, raw: Any) -> bool:  # noqa: ANN401 - the same
        return bool(raw.closed)

    def cancel(self, raw: Any) -> None:  # noqa: ANN401 - the same
        """Interrupt the running statement, from another thread."""
        raw.cancel()

    def close(self, raw: Any) -> None:  # noqa: ANN401 - the same
        raw.close()

    def pid(self, raw: Any) -> int:  # noqa: ANN401 - the same
        """The server's process behind the connection."""
        return int(raw.info.backend_pid)

    def disguise(self, dialect: Dialect, raw: Any) -> type:  # noqa: ANN401 - the same
        """Return the class that an engine of this dialect expects its connections to have."""
        if dialect.is_async:
            module = import_module(type(dialect).__module__)
            name = f"AsyncAdapt_{dialect.driver.removesuffix('_async')}_connection"
            adapter: type = getattr(module, name, type(raw))
            return adapter
        kind: type = type(raw)
        return kind

    def refused(self, dialect: Dialect) -> Exception:
        """Make the error of a statement in a transaction that has failed before."""
        del dialect
        library = import_module(self.family)
        error: Exception = library.errors.InFailedSqlTransaction(REFUSED)
        return error


REFUSED = "current transaction is aborted, commands ignored until end of transaction block"


class Sqlite3(Driver):
    """Python's own driver, for pysqlite and aiosqlite."""

    family = "sqlite3"
    aborts = False
    is_quick = True
    begin = ("BEGIN",)
    deferrable = "SELECT 1 FROM sqlite_master WHERE sql LIKE '%DEFERRED%' LIMIT 1"

    def check_deferred(self, raw: sqlite3.Connection) -> None:
        if (
            raw.execute("PRAGMA foreign_keys").fetchone() == (1,)
            and raw.execute("PRAGMA foreign_key_check").fetchone()
        ):
            msg = "FOREIGN KEY constraint failed"
            raise sqlite3.IntegrityError(msg)

    def connect(
        self, dialect: Dialect, arguments: Sequence[Any], options: Mapping[str, Any]
    ) -> sqlite3.Connection:
        del dialect
        kept: dict[str, Any] = {name: value for name, value in options.items() if name not in _OURS}
        kept.pop("iter_chunk_size", None)
        kept |= {"check_same_thread": False, "isolation_level": None}
        connection: sqlite3.Connection = sqlite3.connect(*arguments[:1], **kept)
        return connection

    def say(self, raw: sqlite3.Connection, statements: Sequence[str]) -> None:
        for statement in statements:
            raw.execute(statement)

    def in_transaction(self, raw: sqlite3.Connection) -> bool:
        return raw.in_transaction

    def pid(self, raw: sqlite3.Connection) -> int:
        del raw
        return 0

    def is_closed(self, raw: sqlite3.Connection) -> bool:
        try:
            _ = raw.total_changes
        except sqlite3.ProgrammingError:
            return True
        return False

    def cancel(self, raw: sqlite3.Connection) -> None:
        raw.interrupt()


class Psycopg(Driver):
    """psycopg 3, for its sync and its async dialect."""

    family = "psycopg"

    def connect(self, dialect: Dialect, arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - psycopg is optional
        del dialect
        kept = {
            name: value for name, value in options.items() if name not in {"async_creator_fn", "autocommit"}
        }
        return import_module("psycopg").connect(*arguments, **kept, autocommit=True)

    def say(self, raw: Any, statements: Sequence[str]) -> None:  # noqa: ANN401 - the same
        raw.execute("; ".join(statements), prepare=False)

    def in_transaction(self, raw: Any) -> bool:  # noqa: ANN401 - the same
        return int(raw.pgconn.transaction_status) in {2, 3}

    def cancel(self, raw: Any) -> None:  # noqa: ANN401 - the same
        raw.cancel_safe(timeout=LOCK_SECONDS)


class Psycopg2(Driver):
    family = "psycopg2"

    def connect(self, dialect: Dialect, arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - psycopg2 is optional
        accept_facades()
        raw: Any = dialect.connect(*arguments, **options)
        raw.autocommit = True
        return raw

    def cursor(self, raw: Any, arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the same
        cursor = raw.cursor(*arguments, **options)
        if cursor.name:  # on the server: psycopg2 knows nothing of the transaction that it needs
            cursor.withhold = True
        return cursor

    def say(self, raw: Any, statements: Sequence[str]) -> None:  # noqa: ANN401 - the same
        with raw.cursor() as cursor:
            cursor.execute("; ".join(statements))

    def in_transaction(self, raw: Any) -> bool:  # noqa: ANN401 - the same
        return int(raw.get_transaction_status()) in {2, 3}


class Asyncpg(Driver):
    """asyncpg through SQLAlchemy's adapter, whose methods have to be called on the connection's own loop."""

    family = "asyncpg"

    def connect(self, dialect: Dialect, arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - asyncpg has no types
        raw: Any = dialect.connect(*arguments, **options)
        raw.isolation_level = "autocommit"
        return raw

    def say(self, raw: Any, statements: Sequence[str]) -> None:  # noqa: ANN401 - the same
        try:
            await_only(raw._connection.execute("; ".join(statements)))  # noqa: SLF001 - as the dialect does
            if statements == ["ROLLBACK"]:
                raw._connection._top_xact = None  # noqa: SLF001 - see `inner.Remote`
        except Exception as error:  # noqa: BLE001 - translated, or raised as it is
            raw._handle_exception(error)  # noqa: SLF001 - the same

    def pid(self, raw: Any) -> int:  # noqa: ANN401 - the same
        return int(raw._connection.get_server_pid())  # noqa: SLF001 - the same

    def in_transaction(self, raw: Any) -> bool:  # noqa: ANN401 - the same
        return bool(raw._connection.is_in_transaction())  # noqa: SLF001 - the same

    def is_closed(self, raw: Any) -> bool:  # noqa: ANN401 - the same
        return bool(raw._connection.is_closed())  # noqa: SLF001 - the same

    def cancel(self, raw: Any) -> None:  # noqa: ANN401 - the same
        raw._connection.terminate()  # noqa: SLF001 - the same

    def refused(self, dialect: Dialect) -> Exception:
        library: Any = dialect.dbapi
        error = import_module("asyncpg").exceptions.InFailedSQLTransactionError(REFUSED)
        refused: Exception = library.Error(f"{type(error)}: {REFUSED}", error)
        return refused


_DRIVERS: dict[str, type[Driver]] = {"asyncpg": Asyncpg, "psycopg": Psycopg, "psycopg2": Psycopg2}


def driver_of(dialect: Dialect) -> Driver:
    """Return how to speak to the driver of this dialect."""
    if dialect.name == "sqlite":
        return Sqlite3()
    known = _DRIVERS.get(dialect.driver.removesuffix("_async"))
    if known is None:
        msg = (
            f"Savepoint isolation does not know the driver {dialect.name}+{dialect.driver}. "
            'Use isolation = "delete" or "clone", which work with every driver.'
        )
        raise UnsupportedDriverError(msg)
    return known()


def differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Name the connection options in which two engines differ."""
    names = (first.keys() | second.keys()) - _OURS
    with suppress(Exception):  # options may be anything, also something that cannot be compared
        return sorted(name for name in names if first.get(name) != second.get(name))
    return []
