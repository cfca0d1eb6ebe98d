"""The databases and the running application that tests are given: the real ones, on SQLite and PostgreSQL.

Schema comes from the migrations, once a run; every test gets a copy of its own.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI

from dashtam import migrations
from dashtam.app import create_app
from dashtam.core.passwords import HashCost
from dashtam.settings import Settings, load
from dbparity.testing.postgres import PostgresMissing, PrivateCluster
from tests.makers import Deployment, MemoryMailbox, MovableClock

CHEAP = HashCost(memory_kib=8, time_cost=1)
SECRET = "Zk3vQx8pLw2nRt6yBs9dHf4gJm7cXa5eUo1i-tests"


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
def postgres_template(cluster: PrivateCluster) -> str:
    """The name of a migrated database to clone."""
    url = cluster.create_database("template_migrated")
    asyncio.run(migrations.upgrade(url))
    return "template_migrated"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database file to copy."""
    path = tmp_path_factory.mktemp("template") / "dashtam.db"
    asyncio.run(migrations.upgrade(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A migrated database of this test's own."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "dashtam.db")
        yield f"sqlite+aiosqlite:///{tmp_path}/dashtam.db"
        return
    cluster: PrivateCluster = request.getfixturevalue("cluster")
    with cluster.database(template=request.getfixturevalue("postgres_template")) as url:
        yield url


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """The settings of a test deployment, with mail kept in memory."""
    return load(
        environment="test",
        database_url=database_url,
        secret_key=SECRET,
        var_dir=tmp_path,
        mail_transport="memory",
        public_url="http://testserver",
    )


@pytest.fixture
async def deployment(settings: Settings) -> AsyncIterator[Deployment]:
    """The running service, hashing at full cost."""
    async with deployed(settings) as running:
        yield running


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Deployment]:
    """The running service, hashing cheaply, with a clock that the test moves."""
    async with deployed(settings, hash_cost=CHEAP) as running:
        yield running


@asynccontextmanager
async def deployed(settings: Settings, hash_cost: HashCost | None = None) -> AsyncIterator[Deployment]:
    """The application of these settings, started, with a client and its mailbox."""
    clock, mailbox = MovableClock(), MemoryMailbox()
    app: FastAPI = create_app(settings, clock=clock, transport=mailbox.transport, hash_cost=hash_cost)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url=settings.public_url) as client,
    ):
        yield Deployment(app, client, mailbox, clock, settings)
