"""One's own account: seeing it, renaming it, changing its password, ending it."""

from datetime import datetime

import httpx2
import pytest
from sqlalchemy import func
from sqlmodel import SQLModel, select

from dashtam.core.tables import AuditEvent, OneTimeToken, Session, User
from tests.features.work import watched
from tests.makers import NAME, OTHER_PASSWORD, PASSWORD, Account, Deployment, new_email, problem


async def change(service: Deployment, account: Account, current: str, new: str) -> httpx2.Response:
    form = {"current_password": current, "new_password": new}
    return await service.post("/auth/me/password", form, headers=account.bearer)


async def delete(service: Deployment, account: Account, password: str) -> httpx2.Response:
    return await service.client.request(
        "DELETE", "/api/v1/auth/me", json={"password": password}, headers=account.bearer
    )


async def rename(service: Deployment, account: Account, name: str) -> httpx2.Response:
    return await service.client.patch("/api/v1/auth/me", json={"name": name}, headers=account.bearer)


async def rows(service: Deployment, table: type[SQLModel]) -> int:
    async with service.service.database.read() as db:
        return (await db.exec(select(func.count()).select_from(table))).one()


async def test_the_owner_sees_the_account_and_nothing_secret(service: Deployment) -> None:
    account = await service.logged_in()
    answer = await service.get("/auth/me", headers=account.bearer)
    assert answer.status_code == 200
    profile = answer.json()
    assert profile.keys() == {
        "id",
        "email",
        "name",
        "email_verified",
        "is_active",
        "created_at",
        "updated_at",
    }
    shown = [profile[name] for name in ("email", "name", "email_verified", "is_active")]
    assert shown == [account.email, NAME, True, True]
    for moment in ("created_at", "updated_at"):
        assert datetime.fromisoformat(profile[moment]).tzinfo is not None


async def test_a_new_name_is_answered_kept_and_nothing_else_changes(service: Deployment) -> None:
    account, bystander = await service.logged_in(), await service.logged_in()
    before = (await service.get("/auth/me", headers=account.bearer)).json()
    service.clock.move(seconds=5)
    answer = await rename(service, account, "Grace Hopper")
    assert answer.status_code == 200
    after = (await service.get("/auth/me", headers=account.bearer)).json()
    assert answer.json() == after
    assert after == before | {"name": "Grace Hopper", "updated_at": after["updated_at"]}
    assert after["updated_at"] > before["updated_at"]
    assert (await service.get("/auth/me", headers=bystander.bearer)).json()["name"] == NAME


async def test_a_change_of_password_keeps_this_session_and_ends_the_others(service: Deployment) -> None:
    here = await service.logged_in()
    there = await service.logged_in(here.email)
    answer = await change(service, here, PASSWORD, OTHER_PASSWORD)
    assert (answer.status_code, answer.json().keys()) == (200, {"message"})
    assert (await service.get("/auth/me", headers=here.bearer)).status_code == 200
    assert (await service.post("/auth/refresh", {"refresh_token": here.refresh_token})).status_code == 200
    assert (await service.get("/auth/me", headers=there.bearer)).status_code == 401
    assert (await service.post("/auth/refresh", {"refresh_token": there.refresh_token})).status_code == 401
    assert (await service.log_in(here.email, PASSWORD)).status_code == 401
    assert (await service.log_in(here.email, OTHER_PASSWORD)).status_code == 200
    notice = (await service.mails(here.email, 2))[0]
    assert "#token=" not in notice.text


@pytest.mark.parametrize("call", ["password", "email", "delete"])
async def test_a_change_needs_the_current_password_and_each_wrong_one_counts(
    service: Deployment, call: str
) -> None:
    account = await service.logged_in()

    async def attempt(password: str) -> httpx2.Response:
        if call == "password":
            return await change(service, account, password, OTHER_PASSWORD)
        if call == "email":
            form = {"new_email": new_email(), "password": password}
            return await service.post("/auth/me/email", form, headers=account.bearer)
        return await delete(service, account, password)

    most = service.settings.rate_login_per_account.tries
    with watched(service) as work:
        answers = [await attempt("wrong " + PASSWORD) for _ in range(most + 3)]
        assert len(work.pool.hashes) == most
    assert [problem(answer) for answer in answers] == ["wrong-password"] * most + ["too-many-requests"] * 3
    assert [answer.status_code for answer in answers] == [403] * most + [429] * 3
    assert (await attempt(PASSWORD)).status_code == 429, "a limit that the right password ends is none"
    assert (await service.get("/auth/me", headers=account.bearer)).status_code == 200
    service.clock.move(minutes=9)
    fresh = (await service.post("/auth/refresh", {"refresh_token": account.refresh_token})).json()
    service.clock.move(minutes=7)
    account = Account(account.email, PASSWORD, fresh)
    assert (await attempt(PASSWORD)).status_code in {200, 202}


