"""Closing a pooled connection whose event loop may be gone, without a sound.

A pool keeps connections for longer than one test; the event loop that an async driver opened them on ends with
the test. Closing such a connection in the ordinary way raises "Event loop is closed", and leaving it to the
garbage collector gives ResourceWarnings in some later, innocent test.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dbparity.observer import background_loop

if TYPE_CHECKING:
    from sqlalchemy.pool import ConnectionPoolEntry

CLOSE_SECONDS = 5.0


def discard(record: ConnectionPoolEntry) -> None:
    """Close what the record holds, wherever it was opened; the pool will connect it anew when it is wanted."""
    connection = record.dbapi_connection
    if connection is None or not hasattr(record, "finalize_callback"):  # the latter: it is being connected
        return
    pool = record._ConnectionRecord__pool  # type: ignore[attr-defined]  # noqa: SLF001 - it has no public name
    if not pool._dialect.is_async or getattr(connection, "closes_anywhere", False):  # noqa: SLF001 - the same
        record.close()
        return
    if pool.dispatch.close:
        pool.dispatch.close(connection, record)
    # To the pool, a record without a connection is one whose connection was invalidated before.
    record.dbapi_connection = None  # type: ignore[misc]
    _close_driver(connection._connection)  # noqa: SLF001 - as the dialects do


def _close_driver(driver: Any) -> None:  # noqa: ANN401 - a connection of any async driver
    library = type(driver).__module__.partition(".")[0]
    with suppress(Exception):  # nothing that a dead connection says on its way out matters to anybody
        if library == "asyncpg":
            _close_asyncpg(driver)
        elif library == "psycopg":
            driver.pgconn.finish()
        else:
            background_loop().run(driver.close(), CLOSE_SECONDS)


def _close_asyncpg(driver: Any) -> None:  # noqa: ANN401 - asyncpg has no types
    loop: asyncio.AbstractEventLoop = driver._loop  # noqa: SLF001 - asyncpg tells it nowhere else
    if loop.is_running():
        loop.call_soon_threadsafe(driver.terminate)
        return
    transport = driver._transport  # noqa: SLF001 - the same
    lost = getattr(transport, "_call_connection_lost", None)
    if lost is None or getattr(transport, "_sock", None) is None:
        driver.terminate()
        return
    # What `abort` would have the loop do, done here: this loop may never run again.
    if not loop.is_closed():
        loop._remove_reader(transport._sock_fd)  # type: ignore[attr-defined] # noqa: SLF001 - the public one refuses a transport's
    transport._closing = True  # noqa: SLF001 - else the loop, should it run again, would defend the number of its socket
    lost(None)


def is_stranded(connection: Any) -> bool:  # noqa: ANN401 - drivers have no common type
    """Whether it belongs to an event loop that has ended: only asyncpg ties a connection to one."""
    loop = getattr(getattr(connection, "_connection", None), "_loop", None)
    return isinstance(loop, asyncio.AbstractEventLoop) and loop.is_closed()
