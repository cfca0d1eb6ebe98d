"""What operations.md tells those who run the service is so."""

from pathlib import Path

import pytest
from sqlalchemy import text

from dashtam.core import upkeep
from dashtam.settings import load
from tests.docs.reading import ROOT
from tests.makers import SECRET, Deployment, deployed, problem

PAGE = " ".join((ROOT / "docs" / "operations.md").read_text("utf-8").split())


async def test_in_production_health_says_neither_version_nor_place(production: Deployment) -> None:
    assert "outside production with version and environment" in PAGE
    assert (await production.client.get("/health")).json() == {"status": "healthy"}
    assert (await production.client.get("/health/live")).status_code == 200
    assert (await production.client.get("/health/ready")).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "elsewhere.example.org"])
async def test_in_production_only_the_public_host_is_answered(production: Deployment, host: str) -> None:
    assert "anything else is refused with 421" in PAGE
    answer = await production.client.get("/health/live", headers={"Host": host})
    assert (answer.status_code, problem(answer)) == (421, "misdirected-request")


async def test_a_server_without_tables_serves_and_says_it_is_not_ready(tmp_path: Path) -> None:
    settings = load(
        database_url=f"sqlite:///{tmp_path}/empty.db", secret_key=SECRET, public_url="http://testserver"
    )
    async with deployed(settings) as running:
        assert (await running.client.get("/health/live")).status_code == 200
        ready = await running.client.get("/health/ready")
    assert (ready.status_code, problem(ready)) == (503, "not-ready")
    assert "dashtam migrate up" in ready.json()["detail"]


@pytest.mark.parametrize("dbparity_database_url", ["sqlite"], indirect=True)
async def test_what_is_over_is_deleted_after_thirty_days_and_the_audit_stays(service: Deployment) -> None:
    assert "are deleted after 30 days" in PAGE
    account = await service.logged_in()
    await service.post("/auth/logout", headers=account.bearer)
    kept = {}
    for days in (29, 2):
        service.clock.move(days=days)
        await upkeep.purge(service.service, service.service.clock.now())
        kept[days] = await counts(service)
    assert kept[29]["sessions"] == kept[29]["mail_outbox"] == 1
    assert kept[2]["sessions"] == kept[2]["mail_outbox"] == 0
    assert kept[2]["audit_events"] == kept[29]["audit_events"] > 0


async def counts(service: Deployment) -> dict[str, int]:
    """How many rows these tables have."""
    async with service.service.database.read() as db:
        connection = await db.connection()
        return {
            table: int((await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())
            for table in ("sessions", "mail_outbox", "audit_events")
        }
