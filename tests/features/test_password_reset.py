"""Resetting a password: only by the newest mailed secret, once, in time; and everything of before is over."""

import asyncio
from datetime import timedelta
from itertools import product

import httpx2
import pytest
from sqlalchemy import update
from sqlmodel import col, select

from dashtam.core import one_time
from dashtam.core.mail import Waiting
from dashtam.core.tables import Session, User
from dashtam.features.password_reset import prepare_reset
from tests.makers import OTHER_PASSWORD, PASSWORD, Deployment, bearer, new_email, problem

ONLY_SQLITE = pytest.mark.parametrize("dbparity_database_url", ["sqlite"], indirect=True)
FOREIGN_HEADERS = {
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Server": "evil.example",
    "X-Forwarded-Proto": "gopher",
    "X-Forwarded-Port": "1234",
    "X-Forwarded-Prefix": "/evil.example",
    "Forwarded": "host=evil.example;proto=http",
    "X-Host": "evil.example",
    "X-Original-URL": "https://evil.example/",
    "X-Rewrite-URL": "https://evil.example/",
    "Origin": "https://evil.example",
    "Referer": "https://evil.example/reset",
}


async def ask(service: Deployment, email: str) -> httpx2.Response:
    return await service.post("/password-resets", {"email": email})


async def asked(service: Deployment, email: str, mails: int) -> str:
    """The newest reset token of this address, once it has got so many mails."""
    assert (await ask(service, email)).status_code == 202
    await service.mails(email, mails)
    return await service.token(email, "reset-password")


async def confirm(service: Deployment, token: str, password: str = OTHER_PASSWORD) -> httpx2.Response:
    return await service.post("/password-resets/confirm", {"token": token, "new_password": password})


async def check(service: Deployment, token: str) -> httpx2.Response:
    return await service.post("/password-resets/check", {"token": token})


async def test_a_reset_sets_the_password_once_and_ends_all_that_was_before(service: Deployment) -> None:
    account = await service.logged_in()
    others = [await service.logged_in(account.email) for _ in range(2)]
    token = await asked(service, account.email, 2)
    seen = await check(service, token)
    assert seen.status_code == 200
    assert seen.json().keys() == {"valid", "expires_at"}
    assert (await check(service, token)).json() == seen.json(), "a look spends nothing"

    answer = await confirm(service, token)
    assert (answer.status_code, answer.json().keys()) == (200, {"message"})
    for session in (account, *others):
        assert (await service.get("/auth/me", headers=session.bearer)).status_code == 401
        assert (
            await service.post("/auth/refresh", {"refresh_token": session.refresh_token})
        ).status_code == 401
    assert (await service.log_in(account.email)).status_code == 401
    assert (await service.log_in(account.email, OTHER_PASSWORD)).status_code == 200
    for again in (await confirm(service, token), await check(service, token)):
        assert (again.status_code, problem(again)) == (400, "token-invalid")
    assert "#token=" not in (await service.mails(account.email, 3))[0].text, "the notice of the change"


async def test_a_newer_link_replaces_the_older_and_a_reset_spends_them_all(service: Deployment) -> None:
    email = await service.verified()
    older, newer = await asked(service, email, 2), await asked(service, email, 3)
    assert older != newer
    assert (await confirm(service, older)).status_code == 400
    assert (await confirm(service, newer)).status_code == 200
    assert (await confirm(service, older)).status_code == 400


async def test_a_reset_link_lives_an_hour_by_the_servers_clock(service: Deployment) -> None:
    emails = [await service.verified() for _ in range(2)]
    first, second = [await asked(service, email, 2) for email in emails]
    service.clock.move(seconds=service.settings.reset_token_seconds - 30)
    assert (await confirm(service, first)).status_code == 200
    service.clock.move(seconds=31)
    assert (await check(service, second)).status_code == 400
    assert (await confirm(service, second)).status_code == 400
    assert (await service.log_in(emails[1])).status_code == 200


async def test_of_many_confirmations_at_once_one_sets_its_password(service: Deployment) -> None:
    email = await service.verified()
    token = await asked(service, email, 2)
    passwords = [f"a different candle in room {n}" for n in range(12)]
    answers = await asyncio.gather(*(confirm(service, token, password) for password in passwords))
    winners = [
        password for password, answer in zip(passwords, answers, strict=True) if answer.status_code == 200
    ]
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 11
    assert (await service.log_in(email, winners[0])).status_code == 200


