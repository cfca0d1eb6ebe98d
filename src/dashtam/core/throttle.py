"""Throttling: counters in the database, counted before the work, so that they hold across workers and crashes.

A counter belongs to a kind of try and a subject (an account, a source network) and lasts for one window.
Subjects are kept as keyed hashes: the table names no address. Whatever goes wrong here fails the request.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network

from sqlalchemy import case, delete, update
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from dashtam.core import problems
from dashtam.core.db import Database, insert_into
from dashtam.core.problems import retry_after
from dashtam.core.sealing import SecretKey
from dashtam.core.tables import ThrottleCounter
from dashtam.settings import Rate

_HASH_CHARACTERS = 32
_IPV6_PREFIX = 64


@dataclass(frozen=True, slots=True)
class Limit:
    """So many tries of this kind for this subject in a window."""

    kind: str
    subject: str
    rate: Rate


class Throttle:
    """Counts tries against limits."""

    def __init__(self, secret: SecretKey) -> None:
        self._key = secret.subkey("throttle")

    async def count(self, db: AsyncSession, now: datetime, *limits: Limit) -> dict[str, float]:
        """Count one try against every limit, in one statement.

        Returns, for each limit that is now exceeded, its kind and the seconds until its window ends.
        """
        by_key = {self._name(limit): limit for limit in limits}
        rows = [
            {"key": key, "count": 1, "ends_at": now + timedelta(seconds=by_key[key].rate.seconds)}
            for key in sorted(by_key)  # in one order everywhere, so that two requests cannot deadlock
        ]
        fresh = insert_into(db, ThrottleCounter).values(rows)
        over = col(ThrottleCounter.ends_at) <= now
        upsert = fresh.on_conflict_do_update(
            index_elements=["key"],
            set_={
                "count": case((over, 1), else_=col(ThrottleCounter.count) + 1),
                "ends_at": case((over, fresh.excluded.ends_at), else_=col(ThrottleCounter.ends_at)),
            },
        ).returning(col(ThrottleCounter.key), col(ThrottleCounter.count), col(ThrottleCounter.ends_at))
        counted = (await db.exec(upsert)).all()
        return {
            by_key[key].kind: (ends_at - now).total_seconds()
            for key, count, ends_at in counted
            if count > by_key[key].rate.tries
        }

    async def admit(self, database: Database, now: datetime, *limits: Limit) -> None:
        """Count one try, for good, before the work that it asks for; raise TOO_MANY_REQUESTS beyond a limit."""
        async with database.write() as db:
            exceeded = await self.count(db, now, *limits)
        if exceeded:
            raise retry_after(problems.TOO_MANY_REQUESTS, max(exceeded.values()))

    async def forget(self, db: AsyncSession, *limits: Limit) -> None:
        """Start these counters anew: what was counted is forgiven. One by one, in the order of `count`."""
        for key in self._names(limits):
            await db.exec(delete(ThrottleCounter).where(col(ThrottleCounter.key) == key))

    async def give_back(self, db: AsyncSession, *limits: Limit) -> None:
        """Take one try back from these counters: it turned out not to be one."""
        statement = update(ThrottleCounter).where(
            col(ThrottleCounter.key).in_(self._names(limits)), col(ThrottleCounter.count) > 0
        )
        await db.exec(statement.values(count=col(ThrottleCounter.count) - 1))

    def _names(self, limits: Sequence[Limit]) -> list[str]:
        return sorted(self._name(limit) for limit in limits)

    def _name(self, limit: Limit) -> str:
        hashed = hmac.new(self._key, f"{limit.kind}\0{limit.subject}".encode(), hashlib.sha256).hexdigest()
        return f"{limit.kind}:{hashed[:_HASH_CHARACTERS]}"


def source(ip: str | None) -> str:
    """The network a client counts as: its IPv4 address, or the /64 of its IPv6 address."""
    if ip is None:
        return "unknown"
    address = ip_address(ip)
    return ip if address.version == 4 else str(ip_network(f"{ip}/{_IPV6_PREFIX}", strict=False))  # noqa: PLR2004
