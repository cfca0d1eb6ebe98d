"""The journey finds each planted fault at its step, explains it, shows no secret, leaves nothing behind."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from dashtam.journey import STEPS, CleanedUp, Event, HttpMailbox, Mail, Result, StepEnded, StepStarted, play
from tests.journey.toy import PREFIX, Toy


async def journey(toy: Toy, **options: object) -> Result:
    async with toy.client() as client:
        return await play(client, HttpMailbox(client), **({"patience": 0.02} | options))  # type: ignore[arg-type]


async def journey_against(app: ASGIApp) -> Result:
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://toy.test") as client:
        return await play(client, HttpMailbox(client), patience=0.02)


def test_there_are_18_steps_numbered_in_order_and_each_says_what_it_does():
    assert [step.number for step in STEPS] == list(range(1, 19))
    assert len({step.name for step in STEPS}) == 18
    assert all(step.sends and step.sees and step.hint and step.budget_ms > 0 for step in STEPS)


async def test_a_sound_service_passes_all_steps_and_keeps_no_account():
    toy = Toy()
    result = await journey(toy)
    assert result.passed, result.explain()
    assert result.score == "18/18"
    assert toy.accounts == {}


async def test_two_journeys_at_once_do_not_meet():
    toy = Toy()
    first, second = await asyncio.gather(journey(toy), journey(toy))
    assert first.passed, first.explain()
    assert second.passed, second.explain()
    assert first.address != second.address


@pytest.mark.parametrize(
    ("fault", "step", "saw"),
    [
        ("commit after response", 1, "401 invalid-credentials"),
        ("no verify-email mail", 2, "no mail at all"),
        ("html without link", 2, "not that one"),
        ("cacheable", 4, "no such header"),
        ("500 GET /auth/me", 5, "500"),
        ("no rotation", 6, "one that was handed out before"),
        ("fork", 8, "a second, different refresh token"),
        ("fork behind a cache", 8, "a second, different refresh token"),
        ("second session", 8, "3 session(s)"),
        ("successor dies", 8, "401 token-invalid"),
        ("late update", 9, "Journey Traveller"),
        ("no reset-password mail", 11, "1 mail(s) without such a link"),
        ("check spends", 13, "400 token-invalid"),
        ("reset twice", 13, "200"),
        ("no revocation", 14, "200"),
        ("window outlives session", 14, "200"),
        ("signature is enough", 15, "200"),
        ("old password works", 16, "200"),
        ("logout is only said", 18, "200"),
    ],
)
async def test_each_planted_fault_fails_its_step_and_no_other(fault: str, step: int, saw: str):
    toy = Toy(fault)
    result = await journey(toy)
    assert result.failure is not None
    assert (result.failure.number, result.failure.hint) == (step, STEPS[step - 1].hint), result.explain()
    assert saw in result.failure.saw
    statuses = [outcome.status for outcome in result.steps]
    assert statuses == ["passed"] * (step - 1) + ["failed"] + ["skipped"] * (18 - step)
    assert result.passed is False
    # Whatever failed, the account is gone, or its address is reported; never neither.
    assert set(toy.accounts) == ({result.clean_up.left_behind} if result.clean_up.left_behind else set())


async def test_an_unverified_account_is_verified_from_its_mail_to_be_removed():
    toy = Toy("500 POST /auth/verify-email once")
    result = await journey(toy)
    assert result.failure is not None
    assert result.failure.number == 3
    assert result.clean_up.left_behind is None, result.explain()
    assert toy.accounts == {}


async def test_an_account_that_cannot_be_removed_is_named_and_fails_the_journey():
    toy = Toy("500 DELETE /auth/me")
    result = await journey(toy)
    assert result.score == "18/18"
    assert result.passed is False
    assert result.clean_up.left_behind == result.address
    assert f"the account {result.address} was left behind" in result.explain()


async def test_an_account_that_was_never_acknowledged_is_only_said_to_be_possible():
    result = await journey(Toy("500 POST /auth/register", "500 POST /auth/login"))
    assert result.clean_up.left_behind == result.address
    assert "may have been left behind" in result.clean_up.detail


async def test_events_tell_each_step_as_it_starts_and_ends_and_then_the_clean_up():
    heard: list[Event] = []
    await journey(Toy("fork"), on_event=heard.append)
    assert [event.number for event in heard if isinstance(event, StepStarted)] == list(range(1, 9))
    ended = [event for event in heard if isinstance(event, StepEnded)]
    assert [event.outcome.status for event in ended] == ["passed"] * 7 + ["failed"]
    assert ended[-1].failure is not None
    assert isinstance(heard[-1], CleanedUp)


async def test_a_stopped_server_is_called_unreachable_and_nothing_is_left_behind():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    async with httpx2.AsyncClient(base_url=f"http://user:hush@127.0.0.1:{port}") as client:
        result = await play(client, HttpMailbox(client))
    assert result.failure is not None
    assert result.unreachable
    assert f"Nothing answers at http://127.0.0.1:{port}: is it running?" in result.failure.diagnosis
    assert result.clean_up.left_behind is None
    assert "hush" not in result.explain()


async def test_a_server_without_its_tables_is_told_to_migrate():
    result = await journey(Toy("500 POST /auth/register", "schema"))
    assert result.failure is not None
    assert result.failure.number == 1
    assert "schema: table users is missing" in result.failure.diagnosis
    assert "dashtam migrate up" in result.failure.diagnosis


async def test_a_fault_of_a_ready_server_points_to_its_log():
    result = await journey(Toy("500 POST /auth/register"))
    assert result.failure is not None
    assert "/health/ready answers 200" in result.failure.diagnosis
    assert "migrate" not in result.failure.diagnosis


async def test_an_application_that_raises_in_process_fails_the_step():
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        text = "the pool is shut"
        raise RuntimeError(text)

    result = await journey_against(broken)
    assert result.failure is not None
    assert result.failure.saw == "RuntimeError: the pool is shut"


async def test_a_redirecting_server_is_quoted_with_its_target():
    async def elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
        await RedirectResponse("https://auth.test/")(scope, receive, send)

    result = await journey_against(elsewhere)
    assert result.failure is not None
    assert "redirects to https://auth.test/" in result.failure.diagnosis


async def test_another_server_at_the_address_is_recognised():
    result = await journey_against(Starlette())
    assert result.failure is not None
    assert "no Dashtam API below /api/v1" in result.failure.diagnosis


async def test_a_throttling_server_is_quoted_with_its_wait():
    async def throttle(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(status_code=429, headers={"Retry-After": "30"})(scope, receive, send)

    result = await journey_against(throttle)
    assert result.failure is not None
    assert "try again in 30 s" in result.failure.diagnosis


async def test_a_cancelled_journey_still_removes_its_account():
    toy = Toy()
    reached = asyncio.Event()

    class NoMail:
        async def messages(self, to: str) -> Sequence[Mail]:
            if toy.accounts[to].verified:
                return []
            toy.accounts[to].verified = True
            reached.set()
            return []

    async with toy.client() as client:
        running = asyncio.create_task(play(client, NoMail(), patience=30))
        await reached.wait()
        assert len(toy.accounts) == 1
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert toy.accounts == {}


@pytest.mark.parametrize(
    "fault", ["500 POST /auth/register", "fork", "500 POST /password-resets/confirm", "no revocation"]
)
async def test_a_report_shows_no_password_and_no_token_even_when_the_server_echoes_them(fault: str):
    toy = Toy(fault)
    result = await journey(toy)
    story = result.explain()
    assert "redacted" in story
    secrets = toy.secrets_seen
    assert len(secrets) > 0
    assert [secret for secret in secrets if secret in story] == []
    assert result.address in story


async def test_redaction_is_what_hides_them():
    """The sound twin: the very values that the reports hide are on the wire."""
    toy = Toy("500 POST /auth/register")
    await journey(toy)
    assert any(secret in body for secret in toy.secrets_seen for body in toy.bodies)


async def test_the_prefix_is_the_callers():
    toy = Toy()
    result = await journey(toy, prefix="/elsewhere")
    assert result.failure is not None
    assert result.failure.number == 1
    assert (await journey(toy, prefix=PREFIX.strip("/"))).passed
