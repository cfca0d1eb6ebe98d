"""A production deployment, for what the pages say of one."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from dashtam.settings import load
from tests.makers import CHEAP, SECRET, Deployment, deployed


@pytest.fixture
def sqlite_url(
    base_url: Callable[[str], str], dbparity_lend: Callable[[str], AbstractContextManager[str]]
) -> Iterator[str]:
    """A migrated SQLite database of this test's own."""
    with dbparity_lend(base_url("sqlite")) as url:
        yield url


@pytest.fixture
async def production(sqlite_url: str) -> AsyncIterator[Deployment]:
    """The running service with the settings of production, but for where its mail goes."""
    settings = load(
        environment="prod",
        database_url=sqlite_url,
        secret_key=SECRET,
        public_url="https://auth.example.org",
        mail_transport="smtp",
        smtp_url="smtp://127.0.0.1:9",
    )
    async with deployed(settings, hash_cost=CHEAP) as running:
        yield running
