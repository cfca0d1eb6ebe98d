"""Delivery: takes what is due from the outbox to the transport, several at a time, at least once.

A first try never waits for repeated ones, which may fill half of the slots and no more: so one bad address,
or a hundred, never stalls the others. What fails is put off, longer each time; what the server refuses for
good, and what still fails after a day, is given up.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from traceback import extract_tb
from typing import Literal
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from dashtam import templates
from dashtam.core.clock import Clock
from dashtam.core.db import Database
from dashtam.core.mail import outbox as rows
from dashtam.core.mail.messages import Letter
from dashtam.core.mail.outbox import SMOKE_KEPT, Outbox, Waiting
from dashtam.core.mail.transports import MailDeferredError, MailRefusedError, Transport
from dashtam.core.sealing import CannotOpenError
from dashtam.core.tables import OutboxMail

_log = logging.getLogger(__name__)

_SLOTS = 16
_RETRY_SLOTS = _SLOTS // 2
SEND_SECONDS = 30.0  # well under the lease, which allows for clocks that differ between nodes
_POLL_SECONDS = 1.0
_FINISH_SECONDS = 5.0
_SETTLE_PAUSES = (0.2, 1.0, 5.0)
_FIRST_PAUSE = timedelta(seconds=5)
_LONGEST_PAUSE = timedelta(hours=1)
_GIVEN_UP_AFTER = timedelta(hours=24)

Outcome = Literal["sent", "put_off", "given_up", "nothing", "unsettled"]
Settlement = Callable[[AsyncSession], Awaitable[None]]
Prepare = Callable[[AsyncSession, Waiting, datetime], Awaitable[Letter | None]]
"""Finds out which mail a request becomes, if any, and writes what that takes, all in one transaction."""


class _LostError(Exception):
    """Another worker has the mail by now."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the mails that were due."""

    sent: int = 0
    put_off: int = 0
    given_up: int = 0


