"""Every answer that a feature test gets is held against the OpenAPI document, whatever the test is about."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from tests.features.contract import Contract
from tests.makers import Deployment


@pytest.fixture
async def service(service: Deployment) -> AsyncIterator[Deployment]:
    """The running service; the test fails if it answers anything that its own document does not say."""
    contract = Contract(service.app.openapi())
    strays: list[str] = []

    async def hold(answer: httpx2.Response) -> None:
        await answer.aread()
        strays.extend(contract.faults(answer))

    service.client.event_hooks["response"].append(hold)
    yield service
    assert strays == []
