"""Each of the four short checks holds for a sound service and fails for one that breaks it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx2
import pytest

from dashtam.journey import Mismatch
from dashtam.journey.checks import docs_reachable, health_answers, weak_password_refused, wrong_login_refused
from tests.journey.toy import Toy

Check = Callable[[httpx2.AsyncClient], Awaitable[None]]


@pytest.mark.parametrize(
    "check", [health_answers, docs_reachable, wrong_login_refused, weak_password_refused]
)
async def test_a_check_holds_for_a_sound_service(check: Check):
    async with Toy().client() as client:
        await check(client)


@pytest.mark.parametrize(
    ("check", "fault", "saw"),
    [
        (health_answers, "unhealthy", "'ailing'"),
        (health_answers, "schema", "503"),
        (health_answers, "500 GET /health/live", "500"),
        (docs_reachable, "500 GET /docs", "500"),
        (docs_reachable, "docs from elsewhere", "https://cdn.test/docs.js"),
        (docs_reachable, "500 GET /assets/docs.js", "500"),
        (docs_reachable, "no login documented", "0 others"),
        (wrong_login_refused, "everyone may enter", "200"),
        (wrong_login_refused, "refusal echoes", "one that does"),
        (weak_password_refused, "weak is fine", "201"),
        (weak_password_refused, "weak is kept", "403 email-not-verified"),
    ],
)
async def test_a_check_sees_its_fault(check: Check, fault: str, saw: str):
    async with Toy(fault).client() as client:
        with pytest.raises(Mismatch) as caught:
            await check(client)
    assert saw in caught.value.saw
