"""What dbparity's real-commit isolations add to a test: `delete` against its work, `clone` against the server."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import MetaData, insert, make_url
from sqlalchemy.engine import URL, Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks.databases import Place
from benchmarks.figure import Figure, Target, ratios
from benchmarks.schema import models
from dbparity.config import Config
from dbparity.isolation.base import Isolation
from dbparity.isolation.clone import CloneIsolation
from dbparity.isolation.delete import DeleteIsolation
from dbparity.isolation.routing import Router
from dbparity.observer import Observer
from dbparity.provision.database import TestDatabase
from dbparity.provision.kinds import databases_of
from dbparity.provision.templates import Templates
from dbparity.watch import RunningTest, Watch

TABLES = 200
CLONED_TABLES = 50
DIRTY = 3
FIRST = 3  # tests that fill caches, on the server and here
_DELETE_MS, _CLONE_RATIO = 3.0, 1.1


class _Suite:
    """What the plugin does around a test."""

    def __init__(self, url: URL, folder: Path) -> None:
        self.watch = Watch([], {})
        self.router = Router(self.watch)
        parts = (MetaData(), Config(root=folder), Observer(url), "benchmark", "main")
        self.database = TestDatabase(url, url, *parts)

    @contextmanager
    def running(self) -> Iterator[None]:
        self.router.install()
        yield
        self.router.uninstall()
        self.database.observer.close()

    def test(self, isolation: Isolation, work: Callable[[], None]) -> tuple[float, float]:
        """Milliseconds of the isolation, and of the test's own work."""
        test = RunningTest("test_it.py::test_it", database=self.database, isolation=isolation)
        started = time.perf_counter()
        isolation.begin(test)
        begun = time.perf_counter()
        work()
        worked = time.perf_counter()
        isolation.end(test)
        ended = time.perf_counter()
        return (begun - started + ended - worked) * 1000, (worked - begun) * 1000


def isolation_databases(place: Place, seconds: float) -> list[Figure]:
    """Milliseconds of `delete` with 3 dirty tables of 200, and of `clone` with 50 tables."""
    url = make_url(place.settings.database)
    return [_deleted(place, url, seconds / 2), _cloned(place, url, seconds / 2)]


def _deleted(place: Place, url: URL, seconds: float) -> Figure:
    metadata = models(TABLES)
    _build(url, metadata)
    suite = _Suite(url, place.folder)
    with suite.running(), _engine(url) as (runner, engine):
        isolation = DeleteIsolation(suite.database, suite.router, suite.watch)
        added, worked = _repeated(
            lambda: suite.test(isolation, lambda: runner.run(_written(engine, metadata))), seconds
        )
        isolation.close()
    ratio, spread = ratios(added, worked)
    return Figure(
        "isolation-databases",
        place.database,
        f"delete, {DIRTY} dirty tables of {TABLES}",
        "ms",
        median(added),
        median(worked),
        "the test's own 3 inserts and commit",
        ratio,
        spread,
        f"median of {len(added)}",
        Target("ms", median(added), _DELETE_MS),
    )


def _cloned(place: Place, url: URL, seconds: float) -> Figure:
    metadata = models(CLONED_TABLES)
    databases = databases_of(url)
    suite = _Suite(url, place.folder)
    templates = Templates(
        databases,
        lambda there: _build(there, metadata),
        lambda: "benchmark",
        root=place.folder,
        run="benchmark",
        worker="main",
    )

    def bare() -> float:
        """The same use of a copy, by an engine of its own: a database that was written to is dropped more slowly."""
        started = time.perf_counter()
        there = databases.clone(templates.ensure(), "dbparity_bare")
        cloned = time.perf_counter()
        with _engine(there) as (loop, own):
            loop.run(_written(own, metadata))
        used = time.perf_counter()
        databases.drop("dbparity_bare")
        return (time.perf_counter() - used + cloned - started) * 1000

    def in_turns() -> tuple[float, float]:
        own = bare()
        return suite.test(isolation, lambda: runner.run(_written(engine, metadata)))[0], own

    with suite.running(), _engine(url) as (runner, engine):
        isolation = CloneIsolation(suite.database, suite.router, suite.watch, templates)
        added, own = _repeated(in_turns, seconds)
        isolation.close()
    databases.drop(templates.ensure())
    templates.close()
    databases.close()
    ratio, spread = ratios(added, own)
    target = Target("ratio", ratio, _CLONE_RATIO) if place.database == "postgresql" else None
    row = (
        "isolation-databases",
        place.database,
        f"clone, {CLONED_TABLES} tables",
        "ms",
        median(added),
        median(own),
    )
    floor = "CREATE DATABASE … TEMPLATE and DROP" if place.database == "postgresql" else "copy and unlink"
    return Figure(*row, floor, ratio, spread, f"median of {len(added)}, in turns", target)


def _repeated(once: Callable[[], tuple[float, float]], seconds: float) -> tuple[list[float], list[float]]:
    pairs: list[tuple[float, float]] = []
    until = time.perf_counter() + seconds
    while len(pairs) <= FIRST or time.perf_counter() < until:
        pairs.append(once())
    return [pair[0] for pair in pairs[FIRST:]], [pair[1] for pair in pairs[FIRST:]]


@contextmanager
def _engine(url: URL) -> Iterator[tuple[asyncio.Runner, AsyncEngine]]:
    engine = create_async_engine(url)
    with asyncio.Runner() as runner:
        yield runner, engine
        runner.run(engine.dispose())


async def _written(engine: AsyncEngine, metadata: MetaData) -> None:
    async with engine.begin() as connection:
        for number, table in enumerate(metadata.sorted_tables[:DIRTY]):
            values: dict[str, Any] = {"name": "Ada", "email": f"{number}@example.org", "count": 1}
            _ = await connection.execute(insert(table), values)


def _build(url: URL, metadata: MetaData) -> None:
    observer = Observer(url, pooled=False)

    def make(connection: Connection) -> None:
        metadata.create_all(connection)
        connection.commit()

    observer.call(make)
    observer.close()
