"""What is known of a connection's transaction: to its driver, and to the server."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, text
from sqlalchemy.engine import AdaptedConnection

from dbparity.sessions.pools import is_facade

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from dbparity.provision.database import TestDatabase

ACTIVITY = text(
    "SELECT a.pid, a.state, a.wait_event_type, left(a.query, 80) AS query, "
    "extract(epoch FROM clock_timestamp() - a.xact_start)::float AS age, "
    "(SELECT string_agg(DISTINCT l.relation::regclass::text, ', ') FROM pg_locks l JOIN pg_class c "
    "ON c.oid = l.relation AND c.relkind = 'r' WHERE l.pid = a.pid AND c.relnamespace <> 'pg_catalog'::regnamespace) "
    "AS tables FROM pg_stat_activity a WHERE a.pid IN :pids "
    "AND a.pid <> pg_backend_pid() AND a.xact_start IS NOT NULL AND a.datname = current_database()"
).bindparams(bindparam("pids", expanding=True))


def backend_of(connection: Any) -> int | None:  # noqa: ANN401 - any driver's, or none
    """The server process behind a connection, as its driver knows it; None where there is none of its own."""
    driver = _driver(connection)
    with suppress(Exception):  # a connection in any state, of any driver
        if hasattr(driver, "get_server_pid"):
            return int(driver.get_server_pid())
        return int(driver.info.backend_pid)
    return None


def is_in_transaction(connection: Any) -> bool:  # noqa: ANN401 - any driver's, or none
    """Whether the driver knows of an open transaction."""
    driver = _driver(connection)
    with suppress(Exception):  # a connection in any state, of any driver
        if hasattr(driver, "is_in_transaction"):
            return bool(driver.is_in_transaction())
        if hasattr(driver, "in_transaction"):
            return bool(driver.in_transaction)
        return int(driver.info.transaction_status) > 0
    return False


def described(database: TestDatabase | None, pids: Sequence[int]) -> dict[int, str]:
    """What the server says of those of these processes that are in a transaction, a line for each."""
    if not pids or database is None or database.url.get_backend_name() != "postgresql":
        return {}
    with suppress(Exception):  # evidence only: a server that does not answer is another detector's business
        return database.observer.call(lambda connection: _asked(connection, pids))
    return {}


def _asked(connection: Connection, pids: Sequence[int]) -> dict[int, str]:
    return {row.pid: _line(row) for row in connection.execute(ACTIVITY, {"pids": list(pids)})}


def _line(row: Any) -> str:  # noqa: ANN401 - a row
    age = f" for {row.age:.2f} s" if row.age is not None else ""
    tables = f", holding locks on {row.tables}" if row.tables else ""
    return f"server process {row.pid} is {row.state}{age}{tables}; its last statement: {' '.join(row.query.split())}"


def _driver(connection: Any) -> Any:  # noqa: ANN401 - any driver's
    if is_facade(connection):
        return None
    return connection.driver_connection if isinstance(connection, AdaptedConnection) else connection
