"""Refreshing: who gets a successor, who gets the same one again, and what ends a session."""

import asyncio
import base64
import os
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest
from sqlmodel import select

from dashtam.core import users
from dashtam.core.audit import Client
from dashtam.core.ids import new_id
from dashtam.core.sealing import SecretKey
from dashtam.core.sessions import RefreshTokens
from dashtam.core.tables import AuditEvent, Session
from tests.makers import PASSWORD, Account, Deployment, bearer, problem

ONLY_SQLITE = pytest.mark.parametrize("dbparity_database_url", ["sqlite"], indirect=True)


async def refresh(service: Deployment, token: str) -> httpx2.Response:
    return await service.post("/auth/refresh", {"refresh_token": token})


async def spend(service: Deployment, token: str) -> str:
    answer = await refresh(service, token)
    assert answer.status_code == 200, answer.text
    successor: str = answer.json()["refresh_token"]
    return successor


async def is_refused(service: Deployment, token: str) -> bool:
    answer = await refresh(service, token)
    assert answer.status_code in {200, 401}
    return answer.status_code == 401 and problem(answer) == "token-invalid"


async def session_of(service: Deployment, token: str) -> Session:
    async with service.service.database.read() as db:
        found = await db.get(Session, UUID(bytes=taken_apart(token)[:16]))
        assert found is not None
        return found


async def reuses(service: Deployment) -> int:
    async with service.service.database.read() as db:
        return len((await db.exec(select(AuditEvent).where(AuditEvent.kind == "refresh-reuse"))).all())


def taken_apart(token: str) -> bytes:
    return base64.urlsafe_b64decode(token.removeprefix("dsr1_") + "==")


def put_together(raw: bytes) -> str:
    return "dsr1_" + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def test_a_refresh_is_answered_with_the_next_pair_of_the_same_session(service: Deployment) -> None:
    account = await service.logged_in()
    answer = await refresh(service, account.refresh_token)
    assert answer.status_code == 200
    pair: dict[str, Any] = answer.json()
    assert pair.keys() == account.tokens.keys()
    assert pair["refresh_token"] != account.refresh_token
    assert taken_apart(pair["refresh_token"])[:16] == taken_apart(account.refresh_token)[:16]
    assert (await service.get("/auth/me", headers=bearer(pair["access_token"]))).status_code == 200
    assert (await service.get("/auth/me", headers=account.bearer)).status_code == 200, (
        "it lives until it expires"
    )


async def test_the_token_just_spent_gets_the_same_successor_again_and_no_second_one(
    service: Deployment,
) -> None:
    account = await service.logged_in()
    answers = await asyncio.gather(*(refresh(service, account.refresh_token) for _ in range(16)))
    assert {answer.status_code for answer in answers} == {200}
    successors = {answer.json()["refresh_token"] for answer in answers}
    assert len(successors) == 1
    assert (await session_of(service, account.refresh_token)).generation == 1
    assert await spend(service, successors.pop())


async def test_a_replay_is_good_for_the_window_and_not_a_second_longer(service: Deployment) -> None:
    window = service.settings.refresh_replay_seconds
    in_time, too_late = await service.logged_in(), await service.logged_in()
    successors = [await spend(service, account.refresh_token) for account in (in_time, too_late)]
    service.clock.move(seconds=window - 2)
    assert await spend(service, in_time.refresh_token) == successors[0]
    service.clock.move(seconds=3)
    assert await is_refused(service, too_late.refresh_token)
    assert await is_refused(service, successors[1]), "the session is over"
    assert await spend(service, successors[0]), "and the other is not"


@pytest.mark.parametrize("step", [0, 3600, -3600])
async def test_an_older_token_ends_the_session_whatever_the_clock_says(
    service: Deployment, step: int
) -> None:
    account = await service.logged_in()
    tokens = [account.refresh_token]
    for _ in range(3):
        tokens.append(await spend(service, tokens[-1]))
    service.clock.offset += timedelta(seconds=step)
    assert await is_refused(service, tokens[1])
    service.clock.offset -= timedelta(seconds=step)
    for token in reversed(tokens):
        assert await is_refused(service, token)
    session = await session_of(service, tokens[0])
    assert session.revoked_reason == "refresh-reuse"
    assert (await service.get("/auth/me", headers=account.bearer)).status_code == 401
    assert await reuses(service) == 1
    mails = await service.mails(account.email, 2)
    assert len(mails) == 2, "its owner is told, once"
    assert (await service.logged_in(account.email)).tokens


