"""The database: engines set up as production needs them, and transactions that commit before anything is said.

`write()` is a transaction that commits when its block ends and rolls back when it raises; `read()` is for
SELECTs that stand alone, each seeing what is committed at its own moment. PostgreSQL has one pool for both.
SQLite has one writing connection, so that writers queue in order instead of polling for the lock, and a few
for reading beside it (WAL).
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, async_sessionmaker, create_async_engine
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from dashtam import __version__

_SQLITE_READERS = 4
_POOL_TIMEOUT_SECONDS = 5
_BUSY_TIMEOUT_MS = 5_000
_STATEMENT_TIMEOUT_MS = 5_000
_LOCK_TIMEOUT_MS = 3_000
_IDLE_TIMEOUT_MS = 15_000

APPLICATION_NAME = f"dashtam/{__version__}"[:63]  # PostgreSQL keeps no more of it
"""How PostgreSQL's list of connections tells ours, and the version of the node behind each."""

SESSION_SETTINGS: Mapping[str, str] = {
    "timezone": "UTC",
    "statement_timeout": str(_STATEMENT_TIMEOUT_MS),
    "lock_timeout": str(_LOCK_TIMEOUT_MS),
    "idle_in_transaction_session_timeout": str(_IDLE_TIMEOUT_MS),
    "jit": "off",
}
"""What every connection to PostgreSQL asks the server for; times in ms."""

_SQLITE_PRAGMAS = (f"busy_timeout={_BUSY_TIMEOUT_MS}", "synchronous=FULL", "foreign_keys=ON")
_SQLITE_JOURNAL = "journal_mode=WAL"  # it is written into the file

AfterCommit = Callable[[], None]


class CommitUnknownError(Exception):
    """The connection was lost during COMMIT: the writes may or may not stand, so nothing may be repeated."""


class Database:
    """The engines of one database and the sessions over them. Made by the application, never at import.

    One that is `as_found` makes no SQLite file that is not there, and leaves the journal of one that is as it is.
    """

    def __init__(
        self, url: str, *, pool_size: int = 16, name: str = APPLICATION_NAME, as_found: bool = False
    ) -> None:
        self.is_sqlite = make_url(url).get_backend_name() == "sqlite"
        self.writer, self.reader = (
            _sqlite_engines(url, as_found=as_found)
            if self.is_sqlite
            else _postgresql_engines(url, pool_size, name)
        )
        self._write = async_sessionmaker(self.writer, class_=AsyncSession, expire_on_commit=False)
        self._read = async_sessionmaker(self.reader, class_=AsyncSession, expire_on_commit=False)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A transaction: committed at the end of the block, rolled back if the block raises."""
        async with self._write() as session:
            yield session
            try:
                await session.commit()
            except (TimeoutError, OSError) as error:  # nothing was heard of it
                raise CommitUnknownError from error
            except DBAPIError as error:
                if error.connection_invalidated:
                    raise CommitUnknownError from error
                raise
            for callback in after_commit(session):
                callback()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session for statements that only read; each sees what is committed when it runs."""
        async with self._read() as session:
            yield session

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """A bare connection for reading, for those who look at the schema rather than the rows."""
        async with self.reader.connect() as connection:
            yield connection

    async def dispose(self) -> None:
        """Close every connection."""
        await self.writer.dispose()
        await self.reader.dispose()


def after_commit(session: AsyncSession) -> list[AfterCommit]:
    """What is to be called once this session's transaction is committed; append to it."""
    callbacks: list[AfterCommit] = session.info.setdefault("after_commit", [])
    return callbacks


def insert_into(session: AsyncSession, table: type[SQLModel]) -> postgresql.Insert:
    """An INSERT with ON CONFLICT in the session's own dialect; SQLite took PostgreSQL's form of it."""
    if session.get_bind().dialect.name == "sqlite":
        return cast("postgresql.Insert", sqlite.insert(table))
    return postgresql.insert(table)


def _postgresql_engines(url: str, pool_size: int, name: str) -> tuple[AsyncEngine, AsyncEngine]:
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=_POOL_TIMEOUT_SECONDS,
        hide_parameters=True,  # an error names the statement, never what it was about
        connect_args={
            "server_settings": {"application_name": name, **SESSION_SETTINGS},
            "timeout": _POOL_TIMEOUT_SECONDS,
            "command_timeout": _POOL_TIMEOUT_SECONDS,  # a server that is gone keeps no promise of its own
        },
    )
    return engine, engine.execution_options(isolation_level="AUTOCOMMIT")


def _sqlite_engines(url: str, *, as_found: bool) -> tuple[AsyncEngine, AsyncEngine]:
    place = _existing(url) if as_found else make_url(url)
    pragmas = _SQLITE_PRAGMAS if as_found else (*_SQLITE_PRAGMAS, _SQLITE_JOURNAL)
    writer = _sqlite_engine(place, pragmas, pool_size=1)
    event.listen(writer.sync_engine, "begin", _begin_immediate)
    # A SELECT that stands alone needs no transaction around it, hence no rollback either: each is a thread's hop.
    alone = {"isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": True}
    reader = _sqlite_engine(place, pragmas, pool_size=_SQLITE_READERS, **alone)
    event.listen(reader.sync_engine, "connect", _refuse_writes)
    return writer, reader


def _existing(url: str) -> URL:
    """The same file, as the URI of one that must be there (sqlite.org/uri.html)."""
    place = make_url(url)
    file = Path(place.database or "").absolute().as_uri()
    return place.set(database=file, query={**place.query, "mode": "rw", "uri": "true"})


def _sqlite_engine(url: URL, pragmas: Sequence[str], **options: Any) -> AsyncEngine:  # noqa: ANN401  handed through
    engine = create_async_engine(
        url, max_overflow=0, pool_timeout=_POOL_TIMEOUT_SECONDS, hide_parameters=True, **options
    )

    def prepare(connection: Any, _record: object) -> None:  # noqa: ANN401  the driver's adapted connection
        connection.isolation_level = None  # the driver must not begin by itself: `_begin_immediate` does
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine.sync_engine, "connect", prepare)
    return engine


def _begin_immediate(connection: Connection) -> None:
    """Take the write lock at once: a transaction that first reads could not be given it later."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _refuse_writes(connection: Any, _record: object) -> None:  # noqa: ANN401  the driver's adapted connection
    """A write that strays into `read()` would be committed at once: let it fail instead."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA query_only=ON")
    cursor.close()
