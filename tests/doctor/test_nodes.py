"""Nodes of other versions."""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import text

from dashtam import __version__
from dashtam.core.db import Database
from dbparity.testing.postgres import PrivateCluster
from tests.doctor.asking import answer
from tests.doctor.servers import LookingAt, connected


@pytest.fixture
def node(quiet_database: str) -> Iterator[psycopg.Connection]:
    """A connection as a node of this version makes it."""
    with connected(quiet_database, f"dashtam/{__version__}") as connection:
        yield connection


async def test_nodes_of_this_version_are_sound(looking_at: LookingAt, quiet_database: str, node: object):
    async with looking_at(quiet_database) as here:
        found = await answer(here, "nodes.versions")
    assert (found.verdict, found.evidence) == (
        "ok",
        f"1 connection of running nodes, none of another version than this, {__version__}",
    )


@pytest.mark.plants("nodes.versions")
async def test_a_node_of_another_version_is_named_with_its_address(
    looking_at: LookingAt, quiet_database: str
):
    async with looking_at(quiet_database) as here:
        with connected(quiet_database, "dashtam/0.0.9"):
            found = await answer(here, "nodes.versions")
    assert found.verdict == "warning"
    assert found.evidence.endswith("the database is used by: 0.0.9 on 127.0.0.1 (1 connection)")
    assert "bring every node to one version" in found.remedy


async def test_a_version_is_read_even_if_a_pooler_adds_the_address(
    looking_at: LookingAt, quiet_database: str
):
    """As PgBouncer does with application_name_add_host."""
    async with looking_at(quiet_database) as here:
        with connected(quiet_database, f"dashtam/{__version__} - 10.0.0.2:41234"):
            assert (await answer(here, "nodes.versions")).evidence.startswith("1 connection of running nodes")


async def test_what_uses_another_name_of_the_server_is_no_node_of_ours(
    looking_at: LookingAt, quiet_database: str, cluster: PrivateCluster
):
    async with looking_at(quiet_database) as here:
        with connected(cluster.url(), "dashtam/0.0.9"):
            assert (await answer(here, "nodes.versions")).verdict == "ok"


async def test_the_service_says_which_version_it_is(quiet_database: str):
    """What the check relies on."""
    service = Database(quiet_database)
    async with service.connect() as connection:
        assert await connection.scalar(text("SHOW application_name")) == f"dashtam/{__version__}"
    await service.dispose()
