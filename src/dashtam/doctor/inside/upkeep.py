"""Upkeep: whether a running service clears away what is over."""

from datetime import timedelta

from sqlmodel import col, func, select

from dashtam.core.tables import ThrottleCounter
from dashtam.core.upkeep import PURGED
from dashtam.doctor.check import Answer, Check, ok, warning
from dashtam.doctor.local import Local

_OVER_FOR = timedelta(days=1)
"""Far longer than a sound service leaves them."""

MANY = 1_000
"""Few are left by any machine that was switched off for a night."""


async def _purged(local: Local) -> Answer:
    old = local.clock.now() - _OVER_FOR
    some = select(ThrottleCounter.key).where(col(ThrottleCounter.ends_at) < old).limit(MANY + 1).subquery()
    async with local.service.database.read() as db:
        over = await db.scalar(select(func.count()).select_from(some)) or 0
    if over <= MANY:
        return ok(f"{over} throttle counters have been over for a day or more")
    return warning(
        f"more than {MANY} throttle counters have been over for a day or more, and nothing clears them away",
        f"A running service does it every {PURGED // timedelta(minutes=1)} minutes: see that one runs, and search "
        "its log for: could not purge",
    )


CHECKS = (Check("upkeep.purged", "What is over is cleared away", _purged, ("schema.truth",)),)
