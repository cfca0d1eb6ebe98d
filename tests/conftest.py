"""The databases and the running application that tests are given: the real ones, on SQLite and PostgreSQL.

dbparity builds the schema from the migrations, proves it before the first test, and undoes each test.
"""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from dashtam.settings import Settings, load
from dbparity import environment
from dbparity.testing.postgres import PostgresMissing, PrivateCluster
from tests.makers import CHEAP, SECRET, Deployment, deployed

# What is set already wins. Workers and commands that tests start inherit it.
ENV_FILE = ".env.ci" if os.environ.get("CI") == "true" else ".env.test"
environment.apply(Path(__file__).parents[1] / "env" / ENV_FILE, os.environ)

# A suite of their own, which needs a program for containers: `make containers`.
collect_ignore = ["containers"]


@pytest.fixture(scope="session")
def cluster() -> Iterator[PrivateCluster]:
    """A private PostgreSQL server for this run."""
    server = PrivateCluster()
    try:
        server.start()
    except PostgresMissing as missing:
        if os.environ.get("DASHTAM_REQUIRE_POSTGRES") == "1":
            raise
        pytest.skip(f"NOT TESTED ON POSTGRESQL: {missing}")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def base_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], str]:
    """Where the database of a kind ("sqlite", "postgresql") is."""

    @cache
    def of(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('base')}/dashtam_test.db"
        if given := os.environ.get(
            "TEST_POSTGRES_URL"
        ):  # dbparity makes the database, and those of this run beside it
            url = make_url(given).set(drivername="postgresql+asyncpg", database="dashtam_test")
            return url.render_as_string(hide_password=False)
        return str(request.getfixturevalue("cluster").create_database("dashtam_test"))

    return of


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def dbparity_database_url(request: pytest.FixtureRequest, base_url: Callable[[str], str]) -> str:
    """The database under test: what asks for one is tested on both."""
    return base_url(request.param)


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """The settings of a deployment of this environment, test or ci, with mail kept in memory."""
    return load(
        database_url=database_url,
        secret_key=SECRET,
        var_dir=tmp_path,
        mail_transport="memory",
        public_url="http://testserver",
    )


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Deployment]:
    """The running service, hashing cheaply, with a clock that the test moves."""
    async with deployed(settings, hash_cost=CHEAP) as running:
        yield running
