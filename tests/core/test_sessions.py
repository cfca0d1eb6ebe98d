"""Sessions: refresh tokens that only the key and the row together make, and rows that stand or do not."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update
from sqlmodel import col

from dashtam.core import sessions, users
from dashtam.core.audit import Client
from dashtam.core.ids import new_id
from dashtam.core.sealing import SecretKey
from dashtam.core.sessions import RefreshToken, RefreshTokens
from dashtam.core.tables import Session, User
from tests.makers import Deployment, new_email

TOKENS = RefreshTokens(SecretKey(b"Zk3vQx8pLw2nRt6yBs9dHf4gJm7cXa5e"))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLIENT = Client(ip="192.0.2.1", user_agent="A" * 400, request_id="r")


def session(generation: int = 0, nonce: bytes = b"n" * 32) -> Session:
    return Session(id=new_id(), user_id=new_id(), generation=generation, nonce=nonce)


async def owner(service: Deployment, *, verified: bool = True) -> UUID:
    email, now = new_email(), service.clock.now()
    async with service.service.database.write() as db:
        await users.add(db, email=email, name="A", password_hash=None, now=now)
        user = await users.find(db, email)
        assert user is not None
        user.email_verified_at = now if verified else None
        db.add(user)
        return user.id


async def opened(service: Deployment, user_id: UUID, version: int = 0) -> Session | None:
    async with service.service.database.write() as db:
        return await sessions.open_session(
            db, user_id, version, CLIENT, service.clock.now(), service.service.lifetimes
        )


# --- The token ---------------------------------------------------------------------------------------------


@given(generation=st.integers(0, 2**31 - 1), nonce=st.binary(min_size=32, max_size=32))
def test_a_minted_token_is_taken_apart_into_what_it_was_made_of_and_genuine(
    generation: int, nonce: bytes
) -> None:
    row = session(generation, nonce)
    text = TOKENS.mint(row)
    assert text == TOKENS.mint(row), "the same generation has one token"
    token = sessions.parse(text)
    assert token is not None
    assert (token.session_id, token.generation, len(token.tag)) == (row.id, generation, 32)
    assert TOKENS.is_genuine(token, nonce)


def test_a_tag_holds_for_its_key_session_generation_and_nonce_only() -> None:
    row = session(3)
    token = sessions.parse(TOKENS.mint(row))
    assert token is not None
    for other in (
        RefreshToken(new_id(), token.generation, token.tag),
        RefreshToken(token.session_id, 2, token.tag),
        RefreshToken(token.session_id, 4, token.tag),
        RefreshToken(token.session_id, token.generation, token.tag[:-1]),
        RefreshToken(token.session_id, token.generation, b""),
    ):
        assert not TOKENS.is_genuine(other, row.nonce)
    assert not TOKENS.is_genuine(token, b"m" * 32)
    assert not RefreshTokens(SecretKey(b"another key, of the same length.")).is_genuine(token, row.nonce)
    assert TOKENS.is_genuine(token, row.nonce)


@given(text=st.one_of(st.text(max_size=90), st.binary(max_size=60).map(lambda raw: "dsr1_" + raw.hex())))
def test_whatever_is_no_token_is_none_and_never_an_error(text: str) -> None:
    assert sessions.parse(text) is None


@given(raw=st.binary(min_size=52, max_size=52))
def test_a_token_has_one_spelling_and_a_generation_that_a_row_can_have(raw: bytes) -> None:
    text = "dsr1_" + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    parsed = sessions.parse(text)
    assert (parsed is None) == (raw[16] >= 0x80)
    for other in (text + "=", text + "A", text[:-1], text.replace("dsr1_", "DSR1_"), " " + text, text + "\n"):
        assert sessions.parse(other) is None
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".index(text[-1])
    twin = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last ^ 1]
    assert sessions.parse(text[:-1] + twin) is None, "spare bits of base64 must be zero"


# --- The row -----------------------------------------------------------------------------------------------


async def test_a_session_opens_only_on_the_credentials_that_were_checked(service: Deployment) -> None:
    user_id = await owner(service)
    row = await opened(service, user_id)
    assert row is not None
    assert (row.user_id, row.generation, row.ip, row.revoked_at) == (user_id, 0, "192.0.2.1", None)
    assert row.user_agent == "A" * 255
    assert len(row.nonce) == 32
    assert await opened(service, user_id, version=1) is None
    assert await opened(service, new_id()) is None
    assert await opened(service, await owner(service, verified=False)) is None
    async with service.service.database.write() as db:
        await db.exec(update(User).where(col(User.id) == user_id).values(is_active=False))
    assert await opened(service, user_id) is None


async def test_of_many_advances_at_once_exactly_one_moves_the_session(service: Deployment) -> None:
    row = await opened(service, await owner(service))
    assert row is not None
    token = sessions.parse(service.service.refresh_tokens.mint(row))
    assert token is not None
    idle = service.service.lifetimes.idle

    async def advance() -> bool:
        async with service.service.database.write() as db:
            return await sessions.advance(db, token, service.clock.now(), idle) is not None

    assert sum(await asyncio.gather(*(advance() for _ in range(16)))) == 1
    async with service.service.database.read() as db:
        moved = await sessions.get(db, row.id)
    assert moved is not None
    assert moved.generation == 1


@pytest.mark.parametrize(
    ("changes", "stands"),
    [
        ({}, True),
        ({"revoked_at": NOW}, False),
        ({"expires_at": NOW}, False),
        ({"expires_at": NOW + timedelta(microseconds=1)}, True),
        ({"last_seen_at": NOW - timedelta(hours=1)}, False),
        ({"last_seen_at": NOW - timedelta(hours=1) + timedelta(microseconds=1)}, True),
        ({"last_seen_at": NOW + timedelta(hours=1)}, True),
    ],
)
async def test_the_database_and_python_agree_on_which_session_stands(
    service: Deployment, changes: dict[str, datetime], *, stands: bool
) -> None:
    row = await opened(service, await owner(service))
    assert row is not None
    idle = timedelta(hours=1)
    values = {"last_seen_at": NOW, "expires_at": NOW + timedelta(days=1), **changes}
    async with service.service.database.write() as db:
        await db.exec(update(Session).where(col(Session.id) == row.id).values(**values))
    async with service.service.database.read() as db:
        found = await sessions.get(db, row.id)
        assert found is not None
        assert sessions.stands(found, NOW, idle) is stands
        assert [one.id for one in await sessions.live(db, row.user_id, NOW, idle)] == (
            [row.id] if stands else []
        )


async def test_revoking_is_counted_once_and_only_within_the_account(service: Deployment) -> None:
    mine, theirs = await owner(service), await owner(service)
    rows = [await opened(service, mine) for _ in range(3)]
    other = await opened(service, theirs)
    ids = [row.id for row in rows if row is not None]
    assert other is not None
    now = service.clock.now()
    async with service.service.database.write() as db:
        assert not await sessions.revoke(db, theirs, ids[0], "a-test", now)
        assert await sessions.revoke(db, mine, ids[0], "a-test", now)
        assert not await sessions.revoke(db, mine, ids[0], "a-test", now)
        assert await sessions.revoke_all(db, mine, "a-test", now, keep=ids[1]) == 1
        assert [row.id for row in await sessions.live(db, mine, now, service.service.lifetimes.idle)] == [
            ids[1]
        ]
        assert await sessions.revoke_all(db, mine, "a-test", now) == 1
        assert len(await sessions.live(db, theirs, now, service.service.lifetimes.idle)) == 1


async def test_a_source_is_known_once_the_account_was_logged_in_from_it(service: Deployment) -> None:
    user_id = await owner(service)
    async with service.service.database.read() as db:
        assert not await sessions.knows_source(db, user_id, "192.0.2.1")
    await opened(service, user_id)
    async with service.service.database.read() as db:
        assert await sessions.knows_source(db, user_id, "192.0.2.1")
        assert not await sessions.knows_source(db, user_id, "192.0.2.2")
        assert not await sessions.knows_source(db, user_id, None)
        assert not await sessions.knows_source(db, new_id(), "192.0.2.1")