async def test_no_forged_token_is_accepted_and_none_ends_a_session(service: Deployment) -> None:
    account = await service.logged_in()
    used = await spend(service, account.refresh_token)
    current = await spend(service, used)
    raw = taken_apart(current)
    session, generation, tag = raw[:16], raw[16:20], raw[20:]
    old = taken_apart(used)
    other_key = RefreshTokens(SecretKey(b"another key of the same length..")).mint(
        await session_of(service, current)
    )
    forged = [put_together(raw[:i] + bytes([raw[i] ^ 1]) + raw[i + 1 :]) for i in range(len(raw))]
    forged += [
        other_key,
        put_together(session + generation + os.urandom(32)),
        put_together(session + generation + bytes(32)),
        put_together(session + bytes(4) + tag),
        put_together(session + (9).to_bytes(4, "big") + tag),
        put_together(session + b"\xff" * 4 + tag),
        put_together(old[:16] + old[16:20] + tag),
        put_together(new_id().bytes + generation + tag),
        put_together(bytes(16) + generation + tag),
        put_together(raw[:-1]),
        put_together(raw + b"\0"),
        current + "=",
        current + "A",
        current[:-1],
        "dsr1_",
        "dsr1_" + current.removeprefix("dsr1_").translate(str.maketrans("-_", "+/")) + "=",
        current.removeprefix("dsr1_"),
        "dsr2_" + current.removeprefix("dsr1_"),
        current.upper(),
        " " + current,
        "dot1_" + "A" * 43,
        account.tokens["access_token"][:500],
    ]
    forged = [token for token in forged if token != current]
    for token in forged:
        assert await is_refused(service, token), token
    assert await reuses(service) == 0
    assert (await session_of(service, current)).generation == 2
    assert await spend(service, current)


async def test_the_database_alone_does_not_hold_a_refresh_token(service: Deployment) -> None:
    account = await service.logged_in()
    row = await session_of(service, account.refresh_token)
    raw = taken_apart(account.refresh_token)
    stored = repr(row.model_dump())
    for secret in (account.refresh_token, repr(raw[20:]), raw[20:].hex()):
        assert secret not in stored
    assert len(raw[20:]) == 32
    assert row.nonce not in raw


async def test_a_session_ends_unused_after_the_idle_time_and_used_after_the_absolute_one(
    service: Deployment,
) -> None:
    idle, whole = service.settings.session_idle_seconds, service.settings.session_lifetime_seconds
    unused, used = await service.logged_in(), await service.logged_in()
    token = used.refresh_token
    service.clock.move(seconds=idle - 30)
    token = await spend(service, token)
    service.clock.move(seconds=31)
    assert await is_refused(service, unused.refresh_token)
    passed = idle + 1
    while passed + idle - 30 < whole - 60:
        service.clock.move(seconds=idle - 60)
        passed += idle - 60
        token = await spend(service, token)
    service.clock.move(seconds=whole - passed - 30)
    answer = await refresh(service, token)
    assert answer.status_code == 200
    assert 0 < answer.json()["refresh_expires_in"] <= 30
    service.clock.move(seconds=31)
    assert await is_refused(service, answer.json()["refresh_token"])
    assert (await service.get("/auth/me", headers=bearer(answer.json()["access_token"]))).status_code == 401


@ONLY_SQLITE
async def test_an_access_token_lives_its_time_and_no_longer(service: Deployment) -> None:
    account = await service.logged_in()
    service.clock.move(seconds=service.settings.access_token_seconds - 2)
    assert (await service.get("/auth/me", headers=account.bearer)).status_code == 200
    service.clock.move(seconds=3)
    assert (await service.get("/auth/me", headers=account.bearer)).status_code == 401


@pytest.mark.parametrize("end", ["disable", "remove"])
async def test_no_session_outlives_its_account_and_enabling_revives_none(
    service: Deployment, end: str
) -> None:
    first = await service.logged_in()
    accounts = [first, *[await service.logged_in(first.email) for _ in range(4)]]
    user_id = (await session_of(service, first.refresh_token)).user_id
    for path in ("/password-resets",):
        await service.post(path, {"email": first.email})
    reset = await service.token(first.email, "reset-password")
    async with service.service.database.write() as db:
        act = users.disable if end == "disable" else users.remove
        await act(db, user_id, Client(), service.clock.now())
    await assert_all_over(service, accounts, reset)
    assert (await service.log_in(first.email, PASSWORD)).status_code == 401
    if end == "disable":
        async with service.service.database.write() as db:
            assert await users.enable(db, user_id, Client(), service.clock.now())
        await assert_all_over(service, accounts, reset)
        assert (await service.log_in(first.email, PASSWORD)).status_code == 200


async def assert_all_over(service: Deployment, accounts: list[Account], reset: str) -> None:
    for account in accounts:
        assert await is_refused(service, account.refresh_token)
        assert (await service.get("/auth/me", headers=account.bearer)).status_code == 401
    answer = await service.post("/password-resets/confirm", {"token": reset, "new_password": PASSWORD + "!"})
    assert (answer.status_code, problem(answer)) == (400, "token-invalid")
