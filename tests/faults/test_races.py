"""Many redeem one secret at the same moment: it has exactly one effect (S-028, S-059; C-1, C-4).

32 connections over all processes of a deployment, opened first, released together.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from statistics import median
from time import perf_counter
from typing import Any

from argon2.exceptions import VerifyMismatchError
from argon2.low_level import Type, verify_secret
from sqlmodel import col, func, select

from dashtam.core import sessions
from dashtam.core.db import Database
from dashtam.core.tables import AuditEvent, Session, User
from tests.faults.conftest import NewSite
from tests.faults.site import AT_ONCE, Site
from tests.faults.wire import Answer, Volley
from tests.makers import NAME, PASSWORD, new_email

_log = logging.getLogger(__name__)

SHARE = 20
"""Registrations and logins write for every request, not only for one of 32: fewer rounds of these."""

CHOICES = [f"the {number}th heron of {AT_ONCE} over the weir" for number in range(AT_ONCE)]
ONCE = {(200, ""): 1, (400, "token-invalid"): AT_ONCE - 1}


class Race:
    """Runs the rounds of one race and keeps their times."""

    def __init__(self, path: str, volley: Volley) -> None:
        self._path = path
        self._volley = volley
        self._seconds: list[float] = []

    def run(self, bodies: Sequence[dict[str, Any]]) -> list[Answer]:
        """One round."""
        started = perf_counter()
        answers = self._volley.post(self._path, bodies)
        self._seconds.append(perf_counter() - started)
        return answers

    def report(self) -> None:
        """Log how long the median round took, first byte to last answer (pytest --log-cli-level=INFO)."""
        _log.info(
            "%s: p50 of %d rounds %.1f ms", self._path, len(self._seconds), median(self._seconds) * 1000
        )


def outcomes(answers: Sequence[Answer]) -> Counter[tuple[int, str]]:
    """How often which status and problem was answered."""
    return Counter((answer.status, answer.problem) for answer in answers)


async def test_each_mailed_token_works_once(site: Site, rows: Database, rounds: int) -> None:
    addresses = await site.registered(rounds)
    verification = await site.tokens(addresses, "verify-email")
    with site.volley() as volley:
        race = Race("/auth/verify-email", volley)
        for token in verification:
            assert outcomes(race.run([{"token": token}] * AT_ONCE)) == ONCE
        race.report()
    assert await audited(rows, "email-verified", addresses) == dict.fromkeys(addresses, 1)

    asked = site.each("/password-resets", [{"email": email} for email in addresses])
    assert {answer.status for answer in asked} == {202}
    reset = await site.tokens(addresses, "reset-password")
    won, lost = [], []
    with site.volley() as volley:
        race = Race("/password-resets/confirm", volley)
        for token in reset:
            answers = race.run([{"token": token, "new_password": choice} for choice in CHOICES])
            assert outcomes(answers) == ONCE
            statuses = [answer.status for answer in answers]
            won.append(CHOICES[statuses.index(200)])
            lost.append(CHOICES[statuses.index(400)])
        race.report()
    assert await audited(rows, "password-reset", addresses) == dict.fromkeys(addresses, 1)
    assert await fitting(rows, addresses, [PASSWORD, *CHOICES]) == [[password] for password in won]
    assert log_in(site, addresses, won) == {200}
    assert log_in(site, addresses, lost) == {401}


async def test_a_refresh_token_has_one_successor(site: Site, rows: Database, rounds: int) -> None:
    (email,) = await site.verified(1)
    with site.volley() as volley, site.line() as line:
        token = site.log_in(line, email).body["refresh_token"]
        race = Race("/auth/refresh", volley)
        for generation in range(1, rounds + 1):
            answers = race.run([{"refresh_token": token}] * AT_ONCE)
            assert outcomes(answers) == {(200, ""): AT_ONCE}
            (token,) = {answer.body["refresh_token"] for answer in answers}
            parsed = sessions.parse(token)
            assert parsed is not None
            assert parsed.generation == generation
        race.report()
    assert await generations(rows, email) == [rounds]


async def test_an_address_registered_by_many_at_once_has_one_account(
    site: Site, rows: Database, rounds: int
) -> None:
    addresses = [new_email() for _ in range(max(1, rounds // SHARE))]
    with site.volley() as volley:
        race = Race("/auth/register", volley)
        for email in addresses:
            spellings = [email.upper() if number % 2 else email for number in range(AT_ONCE)]
            answers = race.run(
                [{"email": spelling, "password": PASSWORD, "name": NAME} for spelling in spellings]
            )
            assert {answer.status for answer in answers} == {201}
            assert len({str(answer.body) for answer in answers}) == 1
    race.report()
    for email in addresses:
        async with rows.read() as db:
            found = await db.exec(select(User).where(func.lower(User.email) == email))
            assert len(found.all()) == 1
    assert await audited(rows, "registered", addresses) == dict.fromkeys(addresses, AT_ONCE)


async def test_an_account_logged_in_to_by_many_at_once_opens_a_session_for_each(
    site: Site, rows: Database, rounds: int
) -> None:
    (email,) = await site.verified(1)
    with site.volley() as volley:
        race = Race("/auth/login", volley)
        for _ in range(max(1, rounds // SHARE)):
            answers = race.run([{"email": email, "password": PASSWORD}] * AT_ONCE)
            assert outcomes(answers) == {(200, ""): AT_ONCE}
    race.report()
    assert await generations(rows, email) == [0] * AT_ONCE * max(1, rounds // SHARE)


class TestPlanted:
    """The same races against servers that break the promise: each must be caught."""

    async def test_a_token_read_then_spent_is_caught(self, new_site: NewSite) -> None:
        with (
            new_site("postgresql", processes=2, plant="token_read_then_spent") as site,
            site.volley() as volley,
        ):
            addresses = await site.registered(10)
            site.each("/password-resets", [{"email": email} for email in addresses])
            tokens = await site.tokens(addresses, "reset-password")
            race = Race("/password-resets/confirm", volley)
            spent = [[{"token": token, "new_password": choice} for choice in CHOICES] for token in tokens]
            assert any(outcomes(race.run(bodies))[200, ""] > 1 for bodies in spent)

    async def test_a_refresh_that_forks_is_caught(self, new_site: NewSite) -> None:
        with (
            new_site("sqlite", plant="refresh_forks_generations") as site,
            site.volley() as volley,
            site.line() as line,
        ):
            (email,) = await site.verified(1)
            token = site.log_in(line, email).body["refresh_token"]
            answers = Race("/auth/refresh", volley).run([{"refresh_token": token}] * AT_ONCE)
        assert len({answer.body.get("refresh_token") for answer in answers}) > 1


async def audited(rows: Database, kind: str, addresses: Sequence[str]) -> dict[str, int]:
    """How many audit rows of this kind each account has."""
    statement = (
        select(User.email_canonical, func.count())
        .join(AuditEvent, col(AuditEvent.user_id) == col(User.id))
        .where(AuditEvent.kind == kind, col(User.email_canonical).in_(addresses))
        .group_by(User.email_canonical)
    )
    async with rows.read() as db:
        return dict((await db.exec(statement)).all())


async def generations(rows: Database, email: str) -> list[int]:
    """The generation of each of the account's sessions."""
    statement = select(Session.generation).join(User).where(User.email_canonical == email)
    async with rows.read() as db:
        return list(await db.exec(statement))


async def fitting(rows: Database, addresses: Sequence[str], passwords: Sequence[str]) -> list[list[str]]:
    """Those of these passwords that each account's stored hash is of."""
    statement = select(User.email_canonical, User.password_hash).where(
        col(User.email_canonical).in_(addresses)
    )
    async with rows.read() as db:
        stored = dict((await db.exec(statement)).all())
    return [[password for password in passwords if _fits(stored[email], password)] for email in addresses]


def log_in(site: Site, addresses: Sequence[str], passwords: Sequence[str]) -> set[int]:
    """The statuses of a login to each account with its password."""
    forms = [
        {"email": email, "password": password} for email, password in zip(addresses, passwords, strict=True)
    ]
    return {answer.status for answer in site.each("/auth/login", forms)}


def _fits(stored: str | None, password: str) -> bool:
    try:
        return stored is not None and verify_secret(stored.encode(), password.encode(), Type.ID)
    except VerifyMismatchError:
        return False
