"""A DBAPI connection that asks the live PostgreSQL and changes nothing: statements are written down instead.

It lies below SQLAlchemy, so that whatever a revision does with its connection comes here. The live connection's
own transaction is out of its reach: it has no real commit, rollback or close.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine
from sqlalchemy.pool import StaticPool

from dbparity.planning.rehearsal import NeedsDatabaseError, Record, is_question

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection
    from sqlalchemy.engine.interfaces import DBAPIConnection

_SAVEPOINTS = ("SAVEPOINT", "RELEASE", "ROLLBACK TO")


def engine(live: Connection, record: Record) -> Engine:
    """An engine whose one connection is the live one, guarded."""
    below: Any = GuardedConnection(live.connection.dbapi_connection, record)
    return Engine(StaticPool(lambda: below), live.dialect, live.engine.url)


class GuardedConnection:
    """What SQLAlchemy takes for a driver's connection."""

    def __init__(self, live: DBAPIConnection | None, record: Record) -> None:
        self._live: Any = live
        self._record = record

    def cursor(self, *arguments: Any, **options: Any) -> GuardedCursor:  # noqa: ANN401 - each driver's own
        return GuardedCursor(self._live.cursor(*arguments, **options), self._record)

    def commit(self) -> None:
        """Nothing was changed, so there is nothing to keep."""

    def rollback(self) -> None:
        """Nothing was changed, so there is nothing to undo."""

    def close(self) -> None:
        """The live connection is somebody else's."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - each driver's own
        return getattr(self._live, name)


class GuardedCursor:
    """What SQLAlchemy takes for a driver's cursor."""

    def __init__(self, live: Any, record: Record) -> None:  # noqa: ANN401 - each driver's own
        self._live = live
        self._record = record
        self._kept = False

    def execute(self, sql: str, values: Any = None) -> Any:  # noqa: ANN401 - each driver's own
        if sql.lstrip().upper().startswith(_SAVEPOINTS):
            self._kept = True
        elif is_question(sql):
            self._ask(sql)
            self._live.execute(sql, *(() if values is None else (values,)))
        else:
            self._keep(sql, 1)
        return self

    def executemany(self, sql: str, values: Sequence[Any]) -> Any:  # noqa: ANN401 - each driver's own
        self._keep(sql, len(values))
        return self

    def _ask(self, sql: str) -> None:
        if self._record.begun:
            msg = (
                f"asks the database ({_short(sql)}) after statements of this plan that have not been run: only a"
                " run can tell what it would find"
            )
            raise NeedsDatabaseError(msg)
        self._kept = False

    def _keep(self, sql: str, sets: int) -> None:
        self._kept = True
        self._record.note(sql, sets)

    @property
    def description(self) -> Any:  # noqa: ANN401 - each driver's own
        return None if self._kept else self._live.description

    @property
    def rowcount(self) -> int:
        return -1 if self._kept else int(self._live.rowcount)

    def fetchone(self) -> Any:  # noqa: ANN401 - each driver's own
        return None if self._kept else self._live.fetchone()

    def fetchmany(self, size: int | None = None) -> Any:  # noqa: ANN401 - each driver's own
        return [] if self._kept else self._live.fetchmany(size)

    def fetchall(self) -> Any:  # noqa: ANN401 - each driver's own
        return [] if self._kept else self._live.fetchall()

    def __iter__(self) -> Iterator[Any]:
        return iter(()) if self._kept else iter(self._live)

    def close(self) -> None:
        self._live.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - each driver's own
        return getattr(self._live, name)


def _short(sql: str) -> str:
    line = " ".join(sql.split())
    return line if len(line) <= 60 else f"{line[:60]}…"  # noqa: PLR2004 - a glimpse