@pytest.mark.parametrize("bad", ["too-short", "blocked", "too-long"])
async def test_an_unfit_password_is_refused_and_the_link_stays_good(service: Deployment, bad: str) -> None:
    email = await service.verified()
    token = await asked(service, email, 2)
    unfit = {"too-short": "short", "blocked": "passwordpassword", "too-long": "long enough, " * 90}[bad]
    answer = await confirm(service, token, unfit)
    assert (answer.status_code, problem(answer)) == (422, f"password-{bad}")
    assert (await confirm(service, token)).status_code == 200


async def test_nobody_without_an_account_gets_a_mail_and_asking_changes_nothing(service: Deployment) -> None:
    email, unknown = await service.verified(), new_email()
    account = await service.logged_in(email)
    for _ in range(3):
        assert (await ask(service, unknown)).status_code == 202
        assert (await ask(service, email)).status_code == 202
    await service.mails(email, 4)
    assert await service.mailbox.messages(unknown) == []
    assert (await service.get("/auth/me", headers=account.bearer)).status_code == 200
    assert (await service.log_in(email)).status_code == 200


async def test_an_address_is_mailed_so_many_links_an_hour_and_no_more(service: Deployment) -> None:
    email = await service.verified()
    most = service.settings.rate_mail_per_address.tries
    for _ in range(most + 5):
        assert (await ask(service, email)).status_code == 202
    await service.post("/auth/resend-verification", {"email": email})
    await service.mails(email, 1 + most)
    service.clock.move(hours=1, seconds=1)
    token = await asked(service, email, 1 + most + 1)
    assert len(await service.mailbox.messages(email)) == 1 + most + 1
    assert (await confirm(service, token)).status_code == 200


async def test_a_reset_by_mail_verifies_the_address_that_it_was_sent_to(service: Deployment) -> None:
    email = await service.register()
    token = await asked(service, email, 2)
    assert (await confirm(service, token)).status_code == 200
    assert (await service.log_in(email, OTHER_PASSWORD)).status_code == 200
    assert (await service.log_in(email, PASSWORD)).status_code == 403


async def test_a_link_dies_with_a_change_of_password_or_address(service: Deployment) -> None:
    for change in ("password", "email"):
        account = await service.logged_in()
        token = await asked(service, account.email, 2)
        if change == "password":
            form = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
            answer = await service.post("/auth/me/password", form, headers=account.bearer)
        else:
            other = new_email()
            await service.post(
                "/auth/me/email", {"new_email": other, "password": PASSWORD}, headers=account.bearer
            )
            answer = await service.post(
                "/auth/confirm-email", {"token": await service.token(other, "confirm-email")}
            )
        assert answer.status_code == 200
        assert (await check(service, token)).status_code == 400, change
        assert (await confirm(service, token, "a third and different phrase")).status_code == 400, change


async def test_the_new_password_and_the_end_of_the_sessions_are_one_transaction(service: Deployment) -> None:
    """Whatever fails in it leaves neither: here the notice of the change cannot be queued."""
    account = await service.logged_in()
    token = await asked(service, account.email, 2)
    async with service.service.database.write() as db:
        await db.exec(update(User).where(col(User.email) == account.email).values(email="no address"))
    answer = await confirm(service, token)
    assert answer.status_code == 500
    async with service.service.database.write() as db:
        await db.exec(update(User).values(email=account.email))
        assert [row.revoked_at for row in (await db.exec(select(Session))).all()] == [None]
    assert (await service.get("/auth/me", headers=account.bearer)).status_code == 200
    assert (await service.log_in(account.email)).status_code == 200
    assert (await confirm(service, token)).status_code == 200


@ONLY_SQLITE
async def test_no_header_has_a_say_in_a_mailed_link(service: Deployment) -> None:
    account = await service.logged_in()
    await service.post("/password-resets", {"email": account.email}, headers=FOREIGN_HEADERS)
    form = {"email": (other := new_email()), "password": PASSWORD, "name": "Ada"}
    await service.post("/auth/register", form, headers=FOREIGN_HEADERS)
    change = {"new_email": (third := new_email()), "password": PASSWORD}
    await service.post("/auth/me/email", change, headers=FOREIGN_HEADERS | account.bearer)
    for email, count in ((account.email, 2), (other, 1), (third, 1)):
        newest = (await service.mails(email, count))[0]
        for part in (newest.text, newest.html):
            assert "http://testserver/" in part
            assert "#token=" in part
            assert "evil" not in part
            assert "gopher" not in part
            assert "1234" not in part
    for host in ("evil.example", "testserver.evil.example", "evil.example:80", "testserver@evil.example"):
        answer = await service.post("/password-resets", {"email": account.email}, headers={"Host": host})
        assert answer.status_code in {400, 421}, host
    assert len(await service.mailbox.messages(account.email)) == 2


