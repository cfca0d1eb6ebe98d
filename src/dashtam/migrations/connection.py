"""The connection that migrations run on: alone, in one transaction, on either database.

Two nodes that start at once both come here. PostgreSQL: an advisory lock that ends with the transaction.
SQLite: BEGIN IMMEDIATE, which is the database's own lock on writing. Whoever comes second waits, with a
deadline, and then finds the work done.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

# "dashtam" in ASCII, read as a number: any number will do, as long as every node takes the same one.
ADVISORY_LOCK = int.from_bytes(b"dashtam", "big")

LOOKING = "dashtam looking"
"""How PostgreSQL's list of connections tells one that only looks."""

_POLL_SECONDS = 0.1
_CONNECT_SECONDS = 5
_DDL_LOCK_TIMEOUT = "10s"
_LOOKING_LOCK_TIMEOUT = "1s"

Waiting = Callable[[], None]


class MigrationBusyError(Exception):
    """Another migration was still running when the deadline passed."""


@asynccontextmanager
async def exclusive(url: str, *, patience: float, waiting: Waiting) -> AsyncIterator[AsyncConnection]:
    """A connection whose transaction nobody else migrates beside; committed at the end, dropped on error.

    `patience` is in seconds; `waiting` is called once, if there is somebody to wait for.
    """
    engine = _engine(url)
    take_lock = _lock_sqlite if engine.dialect.name == "sqlite" else _lock_postgresql
    try:
        async with engine.begin() as connection:
            await _wait_for(connection, take_lock, patience=patience, waiting=waiting)
            yield connection
    finally:
        await engine.dispose()


@asynccontextmanager
async def looking(url: str) -> AsyncIterator[AsyncConnection]:
    """A connection that only looks: it locks nothing, creates nothing and waits for nobody."""
    engine = _engine(url, create=False)
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


def _engine(url: str, *, create: bool = True) -> AsyncEngine:
    if make_url(url).get_backend_name() == "sqlite":
        return _sqlite_engine(url, create=create)
    server_settings = {
        "application_name": "dashtam migrate" if create else LOOKING,
        "timezone": "UTC",
        # A table that a forgotten transaction holds is named after this, not waited for.
        "lock_timeout": _DDL_LOCK_TIMEOUT if create else _LOOKING_LOCK_TIMEOUT,
        "statement_timeout": "0",
    }
    arguments = {"server_settings": server_settings, "timeout": _CONNECT_SECONDS}
    return create_async_engine(url, poolclass=NullPool, connect_args=arguments)


def _sqlite_engine(url: str, *, create: bool) -> AsyncEngine:
    path = Path(make_url(url).database or "")
    if create:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)  # exists already: its mode stays
    elif not path.exists():
        raise FileNotFoundError(str(path))
    engine = create_async_engine(url, poolclass=NullPool)

    def prepare(connection: Any, _record: object) -> None:  # noqa: ANN401  the driver's adapted one
        connection.isolation_level = None  # the driver must not begin by itself: `_lock_sqlite` does
        cursor = connection.cursor()
        # Off while tables are rebuilt: dropping the old copy would cascade into its children.
        # `upgrade` checks every key before it commits.
        cursor.execute("PRAGMA foreign_keys=OFF")
        cursor.execute("PRAGMA busy_timeout=100")
        cursor.close()

    event.listen(engine.sync_engine, "connect", prepare)
    return engine


async def _wait_for(
    connection: AsyncConnection,
    take_lock: Callable[[AsyncConnection], Awaitable[bool]],
    *,
    patience: float,
    waiting: Waiting,
) -> None:
    until = time.monotonic() + patience
    told = False
    while not await take_lock(connection):
        if time.monotonic() >= until:
            raise MigrationBusyError(await _who(connection, patience))
        if not told:
            waiting()
            told = True
        await asyncio.sleep(_POLL_SECONDS)


async def _lock_postgresql(connection: AsyncConnection) -> bool:
    return bool(
        await connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
    )


async def _lock_sqlite(connection: AsyncConnection) -> bool:
    try:
        await connection.exec_driver_sql("BEGIN IMMEDIATE")
    except OperationalError as error:
        if "locked" in str(error.orig):
            return False
        raise
    return True


async def _who(connection: AsyncConnection, patience: float) -> str:
    waited = f"It was still at it after {patience:g} s."
    if connection.dialect.name == "sqlite":
        return (
            "Another process holds this SQLite database's write lock: another migration, or a program "
            f"with an open transaction. {waited}"
        )
    holder = await connection.execute(
        text(
            "SELECT a.pid, a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " WHERE l.locktype = 'advisory' AND l.granted"
            " AND (l.classid::bigint << 32 | l.objid::bigint) = :key"
        ),
        {"key": ADVISORY_LOCK},
    )
    row = holder.first()
    by = f" (PostgreSQL process {row.pid}, {row.application_name or 'unnamed'})" if row else ""
    return f"Another migration of this database is running{by}. {waited}"
