"""One-time tokens: random, kept only as hashes, bound to a purpose, spent once."""

import asyncio
import hashlib
from collections import Counter
from datetime import timedelta
from uuid import UUID

import pytest
from sqlmodel import select

from dashtam.core import one_time, users
from dashtam.core.tables import OneTimeToken, Purpose
from tests.makers import Deployment, new_email

PURPOSES: tuple[Purpose, ...] = ("verify-email", "password-reset", "confirm-email")


async def account(service: Deployment) -> UUID:
    async with service.service.database.write() as db:
        email = new_email()
        await users.add(db, email=email, name="A", password_hash=None, now=service.clock.now())
        user = await users.find(db, email)
        assert user is not None
        return user.id


async def issued(
    service: Deployment, owner: UUID, purpose: Purpose = "password-reset", seconds: int = 60
) -> str:
    token, now = one_time.new_token(), service.clock.now()
    async with service.service.database.write() as db:
        one_time.issue(
            db, owner, purpose, token, target="a@b.org", expires_at=one_time.expiry(now, seconds), now=now
        )
    return token


async def redeemed(service: Deployment, token: str, purpose: Purpose = "password-reset") -> bool:
    async with service.service.database.write() as db:
        return await one_time.redeem(db, token, purpose, service.clock.now()) is not None


async def checked(service: Deployment, token: str, purpose: Purpose = "password-reset") -> bool:
    async with service.service.database.read() as db:
        return await one_time.check(db, token, purpose, service.clock.now()) is not None


def test_a_token_has_256_unbiased_random_bits_behind_its_prefix() -> None:
    tokens = [one_time.new_token() for _ in range(20_000)]
    assert len(set(tokens)) == len(tokens)
    assert {(token[:5], len(token)) for token in tokens} == {("dot1_", 48)}
    letters = Counter(letter for token in tokens for letter in token[5:47])  # the last one has 4 bits only
    expected = sum(letters.values()) / 64
    chi_square = sum((count - expected) ** 2 / expected for count in letters.values())
    assert len(letters) == 64
    assert chi_square < 130, "63 degrees of freedom: once in a million runs"


async def test_only_the_hash_is_stored(service: Deployment) -> None:
    token = await issued(service, await account(service))
    async with service.service.database.read() as db:
        row = (await db.exec(select(OneTimeToken))).one()
    assert row.token_hash == hashlib.sha256(token.encode()).digest()
    assert token[5:] not in repr(row.model_dump())


@pytest.mark.parametrize("purpose", PURPOSES)
async def test_a_token_is_good_once_for_its_own_purpose(service: Deployment, purpose: Purpose) -> None:
    token = await issued(service, await account(service), purpose)
    for other in PURPOSES:
        assert await checked(service, token, other) == (other == purpose)
        if other != purpose:
            assert not await redeemed(service, token, other)
    assert await redeemed(service, token, purpose)
    assert not await redeemed(service, token, purpose)
    assert not await checked(service, token, purpose)


async def test_a_token_ends_at_its_second(service: Deployment) -> None:
    owner = await account(service)
    token = await issued(service, owner, seconds=60)
    async with service.service.database.read() as db:
        ends = (await db.exec(select(OneTimeToken.expires_at))).one()
        assert await one_time.check(db, token, "password-reset", ends - timedelta(microseconds=1)) is not None
        assert await one_time.check(db, token, "password-reset", ends) is None
    async with service.service.database.write() as db:
        assert await one_time.redeem(db, token, "password-reset", ends) is None


async def test_of_many_redemptions_at_once_exactly_one_wins(service: Deployment) -> None:
    owner = await account(service)
    for _ in range(3):
        token = await issued(service, owner)
        assert sum(await asyncio.gather(*(redeemed(service, token) for _ in range(16)))) == 1


async def test_a_redemption_that_is_rolled_back_has_not_happened(service: Deployment) -> None:
    token = await issued(service, await account(service))

    async def redeem_and_fail() -> None:
        async with service.service.database.write() as db:
            assert await one_time.redeem(db, token, "password-reset", service.clock.now())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await redeem_and_fail()
    assert await redeemed(service, token)


async def test_voiding_takes_the_purpose_or_all_and_nobody_elses(service: Deployment) -> None:
    owner, other = await account(service), await account(service)
    mine = {purpose: await issued(service, owner, purpose) for purpose in PURPOSES}
    theirs = await issued(service, other)
    async with service.service.database.write() as db:
        await one_time.void(db, owner, service.clock.now(), "password-reset")
    assert [await checked(service, mine[purpose], purpose) for purpose in PURPOSES] == [True, False, True]
    async with service.service.database.write() as db:
        await one_time.void(db, owner, service.clock.now())
    assert not any([await checked(service, mine[purpose], purpose) for purpose in PURPOSES])
    assert await checked(service, theirs)


async def test_no_token_of_a_disabled_account_is_redeemed(service: Deployment) -> None:
    email = await service.register()
    token = await service.token(email, "verify-email")
    async with service.service.database.write() as db:
        user = await users.lock(db, users.has_address(email))
        assert user is not None
        user.is_active = False
        db.add(user)
    assert await checked(service, token, "verify-email")
    assert not await redeemed(service, token, "verify-email")
