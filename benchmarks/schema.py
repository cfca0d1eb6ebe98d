"""Comparing models with tables (`dbparity.schema.compare`), against SQLAlchemy's reflection of the same tables."""

import asyncio
import time
from statistics import median

from sqlalchemy import CheckConstraint, Column, DateTime, ForeignKey, Index, Integer, MetaData, String, Table
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.databases import Place
from benchmarks.figure import Figure, Target, ratios
from dbparity.schema import compare

SIZES = (8, 50)
_LIMITS_MS = {50: 200.0}


def schema(place: Place, seconds: float) -> list[Figure]:
    """Milliseconds of one comparison of 8 and of 50 tables that are as they should be."""
    return [asyncio.run(_compared(place, size, seconds / len(SIZES))) for size in SIZES]


def models(count: int) -> MetaData:
    """So many tables of seven columns, with a key to the one before, a check, a unique column and two indexes."""
    metadata = MetaData()
    for number in range(count):
        Table(
            f"table_{number:02}",
            metadata,
            Column("id", Integer, primary_key=True),
            Column("before_id", ForeignKey(f"table_{max(0, number - 1):02}.id"), index=True),
            Column("name", String(100), nullable=False),
            Column("email", String(254), nullable=False, unique=True),
            Column("state", String(16), nullable=False, server_default="new"),
            Column("count", Integer, nullable=False),
            Column("at", DateTime(timezone=True)),
            CheckConstraint("count >= 0", name=f"ck_table_{number:02}_count"),
            Index(f"ix_table_{number:02}_state_at", "state", "at"),
        )
    return metadata


async def _compared(place: Place, size: int, seconds: float) -> Figure:
    engine = create_async_engine(place.settings.database)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_rebuild, models(size))
        async with engine.connect() as connection:
            compared, reflected = await connection.run_sync(_in_turns, models(size), seconds)
    finally:
        await engine.dispose()
    ratio, spread = ratios(compared, reflected)
    limit = _LIMITS_MS.get(size)
    target = Target("ms", median(compared), limit) if limit else None
    row = ("schema", place.database, f"{size} tables", "ms", median(compared), median(reflected))
    how = f"median of {len(compared)}, one connection"
    return Figure(*row, "MetaData.reflect()", ratio, spread, how, target)


def _rebuild(connection: Connection, metadata: MetaData) -> None:
    there = MetaData()
    there.reflect(connection)
    there.drop_all(connection)
    metadata.create_all(connection)


def _in_turns(connection: Connection, metadata: MetaData, seconds: float) -> tuple[list[float], list[float]]:
    compared: list[float] = []
    reflected: list[float] = []
    until = time.perf_counter() + seconds
    while not compared or time.perf_counter() < until:
        started = time.perf_counter()
        report = compare(connection, metadata)
        between = time.perf_counter()
        MetaData().reflect(connection)
        compared.append((between - started) * 1000)
        reflected.append((time.perf_counter() - between) * 1000)
        assert report.true, report.summary()
    return compared, reflected
