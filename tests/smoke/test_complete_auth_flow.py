"""The five smoke tests: the whole 18-step journey, and the four short checks beside it.

`deployment` is the real application over a migrated database, once on SQLite and once on PostgreSQL.
"""

from __future__ import annotations

from dashtam.journey import play
from dashtam.journey.checks import docs_reachable, health_answers, weak_password_refused, wrong_login_refused
from tests.makers import Deployment


async def test_complete_authentication_flow(deployment: Deployment):
    result = await play(deployment.client, deployment.mailbox)
    assert result.passed, result.explain()


async def test_smoke_health_check(deployment: Deployment):
    await health_answers(deployment.client)


async def test_smoke_api_docs_accessible(deployment: Deployment):
    await docs_reachable(deployment.client)


async def test_smoke_invalid_login_rejected(deployment: Deployment):
    await wrong_login_refused(deployment.client)


async def test_smoke_weak_password_rejected(deployment: Deployment):
    await weak_password_refused(deployment.client)
