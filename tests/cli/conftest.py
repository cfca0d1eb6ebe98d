"""Deployments to run commands in: empty, migrated, and one that serves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dbparity.testing.postgres import PrivateCluster
from tests.cli.running import SERVING, Place, free_port, read_until


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """SQLite, nothing made yet."""
    return Place(tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def any_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Each database, nothing made yet."""
    if request.param == "sqlite":
        yield Place(tmp_path)
        return
    cluster: PrivateCluster = request.getfixturevalue("cluster")
    with cluster.database() as url:
        yield Place(tmp_path, DATABASE_URL=url.replace("+asyncpg", ""))


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, str]]:
    """A deployment that serves, and its address."""
    place, port = Place(tmp_path_factory.mktemp("serving")), free_port()
    assert place.run("migrate", "up").returncode == 0
    with place.started("serve", "--port", str(port)) as process:
        read_until(process, SERVING)
        yield place, f"http://127.0.0.1:{port}"
