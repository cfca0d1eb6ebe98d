"""Limits: counted before the work, exact under concurrency, per account and per source, never locking the owner out."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from sqlmodel import select

from dashtam.core.tables import ThrottleCounter
from dashtam.settings import Settings, load
from tests.features.work import watched
from tests.makers import (
    API,
    CHEAP,
    NAME,
    OTHER_PASSWORD,
    PASSWORD,
    SECRET,
    Deployment,
    deployed,
    new_email,
    problem,
)

WRONG = "not the password of anybody here"


@asynccontextmanager
async def calling_from(service: Deployment, ip: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client at this address."""
    transport = httpx2.ASGITransport(app=service.app, client=(ip, 4711), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url=service.settings.public_url) as client:
        yield client


async def log_in_from(service: Deployment, ip: str, email: str, password: str = WRONG) -> httpx2.Response:
    async with calling_from(service, ip) as client:
        return await client.post(API + "/auth/login", json={"email": email, "password": password})


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Small limits, so that reaching them takes few requests."""
    return load(
        environment="test",
        database_url=database_url,
        secret_key=SECRET,
        var_dir=tmp_path,
        mail_transport="memory",
        public_url="http://testserver",
        rate_login_per_account="5/15m",
        rate_login_account_total="12/15m",
        rate_login_per_source="30/15m",
        rate_register_per_source="40/1h",
        rate_mail_per_source="6/1h",
        hash_queue=300,
    )


async def test_of_40_wrong_logins_at_once_as_many_reach_the_hash_as_the_limit_says(
    service: Deployment,
) -> None:
    email, most = await service.verified(), service.settings.rate_login_per_account.tries
    for _ in range(2):
        with watched(service) as work:
            answers = await asyncio.gather(*(service.log_in(email, WRONG) for _ in range(40)))
            assert len(work.pool.hashes) == most
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [401] * most + [429] * (40 - most)
        refused = [answer for answer in answers if answer.status_code == 429]
        assert {problem(answer) for answer in refused} == {"too-many-requests"}
        assert all(0 < int(answer.headers["retry-after"]) <= 900 for answer in refused)
        service.clock.move(minutes=15, seconds=1)


async def test_a_burst_beyond_what_the_database_keeps_up_with_gets_no_further_than_the_limit(
    service: Deployment,
) -> None:
    """All 200 queue for one counter: a slow disk makes some give up (503), and lets none past."""
    email, most = await service.verified(), service.settings.rate_login_per_account.tries
    with watched(service) as work:
        answers = await asyncio.gather(*(service.log_in(email, WRONG) for _ in range(200)))
        assert len(work.pool.hashes) <= most
    answered = Counter(answer.status_code for answer in answers)
    assert set(answered) <= {401, 429, 503}
    assert answered[401] <= most
    assert answered[429] > 0


async def test_a_limit_ends_with_its_window(service: Deployment) -> None:
    email, most = await service.verified(), service.settings.rate_login_per_account.tries
    for _ in range(most):
        await service.log_in(email, WRONG)
    assert (await service.log_in(email)).status_code == 429
    service.clock.move(seconds=15 * 60 - 30)
    assert (await service.log_in(email)).status_code == 429
    service.clock.move(seconds=31)
    assert (await service.log_in(email)).status_code == 200


async def test_strangers_who_use_up_an_accounts_tries_do_not_lock_out_the_device_that_it_knows(
    service: Deployment,
) -> None:
    email = await service.verified()
    assert (await log_in_from(service, "192.0.2.1", email, PASSWORD)).status_code == 200
    statuses = [(await log_in_from(service, f"198.51.100.{n}", email)).status_code for n in range(30)]
    assert statuses == [401] * 12 + [429] * 18
    unknown = await log_in_from(service, "203.0.113.9", email, PASSWORD)
    assert unknown.status_code == 429
    assert int(unknown.headers["retry-after"]) <= 900
    known = await log_in_from(service, "192.0.2.1", email, PASSWORD)
    assert known.status_code == 200
    guesses = [await log_in_from(service, "192.0.2.1", email) for _ in range(6)]
    assert guesses[-1].status_code == 429, "a known device may not guess without end"


async def test_a_reset_by_mail_ends_the_wait(service: Deployment) -> None:
    email = await service.verified()
    for n in range(13):
        await log_in_from(service, f"198.51.100.{n}", email)
    assert (await service.log_in(email)).status_code == 429
    await service.post("/password-resets", {"email": email})
    token = await service.token(email, "reset-password")
    form = {"token": token, "new_password": OTHER_PASSWORD}
    assert (await service.post("/password-resets/confirm", form)).status_code == 200
    assert (await service.log_in(email, OTHER_PASSWORD)).status_code == 200


async def test_a_success_forgives_its_own_account_and_nothing_of_its_source(service: Deployment) -> None:
    """One login of one's own between guesses at others buys no further guess (CVE-2023-47111, allauth 65.8.1)."""
    own = await service.verified()
    most = service.settings.rate_login_per_source.tries
    statuses = []
    for guess in range(most + 3):
        statuses.append((await service.log_in(new_email(), WRONG)).status_code)
        if guess % 4 == 3 and guess < most:
            assert (await service.log_in(own)).status_code == 200
    assert statuses == [401] * most + [429] * 3
    assert (await service.log_in(own)).status_code == 429
    assert (await log_in_from(service, "192.0.2.7", own, PASSWORD)).status_code == 200, (
        "only this source waits"
    )