@pytest.mark.parametrize("bad", ["too-short", "blocked", "too-long"])
async def test_an_unfit_new_password_changes_nothing(service: Deployment, bad: str) -> None:
    account = await service.logged_in()
    unfit = {"too-short": "short", "blocked": "passwordpassword", "too-long": "long enough, " * 90}[bad]
    answer = await change(service, account, PASSWORD, unfit)
    assert (answer.status_code, problem(answer)) == (422, f"password-{bad}")
    assert (await service.log_in(account.email)).status_code == 200


async def test_a_deleted_account_is_gone_with_all_that_belonged_to_it(service: Deployment) -> None:
    account = await service.logged_in()
    second = await service.logged_in(account.email)
    await service.post("/password-resets", {"email": account.email})
    token = await service.token(account.email, "reset-password")
    answer = await delete(service, account, OTHER_PASSWORD)
    assert (answer.status_code, problem(answer)) == (403, "wrong-password")
    answer = await delete(service, account, PASSWORD)
    assert (answer.status_code, answer.json().keys()) == (200, {"message"})
    for session in (account, second):
        assert (await service.get("/auth/me", headers=session.bearer)).status_code == 401
        assert (
            await service.post("/auth/refresh", {"refresh_token": session.refresh_token})
        ).status_code == 401
    assert (await service.log_in(account.email)).status_code == 401
    answer = await service.post("/password-resets/confirm", {"token": token, "new_password": OTHER_PASSWORD})
    assert answer.status_code == 400
    assert [await rows(service, table) for table in (User, Session, OneTimeToken)] == [0, 0, 0]
    async with service.service.database.read() as db:
        events = (await db.exec(select(AuditEvent))).all()
    assert not any(account.email in repr(event.model_dump()) for event in events)


async def test_the_address_of_a_deleted_account_is_free_and_reaches_nothing_of_before(
    service: Deployment,
) -> None:
    account = await service.logged_in()
    first = (await service.get("/auth/me", headers=account.bearer)).json()["id"]
    await delete(service, account, PASSWORD)
    await service.mails(account.email, 2)
    await service.register(account.email, OTHER_PASSWORD, "Somebody Else")
    await service.mails(account.email, 3)
    verified = await service.post(
        "/auth/verify-email", {"token": await service.token(account.email, "verify-email")}
    )
    assert verified.status_code == 200
    again = await service.logged_in(account.email, OTHER_PASSWORD)
    assert (await service.get("/auth/me", headers=again.bearer)).json()["id"] != first
    assert (await service.get("/auth/me", headers=account.bearer)).status_code == 401


async def test_no_header_body_or_query_says_who_asks(service: Deployment) -> None:
    """CVE-2025-61928: the account is the token's, whatever else is sent."""
    account, other = await service.logged_in(), await service.logged_in()
    id_ = (await service.get("/auth/me", headers=other.bearer)).json()["id"]
    claimed = {
        "X-User-Id": id_,
        "X-User": other.email,
        "X-Forwarded-User": other.email,
        "Remote-User": other.email,
    }
    answer = await service.get("/auth/me", headers=account.bearer | claimed)
    assert answer.json()["email"] == account.email
    assert (await service.get("/auth/me", headers=claimed)).status_code == 401
    assert (await service.get(f"/auth/me?user_id={id_}", headers=account.bearer)).status_code == 422
    assert (
        await service.get("/auth/me", headers={"Cookie": f"access_token={account.tokens['access_token']}"})
    ).status_code == 401
