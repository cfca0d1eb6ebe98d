"""What the doctor says of the signing keys, on both databases."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import col, update

from dashtam.core.keys import rotate
from dashtam.core.tables import SigningKey
from dashtam.doctor.check import Verdict
from dashtam.doctor.inside.keys import CHECKS
from dashtam.doctor.local import Local, local
from dashtam.settings import Settings
from tests.doctor.asking import answer, complaints
from tests.makers import MovableClock

plants = pytest.mark.plants
OTHER_SECRET = "w6mJq2Rz8vTnLx4kPd9sHb7cFg3yUa5e-another"


async def _set(here: Local, values: Mapping[str, Any], kid: str = "") -> None:
    change = update(SigningKey).values(**values)
    async with here.service.database.write() as db:
        await db.exec(change.where(col(SigningKey.kid) == kid) if kid else change)


async def _rotate(here: Local) -> SigningKey:
    return await rotate(here.service.database, here.service.keys, here.clock.now())


async def test_a_key_its_rotation_and_its_end_get_no_complaint(sound: Local, clock: MovableClock):
    assert "signs" not in str(await complaints(sound))
    await _rotate(sound)
    for minutes in (0, 5, 11):  # announced, just taken over, and the one before is dead
        clock.move(minutes=minutes)
        found = {check.name: await answer(sound, check.name) for check in CHECKS}
        assert {name: each for name, each in found.items() if each.verdict is not Verdict.OK} == {}


async def test_where_no_key_is_made_yet_there_is_nothing_to_examine(settings: Settings):
    async with local(settings=settings) as here:
        found = {(await answer(here, check.name)).verdict for check in CHECKS}
    assert found == {Verdict.SKIPPED}


@plants("keys.opened")
async def test_another_secret_than_the_keys_were_made_with_is_told(sound: Local, settings: Settings):
    other = settings.model_copy(update={"secret_key": type(settings.secret_key)(OTHER_SECRET)})
    async with local(sound.clock, other) as here:
        found = await answer(here, "keys.opened")
    assert found.verdict is Verdict.FAILURE
    assert "SECRET_KEY does not open the signing key" in found.evidence
    assert found.remedy.startswith("Set SECRET_KEY to the one it was made with.")
    assert OTHER_SECRET not in found.evidence + found.remedy


@plants("keys.signing")
async def test_a_clock_by_which_no_key_signs_is_told(sound: Local, clock: MovableClock):
    clock.move(days=-1)
    found = await answer(sound, "keys.signing")
    assert found.verdict is Verdict.FAILURE
    assert "none of 1 keys signs now" in found.evidence
    assert "clock is right" in found.remedy


async def test_a_clock_a_few_seconds_behind_the_one_that_made_the_key_is_well(
    sound: Local, clock: MovableClock
):
    clock.move(seconds=-20)
    assert (await answer(sound, "keys.signing")).verdict is Verdict.OK


@plants("keys.schedule")
async def test_a_key_that_none_follows_is_told(sound: Local):
    await _set(sound, {"retired_at": sound.clock.now() + timedelta(hours=1)})
    found = await answer(sound, "keys.schedule")
    assert found.verdict is Verdict.WARNING
    assert "and no key follows" in found.evidence
    assert "delete them all" in found.remedy


@pytest.mark.parametrize("minutes", [-5, 5], ids=["overlap", "hole"])
async def test_keys_that_do_not_take_over_from_each_other_are_told(sound: Local, minutes: int):
    successor = await _rotate(sound)
    await _set(sound, {"activated_at": successor.activated_at + timedelta(minutes=minutes)}, successor.kid)
    found = await answer(sound, "keys.schedule")
    assert found.verdict is Verdict.WARNING
    assert f"and {successor.kid} begins at" in found.evidence


async def test_a_successor_that_a_fast_clock_made_is_told(sound: Local, clock: MovableClock):
    clock.move(days=40)
    successor = await _rotate(sound)
    clock.move(days=-40)
    found = await answer(sound, "keys.schedule")
    assert found.verdict is Verdict.WARNING
    assert f"{successor.kid} signs from" in found.evidence
    assert "A clock ran ahead" in found.remedy


@plants("keys.algorithm")
async def test_keys_of_another_algorithm_than_is_set_are_told(sound: Local, settings: Settings):
    other = settings.model_copy(update={"signing_algorithm": "EdDSA"})
    async with local(sound.clock, other) as here:
        found = await answer(here, "keys.algorithm")
    assert found.verdict is Verdict.WARNING
    assert found.evidence == "the last key is of ES256, and SIGNING_ALGORITHM is EdDSA"
    assert "Restart every node" in found.remedy


@plants("keys.age")
async def test_a_key_that_signs_for_more_than_a_year_is_told(sound: Local, clock: MovableClock):
    clock.move(days=366)
    found = await answer(sound, "keys.age")
    assert found.verdict is Verdict.WARNING
    assert "has signed for 366 days" in found.evidence
    assert "dashtam keys rotate" in found.remedy


async def test_keys_that_cannot_be_read_are_left_to_what_is_said_of_the_database(sound: Local):
    async with sound.service.database.write() as db:
        await db.exec(text("ALTER TABLE signing_keys RENAME TO lost"))  # type: ignore[call-overload]
    assert (await answer(sound, "keys.opened")).evidence.startswith("the keys cannot be read")