def every_sequence(kinds: int, length: int) -> list[int]:
    """The shortest walk that contains every sequence of this length (de Bruijn's, by "prefer the largest")."""
    walk, seen = [0] * length, {(0,) * length}
    while True:
        for kind in reversed(range(kinds)):
            last = (*walk[1 - length :], kind)
            if last not in seen:
                seen.add(last)
                walk.append(kind)
                break
        else:
            assert len(seen) == kinds**length
            return walk


@ONLY_SQLITE
async def test_no_order_of_calls_changes_a_password_without_the_mailed_secret(service: Deployment) -> None:
    """Every sequence of three recovery calls with stale and foreign tokens (CVE-2026-18963), run into one."""
    victim, attacker = await service.verified(), await service.logged_in()
    spent = await asked(service, victim, 2)
    assert (await confirm(service, spent, PASSWORD)).status_code == 200
    waiting = await service.register()
    foreign = await service.token(waiting, "verify-email")
    calls = [
        ("/password-resets", {"email": victim}),
        ("/password-resets/check", {"token": spent}),
        ("/password-resets/confirm", {"token": spent, "new_password": OTHER_PASSWORD}),
        ("/password-resets/confirm", {"token": foreign, "new_password": OTHER_PASSWORD}),
        ("/password-resets/confirm", {"token": attacker.refresh_token, "new_password": OTHER_PASSWORD}),
        ("/auth/confirm-email", {"token": spent}),
    ]
    for call in every_sequence(len(calls), 3):
        assert (await service.post(*calls[call])).status_code in {202, 400}
        service.clock.move(minutes=30)
    assert (await service.log_in(victim, OTHER_PASSWORD)).status_code == 401
    assert (await service.log_in(victim, PASSWORD)).status_code == 200


@ONLY_SQLITE
async def test_a_secret_is_good_for_its_own_purpose_alone(service: Deployment) -> None:
    """Each kind of token at each call that takes one: only the diagonal passes."""
    account = await service.logged_in()
    reset = await asked(service, account.email, 2)
    change = {"new_email": (other := new_email()), "password": PASSWORD}
    await service.post("/auth/me/email", change, headers=account.bearer)
    verification = await service.token(await service.register(), "verify-email")
    secrets = {
        "verify": verification,
        "confirm": await service.token(other, "confirm-email"),
        "reset": reset,
        "refresh": account.refresh_token,
        "access": account.tokens["access_token"],
    }
    calls = {
        "verify": ("/auth/verify-email", "token", {}),
        "reset": ("/password-resets/confirm", "token", {"new_password": OTHER_PASSWORD}),
        "refresh": ("/auth/refresh", "refresh_token", {}),
        "confirm": ("/auth/confirm-email", "token", {}),
    }
    for (call, (path, field, more)), (kind, secret) in product(calls.items(), secrets.items()):
        if call != kind:
            answer = await service.post(path, {field: secret, **more})
            assert answer.status_code in {400, 401, 422}, (call, kind)
    for kind, secret in secrets.items():
        status = (await service.get("/auth/me", headers=bearer(secret))).status_code
        assert status == (200 if kind == "access" else 401), kind
        assert (await check(service, secret)).status_code == (
            200 if kind == "reset" else 400 if len(secret) <= 512 else 422
        )
    for kind in ("verify", "refresh", "confirm"):
        path, field, more = calls[kind]
        assert (await service.post(path, {field: secrets[kind], **more})).status_code == 200, kind


async def test_of_requests_that_are_delivered_in_another_order_the_newest_one_counts(
    service: Deployment,
) -> None:
    email = await service.verified()
    now, parts = service.clock.now(), service.service
    asked_first, asked_last = (
        Waiting(email, "password-reset", {"token": one_time.new_token()}, now - timedelta(seconds=age), False)
        for age in (2, 1)
    )
    letters = []
    for mail in (asked_last, asked_first):
        async with parts.database.write() as db:
            letters.append(await prepare_reset(parts, db, mail, now))
    assert [letter is not None for letter in letters] == [True, False]
    assert (await check(service, asked_first.values["token"])).status_code == 400
    assert (await confirm(service, asked_last.values["token"])).status_code == 200
