"""Clocks that disagree with the database's, and rows of a time that has not come."""

import asyncio
from datetime import timedelta

import pytest

from dashtam.core.tables import AuditEvent
from dashtam.doctor.local import Local
from tests.doctor.asking import answer
from tests.doctor.servers import LookingAt
from tests.makers import MovableClock


async def test_clocks_that_agree_are_sound(looking_at: LookingAt, quiet_database: str):
    async with looking_at(quiet_database) as here:
        found = await answer(here, "clocks.database")
    assert (found.verdict, found.evidence) == ("ok", "the server's clock is within 0.0 s of this machine's")


@pytest.mark.plants("clocks.database")
@pytest.mark.parametrize(
    ("seconds", "verdict", "way"),
    [
        (10, "warning", "10 s behind"),
        (-10, "warning", "10 s ahead of"),
        (100, "failure", "100 s behind"),
        (-100, "failure", "100 s ahead of"),
    ],
)
async def test_clocks_that_disagree_are_found_and_fail_beyond_the_leeway(
    looking_at: LookingAt, quiet_database: str, clock: MovableClock, seconds: int, verdict: str, way: str
):
    clock.move(seconds=seconds)
    async with looking_at(quiet_database) as here:
        found = await answer(here, "clocks.database")
    assert found.verdict == verdict
    assert f"the server's clock is {way} this machine's" in found.evidence
    assert ("beyond 30 s nodes refuse each other's tokens" in found.evidence) == (verdict == "failure")
    assert "NTP" in found.remedy


@pytest.mark.plants("clocks.rows")
@pytest.mark.parametrize(("seconds", "verdict"), [(0, "ok"), (10, "warning"), (100, "failure")])
async def test_a_row_that_is_dated_ahead_is_found(
    sound: Local, clock: MovableClock, seconds: int, verdict: str
):
    for at in (clock.now() - timedelta(days=1), clock.now() + timedelta(seconds=seconds)):
        async with sound.service.database.write() as db:
            db.add(AuditEvent(at=at, kind="login"))
        await asyncio.sleep(0.002)  # ids are in order by the millisecond
    found = await answer(sound, "clocks.rows")
    assert found.verdict == verdict
    if verdict == "ok":
        assert "the newest audit event is of " in found.evidence
    else:
        assert "the newest audit event is dated " in found.evidence
        assert " s ahead of this machine's clock" in found.evidence
        assert "NTP" in found.remedy


async def test_without_rows_there_is_nothing_to_disagree_with(sound: Local):
    assert (await answer(sound, "clocks.rows")).evidence == "nothing is written down yet"
