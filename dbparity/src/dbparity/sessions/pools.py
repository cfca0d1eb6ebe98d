"""What a pool's events do not say: whose pool it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.pool import SingletonThreadPool, StaticPool

from dbparity.observer import is_own

if TYPE_CHECKING:
    from sqlalchemy.pool import Pool, PoolProxiedConnection


def pool_of(proxy: PoolProxiedConnection) -> Pool:
    """The pool that a connection was taken out of."""
    found: Pool = proxy._pool  # noqa: SLF001 - the only door
    return found


def driver_of(pool: Pool) -> str:
    """The driver behind a pool, as its URL names it: "asyncpg"."""
    return str(getattr(pool._dialect, "driver", ""))  # noqa: SLF001 - the only door


def is_ours(pool: Pool) -> bool:
    """Whether it belongs to an engine of dbparity itself."""
    dialect: Any = pool._dialect  # noqa: SLF001 - the only door
    return is_own(dialect)


def is_shared(pool: Pool) -> bool:
    """Whether its one connection serves everybody, as with a database in memory, which ends with it."""
    return isinstance(pool, (StaticPool, SingletonThreadPool))


def is_facade(connection: object) -> bool:
    """Whether it is a part in the one connection of a test under savepoint isolation, and no driver's own."""
    return bool(getattr(connection, "closes_anywhere", False))
