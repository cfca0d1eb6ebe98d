"""The rates behind the estimates of dbparity's plans: rows and bytes a second of each kind of work.

`python -m benchmarks.planning_rates [ROWS]` prints a table for each database, to be written into
`dbparity/planning/rates.py` by hand. Two tables of ROWS rows (a million by default), about 40 and about 1,000
bytes wide; everything is in memory; the best of three counts, since other work on the machine only slows down.
"""

import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from dbparity.testing.postgres import PrivateCluster

ROWS = 1_000_000
WIDTHS = {"narrow": 10, "wide": 950}
TRIES = 3

Execute = Callable[[str], object]

POSTGRESQL = {
    "scan": "ALTER TABLE {t} ADD CONSTRAINT c CHECK (n >= 0)",
    "rewrite": "ALTER TABLE {t} ALTER COLUMN n TYPE bigint",
    "index": "CREATE INDEX i ON {t} (n)",
    "change rows": "UPDATE {t} SET n = n + 1",
    "insert rows": "INSERT INTO {t} SELECT * FROM {t}",
}
SQLITE = {
    "scan": "SELECT count(*) FROM {t} WHERE n < 0",
    "rewrite": "CREATE TABLE copied AS SELECT * FROM {t}",
    "index": "CREATE INDEX i ON {t} (n)",
    "change rows": "UPDATE {t} SET n = n + 1",
    "insert rows": "INSERT INTO {t} SELECT NULL, n, text FROM {t}",
}


def main(rows: int) -> None:
    """Measure both."""
    with PrivateCluster({"shared_buffers": "2GB", "max_wal_size": "8GB"}) as cluster:
        engine = sa.create_engine(cluster.url(driver="psycopg"))
        with engine.connect() as connection:
            _postgresql(connection, rows)
        engine.dispose()
    with tempfile.TemporaryDirectory() as folder:
        database = sqlite3.connect(Path(folder) / "rates.db", isolation_level=None)
        _sqlite(database, rows)
        database.close()


def _postgresql(connection: sa.Connection, rows: int) -> None:
    for name, width in WIDTHS.items():
        connection.exec_driver_sql(
            f"CREATE TABLE {name} AS SELECT g AS id, g AS n, repeat('x', {width}) AS text"  # noqa: S608
            f" FROM generate_series(1, {rows}) g"
        )
        connection.commit()
        size = int(connection.scalar(sa.text(f"SELECT pg_table_size('{name}')")) or 0)
        for kind, sql in POSTGRESQL.items():
            best = min(_undone(connection, sql.format(t=name)) for _ in range(TRIES))
            _say("postgresql", name, kind, rows, size, best)


def _undone(connection: sa.Connection, sql: str) -> float:
    started = time.perf_counter()
    connection.exec_driver_sql(sql)
    took = time.perf_counter() - started
    connection.rollback()
    return took


def _sqlite(database: sqlite3.Connection, rows: int) -> None:
    for name, width in WIDTHS.items():
        database.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, n INTEGER, text TEXT)")
        database.execute(
            f"WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < {rows})"  # noqa: S608
            f" INSERT INTO {name} SELECT i, i, printf('%.*c', {width}, 'x') FROM g"
        )
        for kind, sql in SQLITE.items():
            best = min(_taken_back(database, sql.format(t=name)) for _ in range(TRIES))
            _say("sqlite", name, kind, rows, rows * (width + 12), best)


def _taken_back(database: sqlite3.Connection, sql: str) -> float:
    database.execute("BEGIN")
    started = time.perf_counter()
    database.execute(sql).fetchall()
    took = time.perf_counter() - started
    database.execute("ROLLBACK")
    return took


def _say(database: str, table: str, kind: str, rows: int, size: int, seconds: float) -> None:
    rates = f"{rows / seconds:14,.0f} rows/s {size / seconds / 1e6:8,.0f} MB/s"
    print(f"{database:<11} {table:<7} {kind:<12} {seconds:8.3f} s {rates}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS)
