"""Addresses have one canonical form; and what a change of an account's credentials entails."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sqlmodel import select

from dashtam.core import one_time, users
from dashtam.core.audit import Client
from dashtam.core.tables import OneTimeToken, User
from tests.makers import Deployment, new_email

ATEXT = "abcxyzABCXYZ0123456789!#$%&'*+/=?^_`{|}~-"
local_parts = st.lists(st.text(ATEXT, min_size=1, max_size=12), min_size=1, max_size=4).map(".".join)
labels = st.from_regex(re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,10}[A-Za-z0-9])?"), fullmatch=True)
domains = st.lists(labels, min_size=2, max_size=4).map(".".join)


@given(local=local_parts, domain=domains)
def test_the_canonical_form_is_lower_case_stable_and_the_same_for_every_case(local: str, domain: str) -> None:
    address = f"{local}@{domain}"
    form = users.canonical(address)
    assert form == address.lower()
    assert {
        users.canonical(other) for other in (form, address.upper(), address.lower(), address.swapcase())
    } == {form}


@given(text=st.text(max_size=60))
def test_any_text_is_an_address_with_all_its_properties_or_refused(text: str) -> None:
    try:
        form = users.canonical(text)
    except ValueError:
        return
    assert form.count("@") == 1
    assert form.isascii()
    assert form.isprintable()
    assert not set(form) & set(' "(),:;<>[\\]')


@given(local=local_parts, domain=domains, strange=st.characters(min_codepoint=0x80), where=st.integers(0, 60))
def test_one_foreign_character_is_enough_to_be_refused(
    local: str, domain: str, strange: str, where: int
) -> None:
    address = f"{local}@{domain}"
    assume(where <= len(address))
    with pytest.raises(ValueError, match="must be an e-mail address"):
        users.canonical(address[:where] + strange + address[where:])


def test_an_address_is_as_long_as_rfc_5321_lets_it_be_and_no_longer() -> None:
    domain = ".".join(["b" * 63] * 2) + "." + "c" * 61
    assert users.canonical("a" * 64 + "@" + domain)
    for too_long in ("a" * 65 + "@b.org", "a" * 64 + "@" + domain + "c", "a@" + "b" * 64 + ".org"):
        with pytest.raises(ValueError, match="must be an e-mail address"):
            users.canonical(too_long)


async def test_an_address_is_added_once_and_the_account_of_before_stays_as_it_is(service: Deployment) -> None:
    email, now = new_email(), service.clock.now()
    async with service.service.database.write() as db:
        assert await users.add(db, email=email, name="First", password_hash="h1", now=now)
        assert not await users.add(db, email=email.upper(), name="Second", password_hash="h2", now=now)
        user = await users.find(db, email)
    assert user is not None
    assert (user.email, user.name, user.password_hash, user.role) == (email, "First", "h1", "user")
    assert (user.credential_version, user.email_verified_at, user.is_active) == (0, None, True)


async def test_a_change_of_credentials_moves_the_version_and_voids_every_token(service: Deployment) -> None:
    email, now = await service.register(), service.clock.now()
    async with service.service.database.write() as db:
        user = await users.lock(db, users.has_address(email))
        assert user is not None
        one_time.issue(
            db,
            user.id,
            "password-reset",
            one_time.new_token(),
            target=email,
            expires_at=one_time.expiry(now, 60),
            now=now,
        )
        await users.change_credentials(db, user, Client(), now, why="a-test")
    async with service.service.database.read() as db:
        assert (await db.exec(select(User.credential_version))).one() == 1
        spent = (await db.exec(select(OneTimeToken.used_at))).all()
    assert len(spent) == 2
    assert None not in spent


async def test_what_was_seen_is_unchanged_only_while_it_is(service: Deployment) -> None:
    email = await service.verified()
    async with service.service.database.write() as db:
        seen = await users.find(db, email)
        assert seen is not None
        version = seen.credential_version
        assert await users.lock(db, users.is_unchanged(seen)) is not None
    for change in ("credentials", "disabled"):
        async with service.service.database.read() as db:
            before = await users.find(db, email)
        async with service.service.database.write() as db:
            user = await users.lock(db, users.has_address(email))
            assert user is not None
            assert before is not None
            if change == "credentials":
                await users.change_credentials(db, user, Client(), service.clock.now(), why="a-test")
            else:
                await users.disable(db, user.id, Client(), service.clock.now())
            assert await users.lock(db, users.is_unchanged(before)) is None, change
            version += 1
            assert user.credential_version == version


async def test_disabling_and_enabling_say_whether_there_was_an_account(service: Deployment) -> None:
    email = await service.verified()
    unknown = (await service.logged_in()).tokens
    assert unknown
    async with service.service.database.write() as db:
        user = await users.find(db, email)
        assert user is not None
        now = service.clock.now()
        assert await users.disable(db, user.id, Client(), now)
        assert await users.enable(db, user.id, Client(), now)
        await users.remove(db, user.id, Client(), now)
        assert await users.get(db, user.id) is None
        assert not await users.disable(db, user.id, Client(), now)
        assert not await users.enable(db, user.id, Client(), now)
