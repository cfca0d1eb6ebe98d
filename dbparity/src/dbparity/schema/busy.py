"""Whether somebody else is changing the schema at this moment, asked without waiting for them.

PostgreSQL says who holds which lock. SQLite says only that a file is being written; Linux knows by whom.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from datetime import datetime

    from sqlalchemy import Connection, Row

WAIT_MS = 500
"""How long a reading waits for a lock before it calls the database busy."""

QUERY_SHOWN = 90
# Nobody but a migration writes the version table. A table that is locked like this is being changed; one that
# is locked and not in the catalogue was made by a transaction that has not committed. Beside a false schema,
# the weaker lock of CREATE INDEX CONCURRENTLY counts too.
_HOLDERS = sa.text("""
SELECT l.pid, a.state, a.xact_start, a.query, a.application_name,
  bool_or(l.locktype = 'advisory') AS building,
  bool_or(l.locktype = 'relation' AND c.oid = CAST(:version AS oid)) AS versioning,
  array_remove(array_agg(DISTINCT CASE WHEN c.oid IS DISTINCT FROM CAST(:version AS oid)
    THEN CAST(c.relname AS text) END), NULL) AS changing,
  count(DISTINCT l.relation) FILTER (WHERE l.locktype = 'relation' AND c.oid IS NULL) AS making
FROM pg_catalog.pg_locks l
LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
LEFT JOIN pg_catalog.pg_class c ON l.locktype = 'relation' AND c.oid = l.relation
LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND (l.pid IS NULL OR NOT l.pid = ANY (CAST(:mine AS int[])))
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
  AND COALESCE(a.backend_type, 'client backend') = 'client backend'
  AND (l.locktype = 'advisory' AND (CAST(l.classid AS bigint) << 32) + CAST(l.objid AS bigint)
         = ANY (CAST(:locks AS bigint[]))
    OR l.locktype = 'relation' AND (
      c.oid = CAST(:version AS oid) AND l.mode NOT IN ('AccessShareLock', 'RowShareLock')
      OR c.relkind IN ('r', 'p') AND CASE WHEN pg_catalog.pg_table_is_visible(c.oid)
          AND c.relname = ANY (CAST(:tables AS text[])) THEN true
          ELSE n.nspname || '.' || c.relname = ANY (CAST(:tables AS text[])) END
        AND (l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
          OR CAST(:unseen AS boolean) AND l.mode = 'ShareUpdateExclusiveLock')
      OR CAST(:unseen AS boolean) AND c.oid IS NULL AND l.relation >= 16384 AND l.mode = 'AccessExclusiveLock'))
GROUP BY 1, 2, 3, 4, 5 ORDER BY a.xact_start
""")
_WAITERS = sa.text("""
SELECT a.pid, a.query, pg_catalog.pg_blocking_pids(a.pid) AS behind FROM pg_catalog.pg_stat_activity a
WHERE a.datname = current_database() AND a.wait_event_type = 'Lock' AND a.pid <> pg_backend_pid()
ORDER BY a.pid
""")
_INODE = 5
"""Which word of a line in /proc/locks names the file."""
_SECRET = re.compile(r"(password\s+)'(?:[^']|'')*'", re.IGNORECASE)


@dataclass(frozen=True)
class Holder:
    """Somebody who is changing the schema, in sentences."""

    pid: int | None
    sentence: str
    waiting: tuple[str, ...] = ()
    """Who waits for them, with the same intention."""


@dataclass(frozen=True)
class Watched:
    """What must not be changed meanwhile: tables, the version table's number, and locks of builders."""

    tables: Collection[str]
    version: int | None
    locks: Collection[int] = ()
    mine: Collection[int] = ()
    """Backends of the caller, whose doings are no news."""


def holders(connection: Connection, watched: Watched, *, sound: bool) -> tuple[Holder, ...]:
    """Return who is changing the schema. Beside a `sound` one, unknown new tables are nobody's concern."""
    if connection.dialect.name == "sqlite":
        return () if sound else _writer(connection)
    bound = {"version": watched.version, "tables": list(watched.tables), "unseen": not sound}
    signed = [lock if lock < 1 << 63 else lock - (1 << 64) for lock in watched.locks]
    found = connection.execute(_HOLDERS, bound | {"locks": signed, "mine": list(watched.mine)}).all()
    waiters = connection.execute(_WAITERS).all() if found else []
    ahead = {row.pid for row in found}
    # Who waits for another holder is told as waiting, whatever it holds already.
    waiting = {each.pid for each in waiters if ahead & set(each.behind)}
    return tuple(_holder(row, waiters) for row in found if row.pid not in waiting or ahead <= waiting)


