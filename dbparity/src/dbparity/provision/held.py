"""A connection that is kept: for locks that live as long as it, and end with its process however that ends."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import NullPool

from dbparity.observer import background_loop, own_engine
from dbparity.provision.errors import ProvisionError
from dbparity.targets import identity_of

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 30.0
_TIMEOUTS = {"asyncpg": "timeout", "psycopg": "connect_timeout", "psycopg2": "connect_timeout"}

# idle_session_timeout (PostgreSQL 14 and later) would take a lock away from whoever sits still with it.
_INTRODUCED = text("""
SELECT set_config('application_name', :name, false),
  (SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'idle_session_timeout')
""")


class UnreachableError(ProvisionError):
    """No connection can be had; the message says so in one sentence."""


def connect_options(url: URL) -> dict[str, Any]:
    """What keeps this URL's driver from trying to connect for ever."""
    option = _TIMEOUTS.get(url.get_driver_name())
    return {option: int(CONNECT_SECONDS)} if option else {}


def first_line(error: BaseException) -> str:
    """What an error says, without the driver's and SQLAlchemy's additions."""
    error = getattr(error, "orig", None) or error
    # SQLAlchemy's adapter for asyncpg puts the class in front: "<class 'asyncpg.…Error'>: …".
    said = re.sub(r"^<class '[\w.]+'>: ", "", str(error).strip()).splitlines()
    return said[0].strip() if said else type(error).__name__


def on_own_connection(url: URL, work: Callable[[Connection], T]) -> T:
    """Run `work` on a connection of this thread alone, which must have no running loop; nothing is committed for it."""
    engine = own_engine(url, poolclass=NullPool, connect_args=connect_options(url))
    if isinstance(engine, AsyncEngine):
        return asyncio.run(_in_loop(engine, work))
    with engine.connect() as connection:
        return work(connection)


async def _in_loop(engine: AsyncEngine, work: Callable[[Connection], T]) -> T:
    async with engine.connect() as connection:
        return await connection.run_sync(work)


class HeldConnection:
    """One connection to PostgreSQL in autocommit, open until it is closed; sync and async drivers alike."""

    def __init__(self, url: URL | str, application: str) -> None:
        self.url = make_url(url)
        self._engine = own_engine(
            self.url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args=connect_options(self.url),
        )
        try:
            self._connection = self._connected()
        except (SQLAlchemyError, OSError, TimeoutError, asyncio.CancelledError) as error:
            raise UnreachableError(self._refused(error)) from error
        except Exception as error:  # asyncpg's own errors reach us as they are
            if not type(error).__module__.startswith("asyncpg"):
                raise
            raise UnreachableError(self._refused(error)) from error
        self.call(lambda connection: connection.execute(_INTRODUCED, {"name": application}))

    def call(self, work: Callable[[Connection], T]) -> T:
        """Run `work` on the connection."""
        if isinstance(self._connection, AsyncConnection):
            return background_loop().run(self._connection.run_sync(work), ANSWER_SECONDS)
        return work(self._connection)

    def close(self) -> None:
        """Let go of it, and with it of every lock it has."""
        with suppress(SQLAlchemyError, OSError, TimeoutError):
            if isinstance(self._connection, AsyncConnection):
                background_loop().run(self._connection.close(), ANSWER_SECONDS)
            else:
                self._connection.close()

    def _connected(self) -> Connection | AsyncConnection:
        if isinstance(self._engine, AsyncEngine):
            return background_loop().run(self._begun(self._engine), ANSWER_SECONDS)
        return self._engine.connect()

    async def _begun(self, engine: AsyncEngine) -> AsyncConnection:
        return await engine.connect()

    def _refused(self, error: BaseException) -> str:
        user = self.url.username or "the default user"
        return f"No connection to {identity_of(self.url)} as {user}: {first_line(error)}"
