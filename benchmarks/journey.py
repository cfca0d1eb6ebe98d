"""The 18 steps in process, at full hash cost, against the hashes alone."""

import asyncio
import time
from collections.abc import Sequence
from statistics import median

import httpx2

from benchmarks.databases import Place
from benchmarks.figure import Figure, Target, ratios
from dashtam.app import create_app
from dashtam.core.mail import MemoryTransport
from dashtam.core.passwords import HashCost
from dashtam.journey import Mail, play

_PLAYS_A_SECOND = 1.5
_NEXT_TO_NOTHING = HashCost(memory_kib=8, time_cost=1)


class _Mailbox:
    """Reads what the application's transport took."""

    def __init__(self) -> None:
        self.transport = MemoryTransport()

    async def messages(self, to: str) -> Sequence[Mail]:
        delivered = await self.transport.delivered(to)
        return [
            Mail(mail.id, mail.to, mail.subject, mail.text, mail.html, mail.sent_at.isoformat())
            for mail in delivered
        ]


def journey(place: Place, seconds: float) -> list[Figure]:
    """Wall time of the journey; what it takes longer than with next to no hash cost is what hashes take."""
    whole, rest = [], []
    for _ in range(max(1, round(seconds * _PLAYS_A_SECOND))):
        whole.append(asyncio.run(_played(place, None)))
        rest.append(asyncio.run(_played(place, _NEXT_TO_NOTHING)))
    hashes = [max(full - cheap, 1e-9) for full, cheap in zip(whole, rest, strict=True)]
    ratio, spread = ratios(whole, hashes)
    share = median(hashes) / median(whole)
    how = f"median of {len(whole)}; hashes are {share:.0%}, all else {median(rest):.2g} s"
    target = Target("s", median(whole), 0.6)
    row = ("journey", place.database, "18 steps and clean-up", "s", median(whole), median(hashes))
    return [Figure(*row, "its hashes", ratio, spread, how, target)]


async def _played(place: Place, cost: HashCost | None) -> float:
    mailbox = _Mailbox()
    app = create_app(place.settings, transport=mailbox.transport, hash_cost=cost)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=app), base_url=place.settings.public_url
        ) as client,
    ):
        started = time.perf_counter()
        result = await play(client, mailbox)
        taken = time.perf_counter() - started
    assert result.passed, result.explain()
    return taken
