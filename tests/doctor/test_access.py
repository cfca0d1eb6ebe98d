"""Roles with too much power or too few rights, and connections that others could read."""

from collections.abc import Iterator

import pytest

from dbparity.testing.postgres import PrivateCluster
from tests.doctor.asking import answer
from tests.doctor.deployments import PROD
from tests.doctor.servers import LookingAt, as_role, name_of
from tests.doctor.wire import lying

NAMES = ("access.role", "access.rights", "access.encrypted")


@pytest.fixture
def modest(cluster: PrivateCluster, own_database: str) -> Iterator[str]:
    """The database, as a role that may use its tables and nothing else."""
    name = name_of(own_database)
    cluster.sql("CREATE ROLE doctor_modest LOGIN PASSWORD 'modest'")
    cluster.sql(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO doctor_modest", dbname=name
    )
    yield as_role(own_database, "doctor_modest", "modest")
    cluster.sql("DROP OWNED BY doctor_modest", dbname=name)
    cluster.sql("DROP ROLE doctor_modest")


async def test_a_modest_role_is_sound_in_production(looking_at: LookingAt, modest: str):
    async with looking_at(modest, **PROD) as here:
        found = {name: await answer(here, name) for name in NAMES}
    assert {name: (each.verdict, each.remedy) for name, each in found.items()} == dict.fromkeys(
        NAMES, ("ok", "")
    )


@pytest.mark.plants("access.role")
async def test_a_superuser_is_too_much_for_production_and_fits_development(
    looking_at: LookingAt, quiet_database: str
):
    async with looking_at(quiet_database, **PROD) as here:
        found = await answer(here, "access.role")
    assert found.verdict == "warning"
    assert "role postgres has SUPERUSER, CREATEROLE, CREATEDB" in found.evidence
    assert 'ALTER ROLE "postgres" NOSUPERUSER NOCREATEROLE' in found.remedy
    async with looking_at(quiet_database) as here:
        assert (await answer(here, "access.role")).verdict == "ok"


@pytest.mark.plants("access.rights")
async def test_a_right_that_was_not_granted_is_named(
    looking_at: LookingAt, modest: str, cluster: PrivateCluster
):
    name = name_of(modest)
    cluster.sql("REVOKE INSERT, DELETE ON audit_events FROM doctor_modest", dbname=name)
    async with looking_at(modest) as here:
        found = await answer(here, "access.rights")
    assert found.verdict == "failure"
    assert found.evidence == "role doctor_modest lacks INSERT, DELETE on audit_events"
    assert "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES" in found.remedy


@pytest.mark.plants("access.encrypted")
async def test_a_public_server_without_encryption_is_found(looking_at: LookingAt, quiet_database: str):
    async with lying(quiet_database, {"127.0.0.1": "198.7.6.5"}) as url, looking_at(url) as here:
        found = await answer(here, "access.encrypted")
    assert found.verdict == "warning"
    assert "the connection to 198.7.6.5 is not encrypted" in found.evidence
    assert "ssl=verify-full" in found.remedy
