"""Clocks: whether this machine's agrees with the database's, and with what other nodes have written."""

from datetime import datetime, timedelta

from sqlmodel import col, select

from dashtam.core.keys import LEEWAY_SECONDS
from dashtam.core.tables import AuditEvent
from dashtam.doctor.check import Answer, Check, failure, ok, warning
from dashtam.doctor.inside import postgresql
from dashtam.doctor.local import Local

NOTICEABLE = timedelta(seconds=2)
LEEWAY = timedelta(seconds=LEEWAY_SECONDS)
_REMEDY = (
    "Let every machine set its clock by NTP: timedatectl set-ntp true, or chronyc tracking to see why not."
)


async def _database(local: Local) -> Answer:
    server = await local.once(postgresql.server)
    skew = max(server.asked - server.now, server.now - server.answered, timedelta())
    if skew < NOTICEABLE:
        return ok(f"the server's clock is within {skew.total_seconds():.1f} s of this machine's")
    way = "behind" if server.now < server.asked else "ahead of"
    return _judged(skew, f"the server's clock is {_seconds(skew)} {way} this machine's")


async def _rows(local: Local) -> Answer:
    async with local.service.database.read() as db:
        newest: datetime | None = await db.scalar(  # ids are in the order of time (UUIDv7)
            select(AuditEvent.at).order_by(col(AuditEvent.id).desc()).limit(1)
        )
    if newest is None:
        return ok("nothing is written down yet")
    skew = newest - local.clock.now()
    if skew < NOTICEABLE:
        return ok(f"the newest audit event is of {newest:%Y-%m-%d %H:%M:%S} UTC")
    return _judged(skew, f"the newest audit event is dated {_seconds(skew)} ahead of this machine's clock")


def _judged(skew: timedelta, seen: str) -> Answer:
    if skew <= LEEWAY:
        return warning(seen, _REMEDY)
    return failure(
        f"{seen}; beyond {LEEWAY_SECONDS} s nodes refuse each other's tokens, and what is over lives on",
        _REMEDY,
    )


def _seconds(skew: timedelta) -> str:
    return f"{skew.total_seconds():.0f} s"


CHECKS = (
    Check(
        "clocks.database",
        "The database's clock agrees with ours",
        _database,
        ("database.answers",),
        postgresql.here,
    ),
    Check("clocks.rows", "Nothing is dated ahead of our clock", _rows, ("schema.truth",)),
)
