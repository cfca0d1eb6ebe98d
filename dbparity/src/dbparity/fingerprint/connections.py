"""What the application's own connections have set: by their URLs, their connect arguments, or on connecting.

Asked at the driver's level, so that it can be done on a connection that a pool is just about to hand out.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from sqlalchemy import Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import Pool

from dbparity.fingerprint.postgresql import shown
from dbparity.fingerprint.sessions import pool_facts
from dbparity.fingerprint.sqlite import PRAGMAS
from dbparity.observer import background_loop
from dbparity.sessions.pools import driver_of, is_ours

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbparity.fingerprint.file import Facts

OF_CONNECTIONS = (*PRAGMAS, "busy_timeout")
BACKENDS = frozenset({"postgresql", "sqlite"})
SECONDS = 20.0
MOST = 32
"""How many kinds of engines are looked at: a suite may make one for each test."""
_SET_HERE = """
SELECT name, current_setting(name, true), vartype FROM pg_settings
WHERE source IN ('client', 'session') AND name <> 'application_name' ORDER BY name
"""


def seen(backend: str, connection: Any) -> Facts:  # noqa: ANN401 - a driver's connection, or SQLAlchemy's face of one
    """The settings or pragmas that hold on this connection by its own doing."""
    cursor = connection.cursor()
    try:
        if backend == "postgresql":
            cursor.execute(_SET_HERE)
            return {"settings": {row[0]: shown(*row) for row in cursor.fetchall()}}
        return {"pragmas": dict(_pragmas(cursor))}
    finally:
        cursor.close()
        if backend == "postgresql":
            connection.rollback()


def _pragmas(cursor: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - the same
    for name in sorted(OF_CONNECTIONS):
        cursor.execute(f"PRAGMA {name}")
        if (row := cursor.fetchone()) is not None:
            yield name, row[0]


def as_the_application(engine: Engine) -> Facts:
    """What a connection has that is made as this engine makes its own; the engine's own pool is left alone."""
    backend = engine.dialect.name
    alike = Engine(engine.pool.recreate(), engine.dialect, engine.url)
    try:
        if engine.dialect.is_async:
            return background_loop().run(_in_loop(AsyncEngine(alike)), SECONDS)
        with alike.connect() as connection:
            return seen(backend, connection.connection)
    except Exception as error:  # noqa: BLE001 - drivers have their own errors, some of them outside of SQLAlchemy's
        return {"unknown": type(error).__name__}
    finally:
        alike.dispose(close=not engine.dialect.is_async)


async def _in_loop(engine: AsyncEngine) -> Facts:
    async with engine.connect() as connection:
        found: Facts = await connection.run_sync(lambda inner: seen(inner.dialect.name, inner.connection))
    await engine.dispose()
    return found


class Engines:
    """The kinds of engines that this process connects with: each is looked at once, when it is first used."""

    def __init__(self) -> None:
        self.found: dict[str, Facts] = {}
        self._known: WeakSet[Pool] = WeakSet()

    def start(self) -> None:
        """Look at every pool of the application from now on."""
        event.listen(Pool, "checkout", self._checked_out)

    def stop(self) -> None:
        """Look no more."""
        if event.contains(Pool, "checkout", self._checked_out):
            event.remove(Pool, "checkout", self._checked_out)

    def _checked_out(self, connection: Any, _: object, proxy: Any) -> None:  # noqa: ANN401 - the same
        pool: Pool = proxy._pool  # noqa: SLF001 - the only door
        if pool in self._known:
            return
        self._known.add(pool)
        backend = str(getattr(pool._dialect, "name", ""))  # noqa: SLF001 - the only door
        if is_ours(pool) or backend not in BACKENDS:
            return
        facts: Facts = {"backend": backend, "driver": driver_of(pool), "pool": pool_facts(pool)}
        key = json.dumps(facts, sort_keys=True, default=str)
        if key not in self.found and len(self.found) < MOST:
            self.found[key] = facts
            try:
                facts["connection"] = seen(backend, connection)
            except Exception as error:  # noqa: BLE001 - the application's statement comes next, and must find nothing
                facts["connection"] = {"unknown": type(error).__name__}
