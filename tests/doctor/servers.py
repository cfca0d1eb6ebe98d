"""PostgreSQL databases of a test's own, for faults that reach beyond the rows, and connections as others make them."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from dashtam import migrations
from dashtam.doctor.local import Local, local
from dashtam.settings import load
from dbparity.testing.postgres import PrivateCluster
from tests.doctor.deployments import DOCTOR_SECRET, variables
from tests.makers import MovableClock

LookingAt = Callable[..., AbstractAsyncContextManager[Local]]


@pytest.fixture(scope="session")
def migrated(cluster: PrivateCluster) -> str:
    """The name of a migrated database, to be copied."""
    name = "doctor_migrated"
    asyncio.run(migrations.upgrade(cluster.create_database(name)))
    return name


@pytest.fixture
def own_database(cluster: PrivateCluster, migrated: str) -> Iterator[str]:
    """The URL of a migrated database of the test's own."""
    with cluster.database(template=migrated) as url:
        yield url


@pytest.fixture(scope="session")
def quiet_database(cluster: PrivateCluster, migrated: str) -> str:
    """The URL of a migrated database that no test changes."""
    return cluster.create_database("doctor_quiet", template=migrated)


@pytest.fixture(scope="session")
def careless() -> Iterator[str]:
    """The URL of a server that somebody made fast, and that lets transactions be prepared."""
    settings = {
        "fsync": "off",
        "full_page_writes": "off",
        "autovacuum": "off",
        "max_prepared_transactions": "1",
    }
    with PrivateCluster(settings) as server:
        yield server.url()


@pytest.fixture
def looking_at(tmp_path: Path, clock: MovableClock) -> LookingAt:
    """Makes the deployment of a database URL, by the test's clock; further settings may be given."""

    def at(url: str, **given: object) -> AbstractAsyncContextManager[Local]:
        sound = {
            "environment": "test",
            "secret_key": DOCTOR_SECRET,
            "var_dir": tmp_path,
            "mail_transport": "memory",
        }
        settings = load(**sound | {"database_url": url} | given)
        return local(clock, settings, variables(settings))

    return at


def plain(url: str) -> str:
    """The URL as psycopg and people write it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def name_of(url: str) -> str:
    """The name of the database."""
    return make_url(url).database or ""


def as_role(url: str, role: str, password: str) -> str:
    """The same database, as another role."""
    return make_url(url).set(username=role, password=password).render_as_string(hide_password=False)


@contextmanager
def connected(url: str, name: str = "somebody else") -> Iterator[psycopg.Connection]:
    """A connection of another program, closed at the end; nothing that it did in a transaction stays."""
    connection = psycopg.connect(plain(url), application_name=name)
    try:
        yield connection
    finally:
        connection.close()
