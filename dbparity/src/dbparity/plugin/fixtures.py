"""What tests ask for. The session-scoped ones hold the configuration, and a conftest may override each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dbparity.committed import Committed
from dbparity.config import Schema, metadata_of
from dbparity.plugin.run import run_of, unset
from dbparity.plugin.stop import refusing, stopping

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy import MetaData
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session

    from dbparity.provision.database import TestDatabase

__all__ = [
    "_dbparity_test",
    "async_db_session",
    "committed",
    "database_url",
    "db_session",
    "db_sessions",
    "dbparity_database",
    "dbparity_database_url",
    "dbparity_isolation",
    "dbparity_lend",
    "dbparity_metadata",
    "dbparity_migrations",
    "dbparity_schema",
    "dbparity_sessionmaker",
]

try:
    import pytest_asyncio

    async_fixture: Any = pytest_asyncio.fixture
except ImportError:  # anyio's plugin runs plain ones
    async_fixture = pytest.fixture


@pytest.fixture(scope="session")
def dbparity_database_url(pytestconfig: pytest.Config) -> str:
    """The database that the application means; `database_url` of the configuration."""
    config = run_of(pytestconfig).config
    if not config.url:
        pytest.fail(
            unset(config)
            if config.variable
            else "No database is configured: set database_url in [tool.dbparity], "
            "or override the fixture dbparity_database_url.",
            pytrace=False,
        )
    return config.url


@pytest.fixture(scope="session")
def dbparity_metadata(pytestconfig: pytest.Config) -> MetaData:
    """The models' metadata; `metadata` of the configuration."""
    return metadata_of(run_of(pytestconfig).config)


@pytest.fixture(scope="session")
def dbparity_migrations(pytestconfig: pytest.Config) -> str:
    """alembic.ini or the script location; `migrations` of the configuration."""
    return run_of(pytestconfig).config.migrations


@pytest.fixture(scope="session")
def dbparity_schema(pytestconfig: pytest.Config) -> str:
    """migrate, create or verify; `schema` of the configuration."""
    return run_of(pytestconfig).config.schema


@pytest.fixture(scope="session")
def dbparity_sessionmaker(pytestconfig: pytest.Config) -> Any:  # noqa: ANN401 - sync, async, or none
    """The application's own session factory; `sessionmaker` of the configuration."""
    return run_of(pytestconfig).sessionmaker()


@pytest.fixture(scope="session")
def dbparity_isolation(pytestconfig: pytest.Config) -> str:
    """savepoint, delete or clone, for tests that do not say; `isolation` of the configuration."""
    return run_of(pytestconfig).config.isolation


@pytest.fixture(scope="session")
def dbparity_database(
    pytestconfig: pytest.Config,
    dbparity_database_url: str,
    dbparity_metadata: MetaData,
    dbparity_migrations: str,
    dbparity_schema: str,
) -> TestDatabase:
    """The database under test, its schema proven; nothing of the suite runs on a false one."""
    with stopping(run_of(pytestconfig)):
        return run_of(pytestconfig).databases.get(
            dbparity_database_url, dbparity_metadata, dbparity_migrations, Schema(dbparity_schema)
        )


@pytest.fixture(scope="session")
def dbparity_lend(
    pytestconfig: pytest.Config, dbparity_metadata: MetaData, dbparity_migrations: str, dbparity_schema: str
) -> Callable[[str], AbstractContextManager[str]]:
    """Lends copies of a database for as long as a `with` lasts: for servers and other processes of their own.

    It is handed the URL of the database that is proven and copied, and gives the URL of the copy.
    """
    run = run_of(pytestconfig)
    databases = run.databases

    def lend(url: str) -> AbstractContextManager[str]:
        with stopping(run):
            database = databases.get(url, dbparity_metadata, dbparity_migrations, Schema(dbparity_schema))
        return databases.lent(database)

    return lend


@pytest.fixture
def database_url(
    request: pytest.FixtureRequest, dbparity_database: TestDatabase, dbparity_isolation: str
) -> Iterator[str]:
    """The URL that leads to this test's database, for an application that is made in the test."""
    run = run_of(request.config)
    with refusing():
        url = run.isolate(request.node, dbparity_database, dbparity_isolation)
    yield url.render_as_string(hide_password=False)
    run.end_isolation(dbparity_database)


@pytest.fixture(autouse=True)
def _dbparity_test(request: pytest.FixtureRequest) -> None:
    """Isolate each test of a project that has configured its database, whatever fixtures it asks for."""
    if run_of(request.config).is_static:
        request.getfixturevalue("database_url")


@pytest.fixture
def db_sessions(
    request: pytest.FixtureRequest,
    database_url: str,
    dbparity_sessionmaker: Any,  # noqa: ANN401 - the same
) -> Iterator[Any]:
    """A factory of sessions as the application makes them, a session a call, on this test's database."""
    with run_of(request.config).sessions(dbparity_sessionmaker, database_url) as factory:
        yield factory


@pytest.fixture
def db_session(
    request: pytest.FixtureRequest,
    database_url: str,
    dbparity_sessionmaker: Any,  # noqa: ANN401 - the same
) -> Iterator[Session]:
    """A session of the test's own, with the application's options; never the one that serves a request."""
    with (
        run_of(request.config).sessions(dbparity_sessionmaker, database_url, is_async=False) as factory,
        factory() as session,
    ):
        yield session


@async_fixture  # type: ignore[untyped-decorator]
async def async_db_session(
    request: pytest.FixtureRequest,
    database_url: str,
    dbparity_sessionmaker: Any,  # noqa: ANN401 - the same
) -> AsyncIterator[AsyncSession]:
    """The same for async tests."""
    with run_of(request.config).sessions(dbparity_sessionmaker, database_url, is_async=True) as factory:
        async with factory() as session:
            yield session


@pytest.fixture
def committed(request: pytest.FixtureRequest, database_url: str) -> Iterator[Committed]:  # noqa: ARG001 - it isolates
    """What is really committed, asked through a connection that nobody shares."""
    asked = run_of(request.config).committed()
    yield asked
    asked.close()
