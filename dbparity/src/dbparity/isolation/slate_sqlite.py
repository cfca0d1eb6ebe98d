"""The slate of a SQLite file: no foreign keys and no triggers on our connection, so the order does not matter."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbparity.isolation.dirty import Names
from dbparity.isolation.slate import SEEDS_MOST, BlockedError, Blocker, Known, Table
from dbparity.targets import identity_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sqlalchemy.engine import URL

LOCK_SECONDS = 0.5
COLUMNS_MOST = 500
"""Of one SELECT; SQLite's own limit is 2000."""
GENERATED = (2, 3)
_LISTED = "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual')"
_ALL = "SELECT name FROM sqlite_master WHERE type = 'table'"
TABLE_LIST_SINCE = (3, 37)


class SqliteSlate:
    """One connection in autocommit to the file."""

    def __init__(self, url: URL) -> None:
        self._path = identity_of(url).database
        self._opened: sqlite3.Connection | None = None
        self._sequences: list[tuple[str, int]] = []
        self._seen = -1

    def learn(self) -> Known:
        """Read the tables, and the rows that are in them now."""
        known, large = _catalogue(self._connection), set()
        for key in sorted(self._filled(known.unseeded)):
            rows = self._rows(known.tables[key])
            if len(rows) > SEEDS_MOST:
                large.add(key)
            else:
                known.seeds[key] = rows
        if self._has_sequences():
            self._sequences = self._connection.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
        self._seen = self._version()
        return replace(known, too_large=frozenset(large))

    def relearn(self, known: Known) -> Known:
        """Read the tables again, and keep what is remembered of their rows."""
        now = _catalogue(self._connection)
        seeds = {key: rows for key, rows in known.seeds.items() if key in now.tables}
        return replace(now, seeds=seeds, too_large=known.too_large & now.tables.keys())

    def empty(self, known: Known, tables: Sequence[Table]) -> None:
        """Take every row out of these, and put those back that were there, in one transaction."""
        if not tables:
            return
        with self._writing(), self._silent(tables):
            for each in tables:
                self._connection.execute("DELETE FROM " + each.spelled)  # noqa: S608 - quoted
            for each in tables:
                if each.key in known.seeds:
                    self._connection.executemany(_insertion(each), known.seeds[each.key])

    def filled(self, known: Known) -> set[str]:
        """Look only where somebody else has committed something since the last look."""
        version = self._version()
        if version == self._seen:
            return set()
        found = self._filled(known.unseeded)
        if not found:
            self._seen = version
        return found

    def altered(self, known: Known) -> set[str]:
        """Compare what is remembered with what is there."""
        return {
            key
            for key, rows in known.seeds.items()
            if sorted(map(repr, rows)) != sorted(map(repr, self._rows(known.tables[key])))
        }

    def reset_sequences(self) -> None:
        """Let AUTOINCREMENT continue as it did before the first test; other ids follow the rows by themselves."""
        if self._has_sequences():
            with self._writing():
                self._connection.execute("DELETE FROM sqlite_sequence")
                self._connection.executemany("INSERT INTO sqlite_sequence VALUES (?, ?)", self._sequences)

    def strangers(self) -> list[str]:
        """A file does not tell who has it open."""
        return []

    def end(self, pids: Collection[int]) -> None:
        """There is no server that could."""

    def close(self) -> None:
        """Close the file."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            if not Path(self._path).exists():
                msg = f"{self._path} is not there any more: a test has removed the database under test."
                raise FileNotFoundError(msg)
            self._opened = sqlite3.connect(
                self._path, timeout=LOCK_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._opened.execute("PRAGMA foreign_keys = OFF")
            self._opened.execute("PRAGMA synchronous = OFF")  # tests' rows need not survive a power cut
        return self._opened

    @contextmanager
    def _writing(self) -> Iterator[None]:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) and "busy" not in str(error):
                raise
            words = f"a connection with an open transaction on {self._path} ({error})"
            raise BlockedError([Blocker(None, words)]) from error

    @contextmanager
    def _silent(self, tables: Sequence[Table]) -> Iterator[None]:
        """Without triggers: dropped and made again within the transaction, so nobody sees them missing."""
        made = [sql for each in tables for sql in each.triggers]
        for each in made:
            self._connection.execute("DROP TRIGGER " + _quoted(self._trigger(each)))
        yield
        for each in made:
            self._connection.execute(each)

    def _trigger(self, sql: str) -> str:
        query = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND sql = ?"
        return str(self._connection.execute(query, (sql,)).fetchone()[0])

    def _version(self) -> int:
        """A number that changes with every commit of another connection."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def _filled(self, tables: Sequence[Table]) -> set[str]:
        found = set()
        for start in range(0, len(tables), COLUMNS_MOST):
            part = tables[start : start + COLUMNS_MOST]
            query = ", ".join(f"EXISTS (SELECT 1 FROM {each.spelled})" for each in part)  # noqa: S608 - quoted
            row = self._connection.execute("SELECT " + query).fetchone()
            found |= {table.key for table, has_rows in zip(part, row, strict=True) if has_rows}
        return found

    def _rows(self, table: Table) -> list[tuple[Any, ...]]:
        columns = ", ".join(map(_quoted, table.columns))
        query = f"SELECT {columns} FROM {table.spelled} LIMIT {SEEDS_MOST + 1}"  # noqa: S608 - quoted
        return self._connection.execute(query).fetchall()

    def _has_sequences(self) -> bool:
        query = "SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'"
        return self._connection.execute(query).fetchone() is not None


def _catalogue(connection: sqlite3.Connection) -> Known:
    listed = _LISTED if sqlite3.sqlite_version_info >= TABLE_LIST_SINCE else _ALL
    names = [name for (name,) in connection.execute(listed) if not name.startswith("sqlite_")]
    tables = {name: _table(connection, name) for name in sorted(names)}
    referring: dict[str, set[str]] = {}
    by_lower = {name.lower(): name for name in tables}
    for name in tables:
        for row in connection.execute(f"PRAGMA foreign_key_list({_quoted(name)})"):
            if parent := by_lower.get(str(row[2]).lower()):
                referring.setdefault(parent, set()).add(name)
    views = {
        name.lower() for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'view'")
    }
    triggered = {name.lower() for name, table in tables.items() if table.triggers}
    words = {lower: frozenset([name]) for lower, name in by_lower.items()}
    return Known(
        tables,
        {key: frozenset(found) for key, found in referring.items()},
        Names(words, frozenset(views | triggered)),
    )


def _table(connection: sqlite3.Connection, name: str) -> Table:
    described = connection.execute(f"PRAGMA table_xinfo({_quoted(name)})")
    columns = tuple(row[1] for row in described if row[6] not in GENERATED)
    query = (
        "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND lower(tbl_name) = lower(?) ORDER BY rowid"
    )
    triggers = tuple(sql for (sql,) in connection.execute(query, (name,)))
    return Table(name, _quoted(name), columns, triggers)


def _insertion(table: Table) -> str:
    columns = ", ".join(map(_quoted, table.columns))
    marks = ", ".join("?" * len(table.columns))
    return f"INSERT INTO {table.spelled} ({columns}) VALUES ({marks})"  # noqa: S608 - quoted


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
