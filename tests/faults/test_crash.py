"""A server is killed in a burst of registrations: what it acknowledged is there, whole, and is mailed.

(S-115, S-126, S-127.)
"""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from email import message_from_bytes
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path

import pytest
from sqlmodel import select

from dashtam.core.db import Database
from dashtam.core.tables import AuditEvent, OneTimeToken, OutboxMail, User
from tests.faults.conftest import NewSite
from tests.faults.site import Site
from tests.faults.wire import Answer
from tests.makers import NAME, PASSWORD, new_email

KILLS = int(os.environ.get("FAULT_KILLS", "2"))
CLIENTS = 8
ACKNOWLEDGED = 40
SLOW_SECONDS = 0.05
PLANTED_KILLS = 10
"""At most: one is nearly always enough to catch a planted fault."""
PAST_THE_LEASE = 300
"""Seconds: what the killed server had claimed for sending is due again by then."""


class Burst:
    """Clients that register one new address after the other until the server is gone."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.acknowledged: list[str] = []
        self.refused: list[Answer] = []
        self._enough = threading.Event()

    def until_killed(self) -> list[str]:
        """Kill the server in the midst of it; the addresses that had their 201."""
        clients = [threading.Thread(target=self._register) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        assert self._enough.wait(60), self._site.log()
        self._site.kill()
        for client in clients:
            client.join()
        assert self.refused == []
        return self.acknowledged

    def _register(self) -> None:
        with suppress(OSError, HTTPException), self._site.line() as line:  # the kill, wherever it meets us
            while True:
                email = new_email()
                answer = line.post("/auth/register", {"email": email, "password": PASSWORD, "name": NAME})
                if answer.status != HTTPStatus.CREATED:
                    self.refused.append(answer)
                    return
                self.acknowledged.append(email)
                if len(self.acknowledged) >= ACKNOWLEDGED:
                    self._enough.set()


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, new_site: NewSite) -> Iterator[Site]:
    """A deployment to be killed."""
    with new_site(request.param) as site:
        yield site


async def test_every_acknowledged_registration_survives_kill_9(site: Site) -> None:
    rows = Database(site.database_url, pool_size=2)
    for _ in range(KILLS):
        acknowledged = Burst(site).until_killed()
        stands = await account(rows)
        assert set(acknowledged) <= set(stands["users"])
        assert halves(stands) == {}
        named = await message_ids(rows)
        site.ahead += PAST_THE_LEASE
        site.start()
        assert statuses_of_login(site, acknowledged) == {(403, "email-not-verified")}
        await site.tokens(list(named), "verify-email")
        assert delivered(site.var_dir) == {email: {message_id} for email, message_id in named.items()}
    await rows.dispose()


class TestPlanted:
    """The same kill, against servers that break the promise: each must be caught."""

    async def test_a_registration_in_two_transactions_is_caught(self, new_site: NewSite) -> None:
        with new_site("postgresql", plant="registration_in_two_parts", slow_commit=SLOW_SECONDS) as site:
            rows = Database(site.database_url, pool_size=2)
            for _ in range(PLANTED_KILLS):
                Burst(site).until_killed()
                if halves(await account(rows)):
                    break
                site.start()
            else:
                pytest.fail("no kill came between the two transactions: the test above proves nothing")
            await rows.dispose()

    async def test_a_registration_acknowledged_too_early_is_caught(self, new_site: NewSite) -> None:
        with new_site("postgresql", plant="registration_in_the_background", slow_commit=SLOW_SECONDS) as site:
            rows = Database(site.database_url, pool_size=2)
            for _ in range(PLANTED_KILLS):
                acknowledged = Burst(site).until_killed()
                if set(acknowledged) - set((await account(rows))["users"]):
                    break
                site.start()
            else:
                pytest.fail("no kill came between answer and commit: the test above proves nothing")
            await rows.dispose()


async def account(rows: Database) -> dict[str, list[str]]:
    """Who has an account, a token, a mail and an audit row, each as often as they have one."""
    async with rows.read() as db:
        users = dict((await db.exec(select(User.id, User.email))).all())
        audited = (await db.exec(select(AuditEvent.user_id).where(AuditEvent.kind == "registered"))).all()
        return {
            "users": sorted(users.values()),
            "tokens": sorted((await db.exec(select(OneTimeToken.target))).all()),
            "mails": sorted((await db.exec(select(OutboxMail.to))).all()),
            "audit": sorted(users[id_] if id_ in users else str(id_) for id_ in audited),
        }


def halves(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """What does not belong to a whole registration: one account, one token, one mail, one audit row."""
    everyone = found["users"]
    return {what: addresses for what, addresses in found.items() if addresses != everyone}


def statuses_of_login(site: Site, addresses: list[str]) -> set[tuple[int, str]]:
    """What logging in to each of these is answered with."""
    forms = [{"email": email, "password": PASSWORD} for email in addresses]
    return {(answer.status, answer.problem) for answer in site.each("/auth/login", forms)}


async def message_ids(rows: Database) -> dict[str, str]:
    """The Message-ID of the mail that is or was queued for each address."""
    async with rows.read() as db:
        return dict((await db.exec(select(OutboxMail.to, OutboxMail.message_id))).all())


def delivered(var_dir: Path) -> dict[str, set[str]]:
    """The Message-IDs under which each address got mail."""
    found: dict[str, set[str]] = {}
    for path in (var_dir / "mailbox" / "new").iterdir():
        mail = message_from_bytes(path.read_bytes())
        found.setdefault(mail["To"], set()).add(mail["Message-ID"])
    return found
