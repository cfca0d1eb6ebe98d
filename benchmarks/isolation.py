"""What savepoint isolation adds to a test: three inserts and a commit in it, against the same without isolation."""

import asyncio
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from benchmarks.databases import Place
from benchmarks.figure import Figure, Target, ratios
from dbparity.config import Config
from dbparity.isolation.routing import Router
from dbparity.isolation.savepoint import SavepointIsolation
from dbparity.observer import Observer, background_loop_in_use
from dbparity.provision.database import TestDatabase
from dbparity.watch import RunningTest, Watch

ROUND = 20
LIMIT_MS = 2.0
METADATA = sa.MetaData()
ROWS = sa.Table(
    "isolated_rows", METADATA, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text)
)
DRIVERS = {"postgresql": ("asyncpg", "psycopg"), "sqlite": ("aiosqlite", "pysqlite")}


def isolation(place: Place, seconds: float) -> list[Figure]:
    """Milliseconds of a test of three inserts and a commit, isolated by savepoint, with each driver."""
    base = make_url(str(place.settings.database))
    backend = base.get_backend_name()
    drivers = DRIVERS[backend]
    with background_loop_in_use():
        return [
            _measured(place.database, base.set(drivername=f"{backend}+{driver}"), seconds / len(drivers))
            for driver in drivers
        ]


def _measured(database: str, url: sa.URL, seconds: float) -> Figure:
    observer = Observer(url)
    observer.call(_build)
    watch = Watch([], {})
    router = Router(watch)
    router.install()
    with asyncio.Runner() as runner:
        about = TestDatabase(url, url, METADATA, Config(), observer, "bench", "main")
        isolated = SavepointIsolation(about, router, watch)
        is_async = url.get_dialect().is_async
        engine: Any = create_async_engine(url) if is_async else sa.create_engine(url)

        def work() -> None:
            if is_async:
                runner.run(_work_async(engine))
            else:
                _work(engine)

        test = RunningTest("bench", database=about)

        def in_isolation() -> None:
            isolated.begin(test)
            work()
            isolated.end(test)

        try:
            with_it, without = _in_turns(in_isolation, work, seconds)
        finally:
            disposed = engine.dispose()
            if is_async:
                runner.run(_awaited(disposed))
            isolated.close()
            router.uninstall()
            observer.call(_drop)
            observer.close()
    added = [one - other for one, other in zip(with_it, without, strict=True)]
    ratio, spread = ratios(with_it, without)
    row = ("isolation", database, url.drivername, "ms", median(with_it), median(without))
    target = Target("ms added by savepoint", median(added), LIMIT_MS)
    return Figure(*row, "the same, really committed", ratio, spread, f"rounds of {ROUND}", target)


def _in_turns(
    one: Callable[[], None], other: Callable[[], None], seconds: float
) -> tuple[list[float], list[float]]:
    first: list[float] = []
    second: list[float] = []
    end = time.perf_counter() + seconds
    one()
    while not first or time.perf_counter() < end:
        first.append(_round(one))
        second.append(_round(other))
    return first, second


def _round(work: Callable[[], None]) -> float:
    work()
    begun = time.perf_counter()
    for _ in range(ROUND):
        work()
    return (time.perf_counter() - begun) / ROUND * 1000


def _work(engine: sa.Engine) -> None:
    with Session(engine) as session:
        for name in "abc":
            session.execute(ROWS.insert().values(name=name))
        session.commit()


async def _work_async(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        for name in "abc":
            await session.execute(ROWS.insert().values(name=name))
        await session.commit()


async def _awaited(it: Any) -> None:  # noqa: ANN401 - an awaitable
    await it


def _build(connection: sa.Connection) -> None:
    METADATA.drop_all(connection)
    METADATA.create_all(connection)
    connection.commit()


def _drop(connection: sa.Connection) -> None:
    METADATA.drop_all(connection)
    connection.commit()
