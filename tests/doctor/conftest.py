"""Deployments for the doctor to examine: sound ones, on SQLite and PostgreSQL, for the tests to plant faults in."""

from collections.abc import AsyncIterator

import pytest

from dashtam.doctor.local import Local, local
from dashtam.settings import Settings, load
from tests.doctor.deployments import DOCTOR_SECRET, PROD, variables
from tests.doctor.servers import careless, looking_at, migrated, own_database, quiet_database
from tests.makers import MovableClock

__all__ = ["careless", "looking_at", "migrated", "own_database", "quiet_database"]


@pytest.fixture
def clock() -> MovableClock:
    """The clock of `sound`, for the test to move."""
    return MovableClock()


@pytest.fixture
async def sound(settings: Settings, clock: MovableClock) -> AsyncIterator[Local]:
    """A test deployment, on each database: migrated, and with its first signing key."""
    async with local(clock, settings, variables(settings)) as here:
        await here.service.keys.load(here.service.database, clock.now())
        yield here


@pytest.fixture
def prod(settings: Settings) -> Settings:
    """The settings of a production deployment, on each database. Nothing answers at its SMTP_URL or PUBLIC_URL."""
    return load(
        **{
            **PROD,
            "database_url": settings.database_url,
            "secret_key": DOCTOR_SECRET,
            "var_dir": settings.var_dir,
        }
    )