def _holder(row: Row[Any], waiters: Collection[Row[Any]]) -> Holder:
    behind = [each for each in waiters if row.pid in each.behind]
    waiting = tuple(f"process {each.pid} waits for it: {shown(each.query)}" for each in behind)
    return Holder(row.pid, f"{_who(row)} {_doing(row)}{_since(row.xact_start)}; {_says(row)}", waiting)


def _who(row: Row[Any]) -> str:
    if row.pid is None:
        return "a prepared transaction"
    name = f" ({row.application_name})" if row.application_name else ""
    return f"process {row.pid}{name}"


def _doing(row: Row[Any]) -> str:
    if row.versioning:
        return "is writing the version table"
    if row.making:
        what = "1 table or index that is" if row.making == 1 else f"{row.making} tables and indexes that are"
        return f"has made {what} not committed"
    if row.changing:
        return f"holds a lock on {', '.join(row.changing[:3])} as a change of the table does"
    return "holds the lock of those who build the schema"


def _since(start: datetime | None) -> str:
    return f", in a transaction begun {start:%Y-%m-%d %H:%M:%S %Z}" if start else ""


def _says(row: Row[Any]) -> str:
    if row.state is None:
        return "who that is may not be seen by this user"
    verb = "its last statement was" if row.state.startswith("idle") else "it is running"
    return f"{verb}: {shown(row.query or '')}"


def shown(query: str) -> str:
    """A statement on one line, shortened, without the passwords of roles."""
    line = _SECRET.sub(r"\1'***'", " ".join(query.split()))
    return line if len(line) <= QUERY_SHOWN else f"{line[:QUERY_SHOWN]}…"


def _writer(connection: Connection) -> tuple[Holder, ...]:
    """Ask SQLite for the right to write and give it back at once; the file is not touched by that."""
    path = next(
        (row[2] for row in connection.exec_driver_sql("PRAGMA database_list") if row[1] == "main"), ""
    )
    # Whoever writes in a transaction of this connection is not somebody else.
    if not path or getattr(connection.connection.driver_connection, "in_transaction", False):
        return ()
    try:
        with closing(_opened(path)) as probe:
            probe.execute("BEGIN IMMEDIATE")
            probe.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        return (locked(path),) if "locked" in str(error) else ()
    return ()


def _opened(path: str) -> sqlite3.Connection:
    # rw: never made where it is not there.
    return sqlite3.connect(
        f"{Path(path).absolute().as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None
    )


def locked(path: str) -> Holder:
    """Name who is writing a file of SQLite, if the system says so."""
    pids = sorted(_lockers(path))
    who = f"process {pids[0]}" if pids else "somebody"
    return Holder(pids[0] if pids else None, f"{who} is writing {path}: the file is locked")


def _lockers(path: str) -> set[int]:
    """Find the processes that hold a writing lock on the file, or on the index of its log."""
    try:
        files = {Path(name).stat().st_ino for name in (path, f"{path}-shm") if Path(name).exists()}
        lines = Path("/proc/locks").read_text("ascii").splitlines()
    except OSError:
        return set()
    rows = [line.split() for line in lines]
    return {
        int(row[4])
        for row in rows
        if len(row) > _INODE
        and row[3] == "WRITE"
        and int(row[_INODE].split(":")[2]) in files
        and int(row[4]) > 0
    }


@contextmanager
def hurried(connection: Connection) -> Iterator[None]:
    """Let no statement inside wait longer than WAIT_MS for a lock."""
    if connection.dialect.name == "sqlite":
        before = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
        set_, restore = f"PRAGMA busy_timeout = {WAIT_MS}", f"PRAGMA busy_timeout = {before}"
    else:
        before = connection.scalar(sa.text("SELECT current_setting('lock_timeout')"))
        set_, restore = (
            f"SELECT set_config('lock_timeout', '{value}', false)" for value in (WAIT_MS, before)
        )
    connection.exec_driver_sql(set_)
    try:
        yield
    finally:
        with suppress(DBAPIError):  # in a failed transaction, whose end restores it
            connection.exec_driver_sql(restore)


@contextmanager
def unharmed(connection: Connection, *, borrowed: bool) -> Iterator[None]:
    """Keep a borrowed transaction usable if a statement inside fails."""
    own = connection.connection.dbapi_connection
    if not borrowed or connection.dialect.name == "sqlite" or getattr(own, "autocommit", False):
        yield
        return
    with connection.begin_nested():
        yield
