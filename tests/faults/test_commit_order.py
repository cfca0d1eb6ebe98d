"""An answer is sent only after its transaction is committed (S-126): who has it finds the row, from anywhere.

Commits are slowed down alike in the sound server and in the one that answers first, so that the order shows.
"""

import asyncio
from typing import Any

import pytest
from sqlalchemy import ColumnElement, func, select, true
from sqlmodel import col

from dashtam.core.db import Database
from dashtam.core.tables import Session, User
from tests.faults.conftest import NewSite
from tests.faults.site import Site
from tests.faults.wire import Line
from tests.makers import API, NAME, PASSWORD, new_email

SLOW_SECONDS = 0.1


class Witness:
    """Calls the service on a plain socket, and looks into the database the moment an answer begins to arrive."""

    def __init__(self, line: Line, rows: Database, email: str) -> None:
        self._line = line
        self._rows = rows
        self._email = email
        self.seen: dict[str, bool] = {}

    async def call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        effect: ColumnElement[bool],
        bearer: str = "",
    ) -> dict[str, Any]:
        """Call, note whether the effect was there at once, and wait until it is."""
        async with self._rows.connect() as connection:  # a connection that stands before the answer comes
            self._line.prepare(method, API + path, body, bearer)
            self._line.release()
            self._line.head_arrives()
            rows = select(func.count()).select_from(User).outerjoin(Session)
            mine = rows.where(col(User.email_canonical) == self._email, effect)
            self.seen[path] = bool((await connection.execute(mine)).scalar_one())
        answer = self._line.answer()
        assert answer.status in {200, 201}, answer
        await self._until(effect)
        return answer.body

    async def _until(self, effect: ColumnElement[bool]) -> None:
        statement = select(func.count()).select_from(User).outerjoin(Session)
        statement = statement.where(col(User.email_canonical) == self._email, effect)
        async with asyncio.timeout(10):
            while True:
                async with self._rows.connect() as connection:
                    if (await connection.execute(statement)).scalar_one():
                        return
                await asyncio.sleep(0.01)


async def evidence(site: Site) -> dict[str, bool]:
    """For each call of a short life, whether what it acknowledged stood when its answer began to arrive."""
    rows, email = Database(site.database_url, pool_size=2), new_email()
    with site.line() as line:
        see = Witness(line, rows, email)
        form = {"email": email, "password": PASSWORD}
        await see.call("POST", "/auth/register", {**form, "name": NAME}, true())
        link = {"token": await site.token(email, "verify-email")}
        await see.call("POST", "/auth/verify-email", link, col(User.email_verified_at).is_not(None))
        pair = await see.call("POST", "/auth/login", form, col(Session.id).is_not(None))
        spent = {"refresh_token": pair["refresh_token"]}
        await see.call("POST", "/auth/refresh", spent, col(Session.generation) == 1)
        bearer = pair["access_token"]
        await see.call("PATCH", "/auth/me", {"name": "Another"}, col(User.name) == "Another", bearer)
        await see.call("POST", "/auth/logout", None, col(Session.revoked_at).is_not(None), bearer)
    await rows.dispose()
    return see.seen


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_what_is_acknowledged_is_committed(new_site: NewSite, kind: str) -> None:
    with new_site(kind, slow_commit=SLOW_SECONDS) as site:
        seen = await evidence(site)
    assert len(seen) == 6
    assert all(seen.values()), seen


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_server_that_answers_before_it_commits_is_caught(new_site: NewSite, kind: str) -> None:
    with new_site(kind, slow_commit=SLOW_SECONDS, plant="commit_after_response") as site:
        seen = await evidence(site)
    late = {path for path, found in seen.items() if not found}
    assert late == {"/auth/verify-email", "/auth/refresh", "/auth/me", "/auth/logout"}
