"""Checks of PUBLIC_URL and TRUSTED_PROXIES: settings as people write them, and logins as a proxy lets them appear."""

from typing import Any
from uuid import UUID

import pytest

from dashtam.core import audit
from dashtam.core.ids import new_id
from dashtam.doctor.local import Local, local
from dashtam.settings import Settings
from tests.doctor.asking import answer


async def ask(settings: Settings, name: str, **changes: object) -> Any:
    """What the check answers about a deployment of these settings, changed."""
    async with local(settings=settings.model_copy(update=changes)) as here:
        return await answer(here, name)


@pytest.mark.parametrize("dbparity_database_url", ["sqlite"], indirect=True)
class TestSettings:
    async def test_a_sound_deployment_has_nothing_wrong(self, prod: Settings, sound: Local):
        named = {"trusted_proxies": ("10.0.0.0/8", "127.0.0.1/32", "104.16.0.0/13", "fd00::/8")}
        for name in ("proxies.public_url", "proxies.named", "proxies.narrow"):
            assert (await ask(prod, name, **named)).verdict == "ok"
        assert (await answer(sound, "proxies.public_url")).verdict == "ok"

    @pytest.mark.plants("proxies.public_url")
    @pytest.mark.parametrize("url", ["https://localhost:8443", "https://127.0.0.1", "https://auth.example"])
    async def test_a_url_that_leads_others_nowhere_is_found(self, prod: Settings, url: str):
        found = await ask(prod, "proxies.public_url", public_url=url)
        assert (found.verdict, found.evidence) == (
            "failure",
            f"PUBLIC_URL is {url}: mailed links lead nowhere",
        )
        assert "Set PUBLIC_URL" in found.remedy

    @pytest.mark.plants("proxies.public_url")
    async def test_a_url_without_a_domain_is_found(self, prod: Settings):
        found = await ask(prod, "proxies.public_url", public_url="https://auth")
        assert (found.verdict, "a name without a domain" in found.evidence) == ("warning", True)

    @pytest.mark.plants("proxies.named")
    async def test_a_proxy_that_is_not_named_is_found(self, prod: Settings):
        found = await ask(prod, "proxies.named", trusted_proxies=())
        assert (found.verdict, "TRUSTED_PROXIES is empty" in found.evidence) == ("warning", True)
        assert "share one limit" in found.remedy

    @pytest.mark.plants("proxies.narrow")
    @pytest.mark.parametrize("network", ["8.0.0.0/8", "128.0.0.0/1", "2000::/3"])
    async def test_networks_of_strangers_are_found(self, prod: Settings, network: str):
        found = await ask(prod, "proxies.narrow", trusted_proxies=("10.0.0.0/8", network))
        assert (found.verdict, found.evidence) == (
            "failure",
            f"TRUSTED_PROXIES believes strangers: {network}",
        )
        assert "addresses of your proxies alone" in found.remedy


async def logins(here: Local, *addresses: str, people: int = 6) -> None:
    """Logins of so many people in turn, one from each address."""
    users = [UUID(int=number) for number in range(people)]
    async with here.service.database.write() as db:
        for number, address in enumerate(addresses):
            client = audit.Client(ip=address, request_id=str(new_id()))
            audit.record(db, "logged-in", client, here.clock.now(), user_id=users[number % people])


@pytest.mark.plants("proxies.told_apart")
async def test_a_proxy_in_whose_name_all_log_in_is_found(prod: Settings):
    async with local(settings=prod) as here:
        await logins(here, *["10.0.0.5"] * 30)
        found = await answer(here, "proxies.told_apart")
    assert found.verdict == "failure"
    assert found.evidence.startswith("the last 30 logins, of different people, all came from 10.0.0.5")
    assert "TRUSTED_PROXIES, as 10.0.0.5/32" in found.remedy


@pytest.mark.parametrize("dbparity_database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("addresses", "people", "verdict"),
    [
        (["10.0.0.5"] * 29 + ["192.0.2.7"], 6, "ok"),
        (["8.8.8.8"] * 30, 6, "ok"),  # an office, behind one address
        (["10.0.0.5"] * 30, 2, "skipped"),
        (["10.0.0.5"] * 5, 5, "skipped"),
    ],
    ids=["told apart", "an office", "few people", "few logins"],
)
async def test_what_may_well_be_so_is_no_fault(
    prod: Settings, addresses: list[str], people: int, verdict: str
):
    async with local(settings=prod) as here:
        await logins(here, *addresses, people=people)
        assert (await answer(here, "proxies.told_apart")).verdict == verdict
