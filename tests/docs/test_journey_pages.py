"""What journey.md says of the journey: its failure is real, its reports are there, production works as told."""

import re

import httpx2
import pytest

from dashtam.journey import HttpMailbox, play
from dashtam.settings import Settings, load
from tests.docs.reading import ROOT, blocks
from tests.makers import CHEAP, SECRET, Deployment, deployed

PAGE = (ROOT / "docs" / "journey.md").read_text("utf-8")
SMOKE_TOKEN = "Qm4vRx7pLw1nKt5yBs8dHf3gJz6cVa2e-journeys"


def story(text: str) -> list[str]:
    """The words of a failure: its first line and the indented ones of which none is the exchange."""
    return re.findall(r"^(?:Step \d+, .*|  [A-Z]\w+: .*)$", text, re.MULTILINE)


async def test_the_failure_on_the_page_is_the_one_that_is_seen(settings: Settings) -> None:
    async with deployed(
        settings.model_copy(update={"refresh_replay_seconds": 0}), hash_cost=CHEAP
    ) as running:
        result = await play(running.client, running.mailbox)
    shown = blocks(PAGE, "text")[0].text
    assert "REFRESH_REPLAY_SECONDS=0" in PAGE
    assert story(result.explain()) == story(shown)
    assert result.score == "7/18"
    assert result.score in shown
    assert result.clean_up.left_behind is None


@pytest.fixture
def guarded(sqlite_url: str) -> Settings:
    """The settings of a production deployment with a SMOKE_TOKEN."""
    return load(
        environment="prod",
        database_url=sqlite_url,
        secret_key=SECRET,
        public_url="https://auth.example.org",
        mail_transport="smtp",
        smtp_url="smtp://127.0.0.1:9",
        smoke_token=SMOKE_TOKEN,
    )


async def test_production_is_played_with_the_smoke_token_and_no_mail_leaves(guarded: Settings) -> None:
    async with deployed(guarded, hash_cost=CHEAP) as running:
        result = await play(running.client, HttpMailbox(running.client, smoke_token=SMOKE_TOKEN))
        assert result.passed, result.explain()
        assert await running.mailbox.transport.delivered(result.address) == []


async def test_the_smoke_mailbox_is_for_the_bearer_and_the_reserved_domain_only(guarded: Settings) -> None:
    async with deployed(guarded, hash_cost=CHEAP) as running:
        assert await read(running, "a@journey.invalid", SMOKE_TOKEN) == 200
        assert await read(running, "a@journey.invalid", SMOKE_TOKEN[:-1] + "x") == 401
        assert await read(running, "ada@example.org", SMOKE_TOKEN) == 404


async def test_without_a_smoke_token_there_is_no_such_mailbox(production: Deployment) -> None:
    assert await read(production, "a@journey.invalid", SMOKE_TOKEN) == 404
    result = await play(
        production.client, HttpMailbox(production.client, smoke_token=SMOKE_TOKEN), patience=1
    )
    assert result.failure is not None
    assert result.failure.number == 2
    assert "SMOKE_TOKEN" in result.failure.saw


async def read(running: Deployment, to: str, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    answer: httpx2.Response = await running.client.get("/smoke/mailbox", params={"to": to}, headers=headers)
    return answer.status_code
