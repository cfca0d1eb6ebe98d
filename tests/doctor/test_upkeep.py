"""Rows that are over, and nobody to clear them away."""

from datetime import timedelta

import pytest

from dashtam.core.tables import ThrottleCounter
from dashtam.core.upkeep import purge
from dashtam.doctor.inside.upkeep import MANY
from dashtam.doctor.local import Local
from tests.doctor.asking import answer
from tests.makers import MovableClock


@pytest.mark.plants("upkeep.purged")
async def test_rows_that_pile_up_are_found_until_a_service_purges_them(sound: Local, clock: MovableClock):
    over = clock.now() - timedelta(hours=23)
    async with sound.service.database.write() as db:
        db.add_all(
            ThrottleCounter(key=f"login:{number}", count=1, ends_at=over) for number in range(MANY + 1)
        )
    assert (await answer(sound, "upkeep.purged")).verdict == "ok", "not over for long enough"
    clock.move(hours=2)
    found = await answer(sound, "upkeep.purged")
    assert found.verdict == "warning"
    assert f"more than {MANY} throttle counters" in found.evidence
    assert "could not purge" in found.remedy
    await purge(sound.service, clock.now())
    assert (await answer(sound, "upkeep.purged")).evidence.startswith("0 throttle counters")
