"""Logging in and out: who gets a session, and what ends it at the next request."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from argon2.exceptions import HashingError
from sqlalchemy import text, update
from sqlmodel import col, select

from dashtam.core import users
from dashtam.core.audit import Client
from dashtam.core.passwords import HashCost
from dashtam.core.tables import AuditEvent, Session, User
from tests.features.work import hashing_held, watched
from tests.makers import OTHER_PASSWORD, PASSWORD, Account, Deployment, new_email, problem

STRONGER = HashCost(memory_kib=16, time_cost=2)


async def set_hash(service: Deployment, email: str, hashed: str | None) -> None:
    async with service.service.database.write() as db:
        await db.exec(update(User).where(col(User.email) == email).values(password_hash=hashed))


async def user_of(service: Deployment, email: str) -> User:
    async with service.service.database.read() as db:
        return (await db.exec(select(User).where(User.email == email))).one()


async def kinds(service: Deployment, kind: str) -> list[AuditEvent]:
    async with service.service.database.read() as db:
        return list((await db.exec(select(AuditEvent).where(AuditEvent.kind == kind))).all())


async def until_hashing(service: Deployment) -> None:
    """Wait until something waits for a hashing thread."""
    async with asyncio.timeout(10):
        while not service.service.passwords._taken:  # noqa: ASYNC110, SLF001
            await asyncio.sleep(0.005)


async def test_the_right_password_is_answered_with_a_token_pair_and_nothing_else(service: Deployment) -> None:
    email = await service.verified()
    answer = await service.log_in(email)
    assert answer.status_code == 200
    pair = answer.json()
    assert pair.keys() == {"access_token", "refresh_token", "token_type", "expires_in", "refresh_expires_in"}
    assert (pair["token_type"], pair["expires_in"]) == ("bearer", service.settings.access_token_seconds)
    assert pair["refresh_expires_in"] == service.settings.session_idle_seconds
    assert pair["refresh_token"].startswith("dsr1_")
    assert answer.headers["cache-control"] == "no-store"


async def test_an_address_logs_in_in_any_case_of_letters(service: Deployment) -> None:
    email = await service.verified("Mixed.Case@Example.ORG")
    for typed in (email, email.lower(), email.upper()):
        assert (await service.log_in(typed)).status_code == 200


async def test_the_wrong_password_is_refused_and_an_unverified_address_only_told_with_the_right_one(
    service: Deployment,
) -> None:
    verified, waiting = await service.verified(), await service.register()
    for email, password, status, slug in (
        (verified, OTHER_PASSWORD, 401, "invalid-credentials"),
        (new_email(), PASSWORD, 401, "invalid-credentials"),
        (waiting, OTHER_PASSWORD, 401, "invalid-credentials"),
        (waiting, PASSWORD, 403, "email-not-verified"),
        (verified, PASSWORD.upper(), 401, "invalid-credentials"),
        (verified, PASSWORD + " ", 401, "invalid-credentials"),
        (verified, "", 401, "invalid-credentials"),
    ):
        answer = await service.log_in(email, password)
        assert (answer.status_code, problem(answer)) == (status, slug), (email, password)


async def test_every_login_opens_a_session_of_its_own(service: Deployment) -> None:
    first = await service.logged_in()
    answer = await service.post(
        "/auth/login",
        {"email": first.email, "password": PASSWORD},
        headers=first.bearer | {"Cookie": f"session={first.refresh_token}", "X-Session-Id": "1"},
    )
    second = Account(first.email, PASSWORD, answer.json())
    assert second.refresh_token[:26] != first.refresh_token[:26]
    devices = (await service.get("/auth/sessions", headers=first.bearer)).json()
    assert len(devices) == 2


async def test_a_logout_ends_this_session_at_once_and_no_other(service: Deployment) -> None:
    here = await service.logged_in()
    there = await service.logged_in(here.email)
    answer = await service.post("/auth/logout", headers=here.bearer)
    assert (answer.status_code, answer.json().keys()) == (200, {"message"})
    for again in (
        await service.get("/auth/me", headers=here.bearer),
        await service.post("/auth/refresh", {"refresh_token": here.refresh_token}),
        await service.post("/auth/logout", headers=here.bearer),
    ):
        assert (again.status_code, problem(again)) == (401, "token-invalid")
    assert (await service.get("/auth/me", headers=there.bearer)).status_code == 200


@pytest.mark.parametrize(
    "hashed", ["", "!", "x" * 255, "$argon2id$v=19$m=8,t=1,p=1$c2FsdA", "$2b$12$" + "a" * 53]
)
async def test_a_broken_stored_hash_is_a_failed_login_that_the_audit_tells_apart(
    service: Deployment, hashed: str
) -> None:
    email = await service.verified()
    await set_hash(service, email, hashed)
    for password in (PASSWORD, "", hashed):
        answer = await service.log_in(email, password)
        assert (answer.status_code, problem(answer)) == (401, "invalid-credentials")
    refused = await kinds(service, "login-refused")
    expected = {"why": "hash-error"} if hashed else {"why": "invalid-credentials"}
    assert [event.detail for event in refused] == [expected] * 3


async def test_nobody_logs_in_by_password_to_an_account_that_has_none(service: Deployment) -> None:
    email = await service.verified()
    await set_hash(service, email, None)
    with watched(service) as work:
        for password in ("", "!", "None", "null", PASSWORD):
            assert (await service.log_in(email, password)).status_code == 401
        assert len(work.pool.hashes) == 5, "as many hashes as for an account that has one"
    for form in ({"email": email}, {"email": email, "password": None}):
        assert (await service.post("/auth/login", form)).status_code == 422


async def test_a_login_renews_a_hash_of_lesser_cost_and_changes_nothing_else(service: Deployment) -> None:
    account = await service.logged_in()
    before = await user_of(service, account.email)
    service.service.passwords._cost = STRONGER  # noqa: SLF001  as after a restart with other settings
    for _ in range(2):
        assert (await service.log_in(account.email)).status_code == 200
    after = await user_of(service, account.email)
    assert after.password_hash != before.password_hash
    assert after.password_hash is not None
    assert "m=16,t=2,p=1" in after.password_hash
    assert (after.credential_version, after.updated_at) == (before.credential_version, before.updated_at)
    assert (await service.get("/auth/me", headers=account.bearer)).status_code == 200
    assert (await service.post("/auth/refresh", {"refresh_token": account.refresh_token})).status_code == 200
    with watched(service) as work:
        assert (await service.log_in(account.email)).status_code == 200
        assert work.pool.hashes == [STRONGER], "nothing is left to renew"


async def test_logins_that_renew_a_hash_at_once_leave_one_that_is_valid(service: Deployment) -> None:
    email = await service.verified()
    service.service.passwords._cost = STRONGER  # noqa: SLF001
    answers = await asyncio.gather(*(service.log_in(email) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert (await service.log_in(email)).status_code == 200


class NoMemoryFor(ThreadPoolExecutor):
    """Hashing threads that find no memory for a hash of this cost, as Argon2 says it."""

    def __init__(self, cost: HashCost) -> None:
        super().__init__(1)
        self.cost = cost

    def submit(self, work: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        recipe = getattr(work, "__self__", None)
        return (
            super().submit(self.fail)
            if getattr(recipe, "cost", None) == self.cost
            else super().submit(work, *args)
        )

    def fail(self) -> None:
        raise HashingError("Memory allocation error")


async def test_a_login_that_cannot_renew_its_hash_is_a_login_all_the_same(service: Deployment) -> None:
    """The session is open by then: a 503 would leave it behind, unknown to its owner."""
    email = await service.verified()
    passwords = service.service.passwords
    passwords._cost, passwords._pool = STRONGER, NoMemoryFor(STRONGER)  # noqa: SLF001
    assert (await service.log_in(email)).status_code == 200
    answer = await service.log_in(new_email())
    assert (answer.status_code, problem(answer)) == (503, "service-busy"), "the threads do fail"
    assert int(answer.headers["retry-after"]) > 0


async def test_beyond_the_queue_a_login_is_told_to_come_back_and_all_else_is_served(
    service: Deployment,
) -> None:
    account = await service.logged_in()
    room = service.service.passwords._room  # noqa: SLF001
    with hashing_held(service):
        waiting = [asyncio.create_task(service.log_in(new_email())) for _ in range(room)]
        async with asyncio.timeout(10):
            while service.service.passwords._taken < room:  # noqa: ASYNC110, SLF001
                await asyncio.sleep(0.005)
        for email in (account.email, new_email()):
            answer = await service.log_in(email)
            assert (answer.status_code, problem(answer)) == (503, "service-busy")
            assert "cut off" not in answer.text, "refused at once, not given up"
            assert int(answer.headers["retry-after"]) > 0
        assert (await service.get("/auth/me", headers=account.bearer)).status_code == 200
        refreshed = await service.post("/auth/refresh", {"refresh_token": account.refresh_token})
        assert refreshed.status_code == 200
        assert not any(task.done() for task in waiting)
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {401}


# --- A slow login neither slips in beside a change of credentials nor outlives it (S-064) -----------------


@pytest.mark.parametrize("change", ["reset", "disable", "delete", "nothing"])
async def test_a_login_that_verified_the_password_before_a_change_opens_nothing_after_it(
    service: Deployment, change: str
) -> None:
    email = await service.verified()
    user = await user_of(service, email)
    with hashing_held(service):
        login = asyncio.create_task(service.log_in(email))
        await until_hashing(service)
        async with service.service.database.write() as db:
            now = service.clock.now()
            if change == "reset":
                locked = await users.lock(db, users.is_unchanged(user))
                assert locked is not None
                await users.change_credentials(db, locked, Client(), now, why="password-reset")
            elif change == "disable":
                assert await users.disable(db, user.id, Client(), now)
            elif change == "delete":
                await users.remove(db, user.id, Client(), now)
    answer = await login
    expected = 200 if change == "nothing" else 401
    assert answer.status_code == expected
    async with service.service.database.read() as db:
        sessions = (await db.exec(select(Session).where(Session.user_id == user.id))).all()
    assert len(sessions) == (1 if change == "nothing" else 0)


@pytest.mark.dbparity(isolation="clone")  # one connection waits for another
@pytest.mark.parametrize("dbparity_database_url", ["postgresql"], indirect=True)
async def test_a_login_waits_for_a_change_that_has_the_accounts_row(service: Deployment) -> None:
    """Paused between the hash and its insert, by the row's lock in another connection."""
    email = await service.verified()
    async with service.service.database.writer.connect() as other:
        await other.execute(text("SELECT id FROM users WHERE email = :email FOR UPDATE"), {"email": email})
        login = asyncio.create_task(service.log_in(email))
        async with asyncio.timeout(10):
            while not (await other.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))).scalar():
                assert not login.done(), "the login must wait for the row"
                await asyncio.sleep(0.005)
        await other.execute(
            text("UPDATE users SET credential_version = credential_version + 1 WHERE email = :email"),
            {"email": email},
        )
        await other.commit()
    answer = await login
    assert (answer.status_code, problem(answer)) == (401, "invalid-credentials")
