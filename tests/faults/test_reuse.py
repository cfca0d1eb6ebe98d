"""A spent refresh token is recognised whatever happens to processes and clocks (S-060, S-062; C-2)."""

import pytest
from sqlmodel import col, func, select

from dashtam.core.db import Database
from dashtam.core.tables import AuditEvent, Session, User
from tests.faults.conftest import NewDatabase, NewSite
from tests.faults.nursery import Nursery
from tests.faults.site import Site

HOUR = 3600


def refreshed(site: Site, token: str) -> tuple[int, str]:
    """Exchange a refresh token: the status, and the next token."""
    with site.line() as line:
        answer = line.post("/auth/refresh", {"refresh_token": token})
    return answer.status, answer.body.get("refresh_token", "")


def rotated(site: Site, email: str, times: int) -> list[str]:
    """Log in and refresh so many times, at once one after the other; every refresh token of it."""
    with site.line() as line:
        tokens = [site.log_in(line, email).body["refresh_token"]]
    for _ in range(times):
        status, token = refreshed(site, tokens[-1])
        assert status == 200
        tokens.append(token)
    return tokens


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_reuse_is_noticed_after_a_crash_and_stays_noticed_after_another(
    new_site: NewSite, kind: str
) -> None:
    with new_site(kind) as site:
        (email,) = await site.verified(1)
        tokens = rotated(site, email, 3)
        crash(site)
        assert refreshed(site, tokens[1])[0] == 401
        crash(site)
        assert [refreshed(site, token)[0] for token in tokens] == [401] * 4
        assert await reuses(site, email) == 1


@pytest.mark.parametrize("off", [-HOUR, HOUR])
async def test_reuse_is_noticed_by_a_node_whose_clock_is_wrong(
    nursery: Nursery, new_database: NewDatabase, off: int
) -> None:
    with (
        new_database("postgresql") as (url, folder),
        Site(nursery, url, folder) as right,
        Site(nursery, url, folder, ahead=off) as wrong,
    ):
        (email,) = await right.verified(1)
        spent, successor = rotated(right, email, 1)
        assert refreshed(right, spent) == (200, successor)
        assert refreshed(wrong, spent)[0] == 401
        assert refreshed(right, successor)[0] == 401
        assert await reuses(right, email) == 1


def crash(site: Site) -> None:
    """SIGKILL, and a restart."""
    site.kill()
    site.start()


async def reuses(site: Site, email: str) -> int:
    """How often reuse was recorded for this account; its session must be over for that reason."""
    rows = Database(site.database_url, pool_size=1)
    mine = User.email_canonical == email
    async with rows.read() as db:
        ended = await db.exec(select(Session.revoked_reason).join(User).where(mine))
        assert ended.all() == ["refresh-reuse"]
        recorded = select(func.count()).select_from(AuditEvent).join(User, col(AuditEvent.user_id) == User.id)
        count = (await db.exec(recorded.where(mine, AuditEvent.kind == "refresh-reuse"))).one()
    await rows.dispose()
    return count
