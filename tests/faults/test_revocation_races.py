"""What ends a session wins against what would carry it on, whichever comes first (S-063, S-064; C-3).

Once both have answered, nothing of the family is accepted, on any process.
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlmodel import select

from dashtam.core import audit, users
from dashtam.core.clock import Clock
from dashtam.core.db import Database
from dashtam.core.tables import Session, User
from tests.faults.conftest import NewSite
from tests.faults.site import AT_ONCE, Site, me
from tests.faults.wire import Answer, Line, Request
from tests.makers import API, OTHER_PASSWORD, PASSWORD

SHARE = 20
"""These races need new accounts or logins every time: fewer rounds."""

NOBODY = audit.Client()
LOGOUT = f"{API}/auth/logout"
REFRESH = f"{API}/auth/refresh"
LOGIN = f"{API}/auth/login"
CONFIRM = f"{API}/password-resets/confirm"


async def test_nothing_of_before_a_reset_survives_it(site: Site, rounds: int) -> None:
    addresses = await site.verified(max(1, rounds // SHARE))
    site.each("/password-resets", [{"email": email} for email in addresses])
    with site.volley() as volley, site.line() as line:
        for email, token in zip(addresses, await site.tokens(addresses, "reset-password"), strict=True):
            before = site.log_in(line, email)
            carry_on = [
                ("POST", LOGIN, {"email": email, "password": PASSWORD}, None),
                ("POST", REFRESH, {"refresh_token": before.body["refresh_token"]}, None),
            ] * ((AT_ONCE - 1) // 2)
            reset = ("POST", CONFIRM, {"token": token, "new_password": OTHER_PASSWORD}, None)
            ended, *others = volley.fire([reset, *carry_on])
            assert ended.status == 200
            assert accepted(site, [before, *others]) == 0
            assert site.log_in(line, email).status == 401
            assert site.log_in(line, email, OTHER_PASSWORD).status == 200


async def test_nothing_of_a_session_survives_its_logout(site: Site, rounds: int) -> None:
    (email,) = await site.verified(1)
    with site.volley() as volley, site.line() as line:
        for _ in range(max(1, rounds // SHARE)):
            before = site.log_in(line, email)
            carry_on = [("POST", REFRESH, {"refresh_token": before.body["refresh_token"]}, None)]
            logout = ("POST", LOGOUT, None, before.body["access_token"])
            *others, ended = volley.fire([*carry_on * (AT_ONCE - 1), logout])
            assert ended.status == 200
            assert accepted(site, [before, *others]) == 0


async def test_nothing_of_a_disabled_account_survives_nor_returns(
    site: Site, rows: Database, rounds: int
) -> None:
    (email,) = await site.verified(1)
    user_id = await id_of(rows, email)
    with site.volley() as volley, site.line() as line:
        for _ in range(max(1, rounds // SHARE)):
            before = site.log_in(line, email)
            for each in volley.lines:
                each.prepare("POST", REFRESH, {"refresh_token": before.body["refresh_token"]})
            for each in volley.lines:
                each.release()
            async with rows.write() as db:
                assert await users.disable(db, user_id, NOBODY, Clock().now())
            others = [each.answer() for each in volley.lines]
            assert accepted(site, [before, *others]) == 0
            assert site.log_in(line, email).status == 401
            async with rows.write() as db:
                await users.enable(db, user_id, NOBODY, Clock().now())
            assert accepted(site, [before, *others]) == 0


async def outlasting_login(site: Site) -> Answer:
    """The answer to a login whose password was verified before a reset and whose session is opened after it.

    The account's row is held until both wait for it, the reset first in the queue.
    """
    (email,) = await site.verified(1)
    site.each("/password-resets", [{"email": email}])
    token = await site.token(email, "reset-password")
    with site.volley(2) as volley:
        reset, login = volley.lines
        reset.prepare("POST", CONFIRM, {"token": token, "new_password": OTHER_PASSWORD})
        login.prepare("POST", LOGIN, {"email": email, "password": PASSWORD})
        await release_behind(site, select(User).where(User.email_canonical == email), [reset, login])
        assert reset.answer().status == 200
        return login.answer()


async def release_behind(site: Site, statement: object, lines: Sequence[Line]) -> None:
    """Hold the row of this statement; release one request after the other, each once the last one waits for it."""
    rows = Database(site.database_url, pool_size=2)
    async with rows.write() as holder:
        await holder.exec(statement.with_for_update())  # type: ignore[attr-defined]
        for count, line in enumerate(lines, 1):
            line.release()
            await until_waiting(rows, count)
    await rows.dispose()


async def until_waiting(rows: Database, count: int) -> None:
    """Until so many connections to this database wait for a lock."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(10), rows.connect() as connection:
        while (await connection.execute(waiting)).scalar_one() < count:  # noqa: ASYNC110  the database tells, nobody else
            await asyncio.sleep(0.005)


class TestPaused:
    """The same, held at the worst moment, on PostgreSQL, whose requests can be stopped from outside by a lock."""

    async def test_a_login_verified_before_a_reset_opens_nothing_after_it(self, new_site: NewSite) -> None:
        with new_site("postgresql", processes=2) as site:
            assert (await outlasting_login(site)).status == 401

    async def test_a_login_that_does_not_look_again_is_caught(self, new_site: NewSite) -> None:
        with new_site("postgresql", processes=2, plant="login_opens_unchecked") as site:
            assert (await outlasting_login(site)).status == 200

    @pytest.mark.parametrize("first", ["refresh", "logout"])
    async def test_refresh_and_logout_in_either_order_leave_nothing(
        self, new_site: NewSite, first: str
    ) -> None:
        with new_site("postgresql", processes=2) as site:
            (email,) = await site.verified(1)
            with site.volley(3) as volley:
                refresh, logout, other = volley.lines
                before = site.log_in(other, email)
                refresh.prepare("POST", REFRESH, {"refresh_token": before.body["refresh_token"]})
                logout.prepare("POST", LOGOUT, None, before.body["access_token"])
                order = [refresh, logout] if first == "refresh" else [logout, refresh]
                row = select(Session).join(User).where(User.email_canonical == email)
                await release_behind(site, row, order)
                assert logout.answer().status == 200
                refreshed = refresh.answer()
                assert refreshed.status == (200 if first == "refresh" else 401)
                assert accepted(site, [before, refreshed]) == 0


async def id_of(rows: Database, email: str) -> UUID:
    async with rows.read() as db:
        return (await db.exec(select(User.id).where(User.email_canonical == email))).one()


def accepted(site: Site, answers: Sequence[Answer]) -> int:
    """How many of the tokens in these answers still open anything, on any process."""
    pairs = [answer.body for answer in answers if answer.status == 200]
    refresh_tokens = {pair["refresh_token"] for pair in pairs}
    tries: list[Request] = [me(pair["access_token"]) for pair in pairs]
    tries += [("POST", REFRESH, {"refresh_token": token}, None) for token in refresh_tokens]
    with site.volley() as volley:
        found = [
            answer.status
            for start in range(0, len(tries), AT_ONCE)
            for answer in volley.fire(tries[start : start + AT_ONCE])
        ]
    assert set(found) <= {200, 401}
    return found.count(200)
