"""A production deployment, for what the pages say of one."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dashtam.settings import load
from tests.conftest import CHEAP, SECRET, deployed
from tests.makers import Deployment


@pytest.fixture
async def production(sqlite_template: Path, tmp_path: Path) -> AsyncIterator[Deployment]:
    """The running service with the settings of production, but for where its mail goes."""
    settings = load(
        environment="prod",
        database_url=f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'dashtam.db')}",
        secret_key=SECRET,
        public_url="https://auth.example.org",
        mail_transport="smtp",
        smtp_url="smtp://127.0.0.1:9",
    )
    async with deployed(settings, hash_cost=CHEAP) as running:
        yield running
