"""The pytest plugin that `dbparity crosscheck` adds to its runs: notes on each test, for comparing them.

Its notes travel in the report (`--dbparity-report=json`) as the test's `observed`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from dbparity.crosscheck.outsiders import Outsiders
from dbparity.crosscheck.recorder import Recorder
from dbparity.plugin.records import OBSERVED
from dbparity.plugin.run import run_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from sqlalchemy import Connection

    from dbparity.provision.database import TestDatabase
    from dbparity.targets import Identity

CLOCK_COLUMNS = text(
    "SELECT c.relname, a.attname FROM pg_attrdef d"
    " JOIN pg_class c ON c.oid = d.adrelid"
    " JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum"
    " WHERE pg_get_expr(d.adbin, d.adrelid) ~* '(now\\(\\)|current_timestamp|transaction_timestamp|localtimestamp)'"
)


class Probe:
    """Listens while tests run."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.outsiders = Outsiders(self.recorder.note)
        self._columns: dict[Identity, list[tuple[str, str]]] = {}

    def pytest_sessionstart(self) -> None:
        self.recorder.start()

    def pytest_sessionfinish(self) -> None:
        self.recorder.stop()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """From the first fixture on: rows that a fixture adds have ids too."""
        self.recorder.begin_test()
        test = run_of(item.config).watch.test
        if test is not None:
            test.notes[OBSERVED] = {"events": self.recorder.events, "clock_columns": []}
        self.outsiders.start()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """The catalogue is asked once for each database, before the test's own code holds any lock."""
        test = run_of(item.config).watch.test
        if test is not None and test.database is not None:
            columns = self._clock_columns(test.database)
            test.notes[OBSERVED]["clock_columns"] = columns
            self.recorder.clock_tables = frozenset(table for table, _ in columns)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self) -> Generator[None, object, object]:
        try:
            return (yield)
        finally:
            self.outsiders.stop()

    def _clock_columns(self, database: TestDatabase) -> list[tuple[str, str]]:
        if database.identity not in self._columns:  # a clone has the same
            self._columns[database.identity] = _asked(database)
        return self._columns[database.identity]


def _asked(database: TestDatabase) -> list[tuple[str, str]]:
    if database.identity.backend != "postgresql":
        return []  # SQLite's clock does not stand still in a transaction

    def ask(connection: Connection) -> list[tuple[str, str]]:
        return [(table, column) for table, column in connection.execute(CLOCK_COLUMNS)]

    try:
        return database.observer.call(ask)
    except (SQLAlchemyError, TimeoutError):
        return []


def pytest_configure(config: pytest.Config) -> None:
    """Take notes wherever tests run."""
    config.pluginmanager.register(Probe(), "dbparity-crosscheck-probe")
