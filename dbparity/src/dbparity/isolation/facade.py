"""What an engine takes for a DBAPI connection of its own: a part in the test's one real connection.

Everything above it is the application's: its engine, its pool (one facade is one pooled connection, so a pool of
one is a pool of one), its dialect events, its sessions. Everything below it is shared.
"""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.util import await_only

from dbparity.isolation.cursor import FacadeCursor
from dbparity.isolation.inner import AsyncView, Remote, alike
from dbparity.isolation.part import Part
from dbparity.isolation.pragmas import query_only, run_pragma
from dbparity.isolation.statements import Kind, Statement, Weight, read

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


T = TypeVar("T")

_KEPT = frozenset({"row_factory", "read_only", "readonly", "deferrable", "autocommit", "isolation_level"})
_LEVELS: dict[object, str] = {2: "REPEATABLE READ", 3: "SERIALIZABLE"}
"""The numbers that psycopg2 has for the stricter ones."""
_BY_CURSOR = frozenset({"execute", "executemany"})
_HERE = frozenset({"_part", "_level", "_query_only", "_connection"})


class Facade:
    """A DBAPI connection whose transaction is virtual."""

    closes_anywhere = True
    """Whatever event loop it was made on: see `dbparity.isolation.discard`."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._query_only = False
        self._level: Any = "" if self._family == "sqlite3" else None

    # ------------------------------------------------------------------ what every DBAPI connection has

    def cursor(self, *arguments: Any, **options: Any) -> FacadeCursor:  # noqa: ANN401 - each driver's own
        self._part.check_open()
        return FacadeCursor(self, arguments, options)

    def executescript(self, script: str) -> FacadeCursor:
        """Commit, as sqlite3 does, and execute one statement after the other."""
        self.commit()
        cursor, statement = self.cursor(), ""
        for piece in re.split(r"(?<=;)", script):
            statement += piece
            if sqlite3.complete_statement(statement):
                cursor.execute(statement)
                statement = ""
        if statement.strip():
            cursor.execute(statement)
        return cursor

    def commit(self) -> None:
        self._part.commit()

    def rollback(self) -> None:
        self._part.rollback()

    def close(self) -> None:
        self._part.close()

    def terminate(self) -> None:
        self._part.close()

    @property
    def closed(self) -> bool:
        return self._part.is_closed or not self._part.shared.is_usable()

    # ------------------------------------------------------------------ how drivers say "autocommit"

    @property
    def autocommit(self) -> bool:
        return self._part.autocommit

    @autocommit.setter
    def autocommit(self, value: object) -> None:  # sqlite3 has three of them
        self._part.autocommit = value is True or value == 1

    @property
    def isolation_level(self) -> Any:  # noqa: ANN401 - each driver's own
        return self._level

    @isolation_level.setter
    def isolation_level(self, value: object) -> None:
        self._level = value
        nothing = {"sqlite3": None, "asyncpg": "autocommit", "psycopg2": 0}
        if self._family in nothing:
            self._part.autocommit = value == nothing[self._family]
        self._part.note_level(str(getattr(value, "name", _LEVELS.get(value, value))))

    def set_isolation_level(self, level: Any) -> None:  # noqa: ANN401 - the same
        if self._family == "asyncpg":
            self.rollback()
        self.isolation_level = level

    def set_autocommit(self, value: bool) -> None:  # noqa: FBT001 - psycopg's
        self.autocommit = value

    def set_read_only(self, value: object) -> None:
        self.__dict__["read_only"] = value

    def set_deferrable(self, value: object) -> None:
        self.__dict__["deferrable"] = value

    # ------------------------------------------------------------------ what only some drivers have

    def ping(self) -> None:
        """Answer for the real connection (asyncpg's adapter is asked so)."""
        self._part.check_open()

    await_ = staticmethod(await_only)  # SQLAlchemy 2.0's async adapters have it

    def run_async(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Give `work` the driver's own connection, as SQLAlchemy's async adapters do."""
        return await_only(work(self._connection))

    @property
    def _connection(self) -> Any:  # noqa: ANN401 - as SQLAlchemy's async adapters name the driver's own
        raw = self._part.shared.raw
        if self._family == "asyncpg":
            return Remote(self._part, raw._connection)  # noqa: SLF001 - the same
        return AsyncView(self._part, raw)

    @property
    def driver_connection(self) -> Any:  # noqa: ANN401 - the same
        return self._connection if self._part.dialect.is_async else self

    def create_function(self, name: str, count: int, function: Any, **options: Any) -> None:  # noqa: ANN401 - sqlite3's
        """Give SQLite a function, unless an engine like this one has done so."""
        shared, key = self._part.shared, ("function", name, count)
        if not alike(shared.functions.get(key), function):
            shared.functions[key] = function
            self._part.run(lambda: shared.raw.create_function(name, count, function, **options))

    def add_notice_handler(self, handler: Any) -> None:  # noqa: ANN401 - psycopg's
        shared, key = self._part.shared, ("notice", handler)
        if key not in shared.functions:
            shared.functions[key] = handler
            shared.raw.add_notice_handler(handler)

    def transaction(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - psycopg's
        self._part.touch()
        return self._part.shared.raw.transaction(*arguments, **options)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # noqa: ANN401 - so that isinstance(connection, sqlite3.Connection) holds
        return self._part.disguise

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the driver has
        if name.startswith("__") or name in _HERE:
            raise AttributeError(name)
        if name.startswith("tpc_"):
            raise self._part.two_phase()
        if name in _BY_CURSOR and hasattr(self.real, name):  # psycopg2 tells a connection by its having none
            return getattr(self.cursor(), name)
        return getattr(self.real, name)

    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith("_") or name in _KEPT:
            object.__setattr__(self, name, value)
        else:
            setattr(self.real, name, value)

    # ------------------------------------------------------------------ for its cursors

    def streams(self, arguments: tuple[Any, ...], options: dict[str, Any]) -> bool:
        """Whether a cursor with these arguments is a server-side one."""
        if self._family == "sqlite3":
            return False
        return bool((arguments and arguments[0]) or options.get("name") or options.get("server_side"))

    @property
    def real(self) -> Any:  # noqa: ANN401 - a driver's connection
        """The connection that all share."""
        return self._part.shared.raw

    def open(self, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:  # noqa: ANN401 - a driver's cursor
        """Open a cursor on the real connection."""
        if self._family == "sqlite3":
            arguments, options = (), {}
        real = self._part.shared.driver.cursor(self.real, arguments, options)
        if "row_factory" in self.__dict__ and "row_factory" not in options:
            real.row_factory = self.__dict__["row_factory"]
        return real

    def run(self, work: Callable[[], T]) -> T:
        """Do something with the real connection, while nobody else does."""
        return self._part.run(work)

    def touch(self) -> None:
        """Take what is about to be done past the cursor for a write."""
        self._part.touch()

    def perform(
        self,
        cursor: FacadeCursor,
        operation: Any,  # noqa: ANN401 - text, or what a driver composes it from
        fill: Callable[[], int],
        *,
        is_many: bool = False,
    ) -> None:
        """Execute a statement for a cursor, or do what its text says to the virtual transaction."""
        statement = read(operation if isinstance(operation, str) else None)
        if statement.kind is Kind.PRAGMA:
            self._pragma(cursor, operation, fill)
        elif statement.kind is not Kind.WORK:
            cursor.forget()
            self._part.control(statement, operation)
        else:
            self._check_writable(statement)
            weight = statement.weight
            if cursor.streams:  # a rollback of somebody else's would close it
                weight = max(weight, Weight.UNSURE)
            self._part.execute(statement, weight, fill, is_many=is_many)

    def _pragma(self, cursor: FacadeCursor, text: str, fill: Callable[[], int]) -> None:
        wanted = query_only(text)
        if wanted is None:
            run_pragma(self._part, text, fill)
        else:  # the others on this connection want to write
            cursor.forget()
            self._query_only = wanted

    def _check_writable(self, statement: Statement) -> None:
        if self._query_only and statement.weight is Weight.WRITE:
            raise self._part.error("attempt to write a readonly database")

    @property
    def _family(self) -> str:
        return self._part.shared.driver.family