async def test_a_success_forgives_the_wrong_tries_before_it(service: Deployment) -> None:
    email = await service.verified()
    for _ in range(3):
        for _ in range(service.settings.rate_login_per_account.tries - 1):
            assert (await service.log_in(email, WRONG)).status_code == 401
        assert (await service.log_in(email)).status_code == 200


async def test_the_addresses_of_one_ipv6_network_are_one_source_and_ipv4_ones_are_each_their_own(
    service: Deployment,
) -> None:
    email, most = await service.verified(), service.settings.rate_login_per_account.tries
    for n in range(most):
        assert (await log_in_from(service, f"2001:db8:0:1:{n:x}::{n:x}", email)).status_code == 401
    assert (await log_in_from(service, "2001:db8:0:1:ffff::1", email)).status_code == 429
    assert (await log_in_from(service, "2001:db8:0:2::1", email)).status_code == 401
    assert (await log_in_from(service, "192.0.2.1", email)).status_code == 401


async def test_forwarded_addresses_count_for_nothing_unless_a_proxy_is_trusted(service: Deployment) -> None:
    email, most = await service.verified(), service.settings.rate_login_per_account.tries
    headers = (
        {"X-Forwarded-For": "6.6.6.6"}, {"X-Forwarded-For": "a"}, {"X-Forwarded-For": "::1"},
        {"Forwarded": "for=6.6.6.7"}, {"X-Real-IP": "6.6.6.8"}, {"CF-Connecting-IP": "6.6.6.9"},
    )  # fmt: skip
    form = {"email": email, "password": WRONG}
    statuses = [(await service.post("/auth/login", form, headers=sent)).status_code for sent in headers]
    assert statuses == [401] * most + [429] * (len(headers) - most)


async def test_limits_outlive_a_restart(settings: Settings) -> None:
    async with deployed(settings, hash_cost=CHEAP) as service:
        email = await service.verified()
        for _ in range(5):
            assert (await service.log_in(email, WRONG)).status_code == 401
    async with deployed(settings, hash_cost=CHEAP) as service:
        assert (await service.log_in(email)).status_code == 429


async def test_registrations_and_requests_for_mail_are_limited_by_source(service: Deployment) -> None:
    mails = service.settings.rate_mail_per_source.tries
    paths = ["/password-resets", "/auth/resend-verification"] * (mails // 2 + 1)
    asked = [await service.post(path, {"email": new_email()}) for path in paths]
    assert [answer.status_code for answer in asked] == [202] * mails + [429] * 2
    assert int(asked[-1].headers["retry-after"]) <= 3600

    most = service.settings.rate_register_per_source.tries
    form = {"password": PASSWORD, "name": NAME}
    answers = [await service.post("/auth/register", {"email": new_email(), **form}) for _ in range(most + 1)]
    assert [answer.status_code for answer in answers] == [201] * most + [429]
    async with calling_from(service, "192.0.2.1") as client:
        answer = await client.post(API + "/auth/register", json={"email": new_email(), **form})
    assert answer.status_code == 201


async def test_other_spellings_of_the_path_do_not_pass_the_limit_by(service: Deployment) -> None:
    email = await service.verified()
    form = {"email": email, "password": WRONG}
    variants = (
        "//auth/login",
        "/auth/login/",
        "/AUTH/login",
        "/auth//login",
        "/auth/login;x",
        "/auth/./login",
    )
    for path in variants:
        answer = await service.client.post(
            httpx2.URL(service.settings.public_url).join(API + path), json=form
        )
        assert answer.status_code in {401, 404, 405}, path
    seen = [(await service.log_in(email, WRONG)).status_code for _ in range(6)]
    assert 429 in seen


async def test_the_counters_name_no_address(service: Deployment) -> None:
    email = await service.verified()
    await service.log_in(email, WRONG)
    async with service.service.database.read() as db:
        keys = [row.key for row in (await db.exec(select(ThrottleCounter))).all()]
    assert len(keys) >= 4
    assert not any(part in key for key in keys for part in (email, email.split("@")[0], "127.0.0.1"))


async def test_a_source_that_is_refused_takes_nothing_from_the_accounts_total(service: Deployment) -> None:
    """Or one stranger alone could keep the owner out of every new device (S-034)."""
    email = await service.verified()
    for _ in range(service.settings.rate_login_account_total.tries + 5):
        await log_in_from(service, "198.51.100.1", email)
    assert (await log_in_from(service, "198.51.100.1", email)).status_code == 429
    assert (await log_in_from(service, "203.0.113.9", email, PASSWORD)).status_code == 200


async def test_an_owner_who_is_logged_in_can_change_the_password_while_strangers_try(
    service: Deployment,
) -> None:
    account = await service.logged_in()
    for number in range(4):
        for _ in range(service.settings.rate_login_per_account.tries):
            await log_in_from(service, f"198.51.100.{number}", account.email)
    assert (await log_in_from(service, "203.0.113.9", account.email)).status_code == 429, (
        "the total is used up"
    )
    change = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    async with calling_from(service, "203.0.113.9") as client:
        answer = await client.post(API + "/auth/me/password", json=change, headers=account.bearer)
    assert answer.status_code == 200