class Delivery:
    """One worker. Any number of them, in any number of processes, share an outbox."""

    def __init__(
        self,
        database: Database,
        outbox: Outbox,
        transport: Transport,
        clock: Clock,
        *,
        prepare: Mapping[str, Prepare],
        send_seconds: float = SEND_SECONDS,
    ) -> None:
        self._database = database
        self._outbox = outbox
        self._transport = transport
        self._clock = clock
        self._prepare = prepare
        self._send_seconds = send_seconds
        self._sending: dict[UUID, tuple[asyncio.Task[Outcome], bool]] = {}
        self._is_failing = False

    async def run(self) -> None:
        """Deliver until cancelled: at once after a commit in this process, else within about a second."""
        await asyncio.to_thread(templates.warm)
        try:
            while True:
                self._outbox.woken.clear()
                await self._start_due_or_wait()
                # Not wait_for: up to Python 3.11 it drops a cancellation that meets the event being set.
                with suppress(TimeoutError):
                    async with asyncio.timeout(_POLL_SECONDS):
                        await self._outbox.woken.wait()
        finally:
            await self._finish()

    async def deliver_due(self) -> Counts:
        """Deliver what is due now, and what becomes due meanwhile. Raises what the database raises."""
        tally: Counter[Outcome] = Counter()
        pending = set(await self._start_due())
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            tally.update(task.result() for task in done)
            pending.update(await self._start_due())
        return Counts(tally["sent"], tally["put_off"], tally["given_up"])

    async def _start_due_or_wait(self) -> None:
        """A database that is away, or not migrated yet, is no end: say so once and look again."""
        try:
            await self._start_due()
        except Exception as error:  # noqa: BLE001  the worker outlives whatever happens
            if not self._is_failing:
                _log.warning("mail delivery cannot read the outbox and keeps trying: %s", _place(error))
            self._is_failing = True
        else:
            if self._is_failing:
                _log.info("mail delivery reads the outbox again")
            self._is_failing = False

    async def _start_due(self) -> list[asyncio.Task[Outcome]]:
        now = self._clock.now()
        async with self._database.read() as db:
            if not await rows.anything_due(db, now):
                return []
        return [self._start(mail, fresh=fresh) for mail, fresh in await self._claim(now)]

    def _start(self, mail: OutboxMail, *, fresh: bool) -> asyncio.Task[Outcome]:
        task = asyncio.create_task(self._deliver(mail))
        self._sending[mail.id] = (task, fresh)
        task.add_done_callback(partial(self._free, mail.id))
        return task

    async def _claim(self, now: datetime) -> list[tuple[OutboxMail, bool]]:
        free = _SLOTS - len(self._sending)
        retries = sum(not fresh for _, fresh in self._sending.values())
        if free == 0:
            return []
        async with self._database.write() as db:
            taken = await rows.claim(db, now, free, fresh=True, but=self._sending)
            left = min(free - len(taken), _RETRY_SLOTS - retries)
            again = await rows.claim(db, now, left, fresh=False, but=self._sending) if left > 0 else []
        return [(mail, True) for mail in taken] + [(mail, False) for mail in again]

    def _free(self, id_: UUID, _: object) -> None:
        """A slot is free: if all of a kind were taken, more may be due."""
        was_full = len(self._sending) >= _RETRY_SLOTS
        self._sending.pop(id_, None)
        if was_full:
            self._outbox.woken.set()

    async def _deliver(self, mail: OutboxMail) -> Outcome:
        """Try one mail and settle its row. Never raises but when cancelled."""
        outcome, settlement = await self._try(mail)
        for pause in (*_SETTLE_PAUSES, None):
            try:
                async with self._database.write() as db:
                    await settlement(db)
            except Exception as error:  # noqa: BLE001  what is not settled is due again when its lease is over
                if pause is None:
                    _log.warning(
                        "mail %s was tried and is not settled (%s); it will be tried again",
                        mail.id,
                        _place(error),
                    )
                    break
                await asyncio.sleep(pause)
            else:
                return outcome
        return "unsettled"

    async def _try(self, mail: OutboxMail) -> tuple[Outcome, Settlement]:
        if mail.sent_at is not None:
            return "nothing", lambda db: rows.wipe(db, mail)
        try:
            letter = await self._letter(mail)
            if letter is None:
                return "nothing", _nothing_more
            await self._send(mail, letter)
        except MailRefusedError as error:
            return self._given_up(mail, str(error))
        except CannotOpenError:
            return self._given_up(mail, "it was queued under another SECRET_KEY and cannot be read")
        except Exception as error:  # noqa: BLE001  one bad row must not end the worker
            return self._failed(mail, self._reason(error))
        keep = SMOKE_KEPT if self._outbox.stays_here(letter.to) else None
        return "sent", lambda db: rows.mark_sent(db, mail, self._clock.now(), keep)

    async def _letter(self, mail: OutboxMail) -> Letter | None:
        """What to send. A request is resolved here, once: its row says so before anything is sent."""
        said = self._outbox.open(mail)
        prepare = self._prepare.get(said.template)
        if said.prepared or prepare is None:
            return Letter(said.template, said.to, said.values)
        async with self._database.write() as db:
            letter = await prepare(db, said, self._clock.now())
            if not await self._outbox.resolve(db, mail, letter):
                raise _LostError
        return letter

    async def _send(self, mail: OutboxMail, letter: Letter) -> None:
        message = self._outbox.message(mail, letter)
        if self._outbox.stays_here(letter.to):
            return
        async with asyncio.timeout(self._send_seconds):
            await self._transport.send(message)

    def _reason(self, error: Exception) -> str:
        if isinstance(error, MailDeferredError):
            return str(error)
        return (
            f"not done within {self._send_seconds:g} s" if isinstance(error, TimeoutError) else _place(error)
        )

    def _failed(self, mail: OutboxMail, reason: str) -> tuple[Outcome, Settlement]:
        now = self._clock.now()
        if now - mail.created_at >= _GIVEN_UP_AFTER:
            return self._given_up(mail, reason)
        until = now + pause_after(mail.attempts)
        _log.info("mail %s put off after attempt %d: %s", mail.id, mail.attempts, reason)
        return "put_off", lambda db: rows.put_off(db, mail, until, reason)

    def _given_up(self, mail: OutboxMail, reason: str) -> tuple[Outcome, Settlement]:
        _log.warning("mail %s given up after attempt %d: %s", mail.id, mail.attempts, reason)
        return "given_up", lambda db: rows.give_up(db, mail, reason)

    async def _finish(self) -> None:
        """Let what is on its way arrive, for a moment: what is cut off would be sent a second time."""
        tasks = [task for task, _ in self._sending.values()]
        if not tasks:
            return
        await asyncio.wait(tasks, timeout=_FINISH_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _nothing_more(_: AsyncSession) -> None:
    """The row is settled already."""


def pause_after(attempts: int) -> timedelta:
    """How long a mail rests after so many attempts: from 5 s doubling to an hour, up to half less."""
    longest: timedelta = min(_FIRST_PAUSE * float(2 ** min(attempts - 1, 20)), _LONGEST_PAUSE)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  spreads retries, keeps no secret


def _place(error: Exception) -> str:
    """What happened and where, without the error's own text, which may quote the mail."""
    frames = extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"
