"""The audit trail: every operation that was answered, done or refused, has exactly one row, in its transaction."""

from collections.abc import Awaitable, Callable

import httpx2
import pytest
from sqlmodel import col, select

from dashtam.core.tables import AuditEvent
from tests.makers import NAME, OTHER_PASSWORD, PASSWORD, Account, Deployment, bearer, new_email

Step = Callable[[Deployment], Awaitable[httpx2.Response]]


async def events(service: Deployment, answer: httpx2.Response) -> list[AuditEvent]:
    """The rows of the request that was answered so."""
    asked = select(AuditEvent).where(col(AuditEvent.request_id) == answer.headers["x-request-id"])
    async with service.service.database.read() as db:
        return list((await db.exec(asked)).all())


async def kind(service: Deployment, answer: httpx2.Response) -> str:
    """The kind of the one row of this request."""
    (event,) = await events(service, answer)
    assert event.ip == "127.0.0.1"
    return event.kind


async def test_every_operation_on_an_account_has_one_row_of_its_own(service: Deployment) -> None:
    email, other = new_email(), new_email()

    async def post(path: str, token: str = "", /, **form: str) -> httpx2.Response:
        return await service.post(path, form, headers=bearer(token) if token else {})

    seen = [await kind(service, await post("/auth/register", email=email, password=PASSWORD, name=NAME))]
    seen.append(await kind(service, await post("/auth/login", email=email, password=PASSWORD)))
    seen.append(await kind(service, await post("/auth/resend-verification", email=email)))
    await service.mails(email, 2)
    token = await service.token(email, "verify-email")
    seen.append(await kind(service, await post("/auth/verify-email", token=token)))
    seen.append(
        await kind(service, await post("/auth/register", email=email, password=OTHER_PASSWORD, name=NAME))
    )
    seen.append(await kind(service, await post("/auth/login", email=email, password=OTHER_PASSWORD)))
    login = await post("/auth/login", email=email, password=PASSWORD)
    seen.append(await kind(service, login))
    access = login.json()["access_token"]
    patched = await service.client.patch("/api/v1/auth/me", json={"name": "Grace"}, headers=bearer(access))
    seen.append(await kind(service, patched))
    form = {"current_password": OTHER_PASSWORD, "new_password": OTHER_PASSWORD}
    seen.append(await kind(service, await post("/auth/me/password", access, **form)))
    form = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    seen.append(await kind(service, await post("/auth/me/password", access, **form)))
    form = {"new_email": other, "password": OTHER_PASSWORD}
    seen.append(await kind(service, await post("/auth/me/email", access, **form)))
    token = await service.token(other, "confirm-email")
    seen.append(await kind(service, await post("/auth/confirm-email", token=token)))
    seen.append(await kind(service, await post("/password-resets", email=other)))
    token = await service.token(other, "reset-password")
    form = {"token": token, "new_password": PASSWORD}
    seen.append(await kind(service, await post("/password-resets/confirm", **form)))
    assert seen == [
        "registered",
        "login-refused",
        "verification-requested",
        "email-verified",
        "registered-again",
        "login-refused",
        "logged-in",
        "profile-changed",
        "password-refused",
        "password-changed",
        "email-change-requested",
        "email-changed",
        "reset-requested",
        "password-reset",
    ]


async def test_every_operation_on_sessions_has_one_row_of_its_own(service: Deployment) -> None:
    first = await service.logged_in()
    second, third = await service.logged_in(first.email), await service.logged_in(first.email)
    listed = (await service.get("/auth/sessions", headers=first.bearer)).json()
    ended = await service.client.delete(f"/api/v1/auth/sessions/{listed[0]['id']}", headers=first.bearer)
    others = await service.post("/auth/sessions/revoke-others", headers=first.bearer)
    out = await service.post("/auth/logout", headers=first.bearer)
    seen = [await kind(service, answer) for answer in (ended, others, out)]
    assert seen == ["session-ended", "other-sessions-ended", "logged-out"]
    (event,) = await events(service, others)
    assert event.detail == {"ended": 1}
    for account in (second, third):
        assert (await service.get("/auth/me", headers=account.bearer)).status_code == 401

    victim = await service.logged_in(first.email)
    tokens = [victim.refresh_token]
    for _ in range(2):
        tokens.append(
            (await service.post("/auth/refresh", {"refresh_token": tokens[-1]})).json()["refresh_token"]
        )
    reuse = await service.post("/auth/refresh", {"refresh_token": tokens[0]})
    assert await kind(service, reuse) == "refresh-reuse"
    again = await service.post("/auth/refresh", {"refresh_token": tokens[0]})
    assert await events(service, again) == []

    account = await service.logged_in(first.email)
    deleted = await delete(service, account)
    assert await kind(service, deleted) == "account-deleted"


async def delete(service: Deployment, account: Account) -> httpx2.Response:
    form = {"password": account.password}
    return await service.client.request("DELETE", "/api/v1/auth/me", json=form, headers=account.bearer)


@pytest.mark.parametrize("dbparity_database_url", ["sqlite"], indirect=True)
async def test_reading_and_malformed_requests_write_no_row(service: Deployment) -> None:
    account = await service.logged_in()
    for answer in (
        await service.get("/auth/me", headers=account.bearer),
        await service.get("/auth/sessions", headers=account.bearer),
        await service.get("/auth/me"),
        await service.post("/auth/login", {"email": "no address", "password": ""}),
        await service.post("/auth/register", {"email": new_email(), "password": "short", "name": NAME}),
        await service.post("/password-resets/check", {"token": "unknown"}),
    ):
        assert await events(service, answer) == []


async def test_no_row_holds_an_address_or_a_secret(service: Deployment) -> None:
    account = await service.logged_in()
    await service.log_in(account.email, OTHER_PASSWORD)
    await service.post("/password-resets", {"email": account.email})
    async with service.service.database.read() as db:
        rows = [repr(row.model_dump()) for row in (await db.exec(select(AuditEvent))).all()]
    assert len(rows) >= 5
    for secret in (
        account.email,
        PASSWORD,
        OTHER_PASSWORD,
        account.refresh_token,
        account.tokens["access_token"],
    ):
        assert not any(secret in row for row in rows)
