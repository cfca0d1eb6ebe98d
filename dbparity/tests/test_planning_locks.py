"""What the lock modes keep others from, and the locks of statements that run outside of a transaction."""

from __future__ import annotations

import threading
import time
from itertools import product
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from planned import locks_of, seen
from sqlalchemy.exc import DBAPIError, OperationalError

from dbparity.planning import live_postgresql, postgresql
from dbparity.planning.locks import Lock

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

SECONDS = 30


def refused(connection: Connection, sql: str) -> bool:
    """Whether a statement would have to wait; undone either way."""
    try:
        with live_postgresql.undone(connection):
            connection.exec_driver_sql("SET LOCAL lock_timeout = '1ms'")
            connection.exec_driver_sql(sql)
    except OperationalError:  # which is what a lock that is not available is
        return True
    return False


def test_the_table_of_conflicts_is_the_servers(planned_engine: Engine, connection: Connection) -> None:
    with planned_engine.connect() as other:
        for held, asked in product(Lock, Lock):
            with live_postgresql.undone(connection):
                connection.exec_driver_sql(f"LOCK TABLE lonely IN {held} MODE")
                waits = refused(other, f"LOCK TABLE lonely IN {asked} MODE NOWAIT")
            assert held.conflicts(asked) == waits, (held, asked)


def test_who_waits_for_a_mode_is_who_is_said_to_wait(planned_engine: Engine, connection: Connection) -> None:
    with planned_engine.connect() as other:
        for held in Lock:
            with live_postgresql.undone(connection):
                connection.exec_driver_sql(f"LOCK TABLE lonely IN {held} MODE")
                assert held.stops_reads == refused(other, "SELECT count(*) FROM lonely"), held
                for write in (
                    "INSERT INTO lonely VALUES (9)",
                    "UPDATE lonely SET id = id",
                    "DELETE FROM lonely",
                ):
                    assert held.stops_writes == refused(other, write), (held, write)


@pytest.mark.parametrize(
    "sql", ["REINDEX INDEX ix_name", "REINDEX TABLE users", "ALTER INDEX ix_name SET TABLESPACE pg_default"]
)
def test_readers_of_a_table_wait_for_its_index_as_is_told(
    planned_engine: Engine, connection: Connection, sql: str
) -> None:
    effect = postgresql.effect_of(sql, live_postgresql.read(connection))
    assert any(each.mode.stops_reads for each in effect.locks)
    connection.exec_driver_sql(sql)
    with planned_engine.connect() as other:
        assert refused(other, "SELECT count(*) FROM users")


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE INDEX CONCURRENTLY i ON users (age)",
        "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON users (code)",
        "DROP INDEX CONCURRENTLY ix_name",
        "REINDEX TABLE CONCURRENTLY users",
        "VACUUM users",
        "VACUUM (FULL, ANALYZE) users",
    ],
)
def test_a_statement_outside_of_transactions_asks_for_the_lock_that_is_told(
    planned_engine: Engine, connection: Connection, watcher: Connection, sql: str
) -> None:
    """It is made to wait behind the weakest lock that this one has to wait for, and what it asks for is read."""
    effect = postgresql.effect_of(sql, live_postgresql.read(connection))
    assert effect.outside
    connection.rollback()
    mode = next(held for held in Lock if held.conflicts(effect.locks[0].mode))
    connection.exec_driver_sql(f"LOCK TABLE users IN {mode} MODE")
    with planned_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as runner:
        pid = int(runner.scalar(sa.text("SELECT pg_backend_pid()")) or 0)
        ended: list[str] = []
        thread = threading.Thread(target=_run, args=(runner, sql, ended))
        thread.start()
        try:
            asked = _waited_for(watcher, pid)
        finally:
            watcher.execute(sa.text("SELECT pg_cancel_backend(:pid)"), {"pid": pid})
            thread.join(SECONDS)
    assert asked == {each.table: each.mode for each in effect.locks}
    assert "canceling statement" in ended[0]


def _run(connection: Connection, sql: str, ended: list[str]) -> None:
    try:
        connection.exec_driver_sql(sql)
    except DBAPIError as error:
        ended.append(str(error))


def _waited_for(watcher: Connection, pid: int) -> dict[str, Lock]:
    names = seen(watcher).names
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        if asked := locks_of(watcher, pid, names, granted=False):
            return asked
    raise AssertionError("it never waited")


@pytest.mark.parametrize("sql", ["CREATE INDEX CONCURRENTLY i ON users (age)", "VACUUM users"])
def test_the_server_does_refuse_those_in_a_transaction(connection: Connection, sql: str) -> None:
    with pytest.raises(DBAPIError, match="cannot run inside a transaction block"):
        connection.exec_driver_sql(sql)
