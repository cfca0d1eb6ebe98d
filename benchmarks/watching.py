"""What dbparity's watching costs: the statements of a test, and the look at the objects that sessions hold."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from statistics import median
from typing import Any

from sqlalchemy import Connection, MetaData, String, make_url, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from benchmarks.databases import Place
from benchmarks.figure import Figure, Target, ratios
from dbparity.config import Config
from dbparity.observer import Observer, background_loop_in_use
from dbparity.plugin.detectors import detectors
from dbparity.provision.database import TestDatabase
from dbparity.watch import RunningTest, Watch

OBJECTS = 300
STATEMENTS = 20
_STALE_MS, _TEST_MS, _TEST_PART = 15.0, 1.0, 0.05


class Base(DeclarativeBase):
    metadata = MetaData()


class Thing(Base):
    """A row of eight columns."""

    __tablename__ = "watched_things"
    id: Mapped[int] = mapped_column(primary_key=True)
    one: Mapped[str] = mapped_column(String(40), default="one")
    two: Mapped[str] = mapped_column(String(40), default="two")
    three: Mapped[str] = mapped_column(String(40), default="three")
    four: Mapped[str] = mapped_column(String(40), default="four")
    five: Mapped[int] = mapped_column(default=5)
    six: Mapped[int] = mapped_column(default=6)
    seven: Mapped[bool] = mapped_column(default=True)


def watching(place: Place, seconds: float) -> list[Figure]:
    """Milliseconds that a test of 20 statements takes longer, and that 300 held objects take to be compared."""
    with background_loop_in_use():
        return asyncio.run(_measured(place, seconds / 2))


async def _measured(place: Place, seconds: float) -> list[Figure]:
    engine = create_async_engine(place.settings.database)
    url = make_url(place.settings.database)
    database = TestDatabase(url, url, Base.metadata, Config(), Observer(url), "benchmark", "main")
    try:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with AsyncSession(engine) as session:
            session.add_all([Thing(id=number) for number in range(OBJECTS)])
            await session.commit()
        return [
            await _statements(place, engine, database, seconds),
            await _held(place, engine, database, seconds),
        ]
    finally:
        database.observer.close()
        await engine.dispose()


async def _statements(place: Place, engine: AsyncEngine, database: TestDatabase, seconds: float) -> Figure:
    watched: list[float] = []
    unwatched: list[float] = []
    until = time.perf_counter() + seconds
    while not watched or time.perf_counter() < until:
        unwatched.append(await _timed(lambda: _test(engine)))
        watch = _watch()
        await _watched(
            watch, engine, database
        )  # the first test of a run meets every statement for the first time
        watched.append(await _timed(lambda watch=watch: _watched(watch, engine, database)))  # type: ignore[misc]
        watch.stop()
    ratio, spread = ratios(watched, unwatched)
    added, allowed = median(watched) - median(unwatched), max(_TEST_MS, _TEST_PART * median(unwatched))
    row = ("watching", place.database, f"{STATEMENTS} statements", "ms", median(watched), median(unwatched))
    how = f"median of {len(watched)}: every detector"
    return Figure(*row, "the same unwatched", ratio, spread, how, Target("added ms", added, allowed))


async def _held(place: Place, engine: AsyncEngine, database: TestDatabase, seconds: float) -> Figure:
    compared: list[float] = []
    plain: list[float] = []
    watch = _watch()
    watch.begin_test(RunningTest("benchmark", database))
    async with AsyncSession(engine, expire_on_commit=False) as session:
        held = (await session.scalars(select(Thing))).all()
        await session.commit()
        until = time.perf_counter() + seconds
        while not compared or time.perf_counter() < until:
            started = time.perf_counter()
            watch.test_called()
            between = time.perf_counter()
            database.observer.call(_selected)
            compared.append((between - started) * 1000)
            plain.append((time.perf_counter() - between) * 1000)
        assert len(held) == OBJECTS
        assert not watch.findings
    watch.stop()
    ratio, spread = ratios(compared, plain)
    row = ("watching", place.database, f"{OBJECTS} held objects", "ms", median(compared), median(plain))
    how = f"median of {len(compared)}"
    target = Target("ms", median(compared), _STALE_MS)
    return Figure(*row, "one SELECT of the rows", ratio, spread, how, target)


def _watch() -> Watch:
    watch = Watch(detectors(Config(configured=True)), {})
    watch.start()
    return watch


async def _watched(watch: Watch, engine: AsyncEngine, database: TestDatabase) -> None:
    watch.begin_test(RunningTest("benchmark", database))
    watch.test_calling()
    await _test(engine)
    watch.test_called()
    watch.end_test()
    watch.forget_test()


async def _test(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session:
        for number in range(STATEMENTS):
            await session.scalars(select(Thing).where(Thing.id == number))


async def _timed(work: Callable[[], Coroutine[Any, Any, None]]) -> float:
    started = time.perf_counter()
    await work()
    return (time.perf_counter() - started) * 1000


def _selected(connection: Connection) -> int:
    return len(connection.execute(select(*Thing.__table__.columns)).all())
