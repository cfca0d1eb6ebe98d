"""The deployment that the smoke tests play against, in process."""

from collections.abc import AsyncIterator

import pytest

from dashtam.settings import Settings
from tests.makers import Deployment, deployed


@pytest.fixture
async def deployment(settings: Settings) -> AsyncIterator[Deployment]:
    """The running service, hashing at full cost."""
    async with deployed(settings) as running:
        yield running
