"""An application with its own engine, sync or async, on a database of some tables; and tests that begin and end."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from dbparity.config import Config
from dbparity.isolation.delete import DeleteIsolation
from dbparity.isolation.routing import Router
from dbparity.observer import Observer
from dbparity.provision.database import TestDatabase
from dbparity.watch import RunningTest, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dbparity.findings import Finding
    from dbparity.isolation.base import Isolation

SCHEMA = sa.MetaData()
USERS = sa.Table(
    "users",
    SCHEMA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("email", sa.String(40), unique=True),
)
NOTES = sa.Table(
    "notes",
    SCHEMA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("user_id", sa.ForeignKey("users.id", ondelete="RESTRICT"), nullable=False),
)
ROLES = sa.Table(
    "roles", SCHEMA, sa.Column("id", sa.Integer, primary_key=True), sa.Column("Name", sa.String(20))
)
GRANTS = sa.Table(
    "grants",
    SCHEMA,
    sa.Column("role_id", sa.ForeignKey("roles.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("what", sa.String(20), primary_key=True),
)
TEAMS = sa.Table(
    "teams",
    SCHEMA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("lead_id", sa.ForeignKey("members.id", use_alter=True, name="fk_lead")),
)
MEMBERS = sa.Table(
    "members",
    SCHEMA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("team_id", sa.ForeignKey("teams.id"), nullable=False),
)
SEEDS: dict[str, list[Any]] = {"roles": [(1, "o'wner: 100%"), (2, None)], "grants": [(1, "write")]}


UNTOUCHED = {"roles": 2, "grants": 1}
"""What `rows` gives before the first test."""


def fill(url: sa.URL) -> None:
    """Build the schema, with the rows that its migrations would put there."""
    observer = Observer(url, pooled=False)

    def make(connection: sa.Connection) -> None:
        SCHEMA.create_all(connection)
        connection.execute(ROLES.insert(), [{"id": row[0], "Name": row[1]} for row in SEEDS["roles"]])
        connection.execute(GRANTS.insert(), [{"role_id": 1, "what": "write"}])
        connection.commit()

    observer.call(make)
    observer.close()


def asked(url: sa.URL, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query, through a connection that nothing watches."""
    observer = Observer(url, pooled=False)
    try:
        return observer.call(lambda it: [tuple(row) for row in it.execute(sa.text(sql))])
    finally:
        observer.close()


def rows(suite: Suite) -> dict[str, int]:
    """How many rows each table has, where it has any."""
    counted = ", ".join(f"(SELECT count(*) FROM {table})" for table in SCHEMA.tables)
    counts = zip(SCHEMA.tables, asked(suite.url, f"SELECT {counted}")[0], strict=True)
    return {table: count for table, count in counts if count}


def isolated(suite: Suite) -> DeleteIsolation:
    """The isolation by real commits."""
    return DeleteIsolation(suite.database, suite.router, suite.watch)


class Application:
    """Has one engine for its whole life, and an event loop for an async one."""

    def __init__(self, url: sa.URL | str) -> None:
        self.url = sa.make_url(url)
        self.is_async = self.url.get_dialect().is_async
        self.runner = asyncio.Runner()
        self.engine: Any = (create_async_engine if self.is_async else sa.create_engine)(self.url)

    def do(self, *statements: str) -> None:
        """Run and commit statements."""
        self.work(lambda connection: [connection.execute(sa.text(each)) for each in statements])

    def work(self, work: Callable[[sa.Connection], Any]) -> Any:
        """Run `work` in a transaction and commit it."""
        if not self.is_async:
            with self.engine.begin() as connection:
                return work(connection)

        async def run() -> Any:
            async with self.engine.begin() as connection:
                return await connection.run_sync(work)

        return self.runner.run(run())

    def close(self) -> None:
        """Close its connections."""
        disposed = self.engine.dispose()
        if inspect.isawaitable(disposed):
            self.runner.run(_awaited(disposed))
        self.runner.close()


async def _awaited(it: Any) -> None:
    await it


class Suite:
    """What the plugin does around tests, for one database."""

    def __init__(self, url: sa.URL | str, folder: Path) -> None:
        self.watch = Watch([], {})
        self.router = Router(self.watch)
        self.url = sa.make_url(url)
        self.folder = folder
        self.database = TestDatabase(
            base=self.url,
            url=self.url,
            metadata=SCHEMA,
            config=Config(root=folder),
            observer=Observer(self.url),
            run="feed0001",
            worker="main",
        )
        self.application = Application(url)

    @contextmanager
    def running(self) -> Iterator[Suite]:
        """From the first test to the last."""
        self.watch.start()
        self.router.install()
        try:
            yield self
        finally:
            self.application.close()
            self.router.uninstall()
            self.watch.stop()
            self.database.observer.close()

    @contextmanager
    def test(
        self, isolation: Isolation, nodeid: str = "tests/test_a.py::test_one", **notes: Any
    ) -> Iterator[Any]:
        """One test's span; `failed` and findings are on what it yields."""
        test = RunningTest(nodeid, database=self.database, isolation=isolation, notes=dict(notes))
        self.watch.begin_test(test)
        isolation.begin(test)
        try:
            yield test
        finally:
            self.watch.test_called()
            self.watch.end_test()
            isolation.end(test)
            self.watch.forget_test()

    def found(self, detector: str) -> list[Finding]:
        """The findings of a detector."""
        return [each for each in self.watch.findings if each.detector == detector]
