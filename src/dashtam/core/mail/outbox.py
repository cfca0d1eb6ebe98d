"""The outbox: mail is a row in the transaction that causes it, so a rolled-back one is never sent.

Life of a row: queued (`next_attempt_at` is when it is due), then claimed, by pushing `next_attempt_at` past a
lease, then sent, put off, or given up. The lease is what makes several workers share the work and a crashed
one lose nothing: what was claimed and never settled is due again when the lease has run out, under the same
Message-ID. What a mail says is sealed to its row, and wiped as soon as the row is settled.

Some rows are requests from strangers ("a reset mail for this address, if it has an account"): what to send,
if anything, is found out at delivery, once, in a transaction that also turns the row into that mail.
"""

import asyncio
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Final
from uuid import UUID

from sqlalchemy import CTE, delete, func, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from dashtam.core.db import after_commit
from dashtam.core.ids import new_id
from dashtam.core.mail.messages import Composer, Letter, check
from dashtam.core.mail.transports import Delivered, delivered
from dashtam.core.sealing import SecretKey
from dashtam.core.tables import OutboxMail
from dashtam.settings import Settings

LEASE: Final = timedelta(minutes=2)
SMOKE_KEPT: Final = timedelta(minutes=10)
_SEALED_FOR = "mail-payload"
_MOST_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Waiting:
    """A queued mail, opened. Once `prepared` there is nothing left to find out about it."""

    to: str
    template: str
    values: dict[str, str]
    created_at: datetime
    prepared: bool


@dataclass(frozen=True, slots=True)
class Backlog:
    """How the outbox stands: mails that wait, since when the oldest does, and how many were given up."""

    waiting: int
    oldest: datetime | None
    given_up: int


class Outbox:
    """The one door to `mail_outbox`: what features queue, and the statements that delivery lives by."""

    def __init__(self, secret: SecretKey, settings: Settings) -> None:
        self._secret = secret
        self._composer = Composer(settings)
        self._smoke_domain = (
            settings.smoke_domain.lower() if settings.smoke_token.get_secret_value() else None
        )
        self.woken = asyncio.Event()

    def queue(self, db: AsyncSession, template: str, to: str, now: datetime, **values: str) -> None:
        """Queue a mail in this transaction; delivery is woken once it is committed.

        Raises BadRecipientError for what is not one plain address, and ValueError for values that are not
        the template's.
        """
        letter = Letter(template, to, values)
        check(letter)
        id_ = new_id()
        db.add(
            OutboxMail(
                id=id_,
                to=to,
                template=template,
                payload=self._seal(id_, letter, prepared=False),
                message_id=f"<{id_}@{self._composer.host}>",
                created_at=now,
                next_attempt_at=now,
            )
        )
        if self.woken.set not in after_commit(db):
            after_commit(db).append(self.woken.set)

    def open(self, mail: OutboxMail) -> Waiting:
        """What a row says. Raises CannotOpenError when it was sealed with another key, or is wiped."""
        payload = json.loads(self._secret.open(_SEALED_FOR, mail.payload or b"", str(mail.id)))
        return Waiting(mail.to, mail.template, payload["values"], mail.created_at, payload["prepared"])

    def message(self, mail: OutboxMail, letter: Letter) -> EmailMessage:
        """The message of a row, the same at every attempt."""
        return self._composer.compose(letter, message_id=mail.message_id, date=mail.created_at)

    def stays_here(self, to: str) -> bool:
        """Whether this is an address of a production journey, whose mail never leaves."""
        return self._smoke_domain is not None and to.lower().rpartition("@")[2] == self._smoke_domain

    async def smoke_mail(self, db: AsyncSession, to: str) -> Sequence[Delivered]:
        """The journey's mail to this address while it is kept, newest first."""
        if not self.stays_here(to):
            return []
        statement = (
            select(OutboxMail)
            .where(col(OutboxMail.to).in_({to, to.lower()}))
            .where(col(OutboxMail.sent_at).is_not(None), col(OutboxMail.payload).is_not(None))
            .order_by(col(OutboxMail.created_at).desc(), col(OutboxMail.id).desc())
            .limit(_MOST_SHOWN)
        )
        return [self._shown(mail) for mail in await db.exec(statement)]

    def _shown(self, mail: OutboxMail) -> Delivered:
        said = self.open(mail)
        return delivered(str(mail.id), self.message(mail, Letter(said.template, said.to, said.values)))

    async def resolve(self, db: AsyncSession, mail: OutboxMail, letter: Letter | None) -> bool:
        """Turn a request into the mail it asks for, or nothing; False when another worker has it by now."""
        mine = (col(OutboxMail.id) == mail.id, col(OutboxMail.attempts) == mail.attempts)
        if letter is None:
            return bool((await db.exec(delete(OutboxMail).where(*mine))).rowcount)
        check(letter)
        sealed = self._seal(mail.id, letter, prepared=True)
        statement = (
            update(OutboxMail).where(*mine).values(to=letter.to, template=letter.template, payload=sealed)
        )
        return bool((await db.exec(statement)).rowcount)

    def _seal(self, id_: UUID, letter: Letter, *, prepared: bool) -> bytes:
        payload = {"values": dict(letter.values), "prepared": prepared}
        return self._secret.seal(_SEALED_FOR, json.dumps(payload).encode(), str(id_))


async def anything_due(db: AsyncSession, now: datetime) -> bool:
    """Whether a claim would find something: asked first, so that an idle worker takes no write lock."""
    statement = select(OutboxMail.id).where(col(OutboxMail.next_attempt_at) <= now).limit(1)
    return (await db.exec(statement)).first() is not None


async def claim(
    db: AsyncSession, now: datetime, limit: int, *, fresh: bool, but: Collection[UUID] = ()
) -> list[OutboxMail]:
    """Take up to `limit` due rows, first tries (`fresh`) or repeated ones, that no other worker has.

    One statement leases them: on PostgreSQL rows that another worker is claiming are skipped, on SQLite
    there is one writer at a time.
    """
    due = _due(now, limit, fresh=fresh, but=but)
    leased = (
        update(OutboxMail)
        .where(col(OutboxMail.id).in_(select(due.c.id)))
        .values(next_attempt_at=now + LEASE, attempts=OutboxMail.attempts + 1)
        .returning(OutboxMail)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    return list((await db.exec(leased)).scalars().all())


def _due(now: datetime, limit: int, *, fresh: bool, but: Collection[UUID]) -> CTE:
    tries = col(OutboxMail.attempts)
    wanted = select(OutboxMail.id).where(
        col(OutboxMail.next_attempt_at) <= now, tries == 0 if fresh else tries > 0
    )
    if but:
        wanted = wanted.where(col(OutboxMail.id).not_in(but))
    ordered = wanted.order_by(col(OutboxMail.next_attempt_at)).limit(limit)
    return ordered.with_for_update(skip_locked=True).cte("due")


async def mark_sent(db: AsyncSession, mail: OutboxMail, now: datetime, keep: timedelta | None) -> None:
    """It is out, whoever holds the lease by now. With `keep`, what it said is wiped only that much later."""
    if keep is None:
        await _settle(db, mail, sent_at=now, next_attempt_at=None, payload=None, last_error=None)
    else:
        await _settle(db, mail, sent_at=now, next_attempt_at=now + keep, last_error=None)


async def wipe(db: AsyncSession, mail: OutboxMail) -> None:
    """Forget what a kept mail said."""
    await _settle(db, mail, next_attempt_at=None, payload=None)


async def put_off(db: AsyncSession, mail: OutboxMail, until: datetime, reason: str) -> None:
    """It was not taken: due again at `until`, unless another worker has claimed it since."""
    await _settle(db, mail, own=True, next_attempt_at=until, last_error=reason)


async def give_up(db: AsyncSession, mail: OutboxMail, reason: str) -> None:
    """It will not be sent: the reason stays, what it said goes."""
    await _settle(db, mail, own=True, next_attempt_at=None, payload=None, last_error=reason)


async def _settle(db: AsyncSession, mail: OutboxMail, *, own: bool = False, **changes: object) -> None:
    statement = update(OutboxMail).where(col(OutboxMail.id) == mail.id)
    if own:
        statement = statement.where(
            col(OutboxMail.attempts) == mail.attempts, col(OutboxMail.sent_at).is_(None)
        )
    await db.exec(statement.values(**changes).execution_options(synchronize_session=False))


async def backlog(db: AsyncSession) -> Backlog:
    """How the outbox stands, for those who watch it."""
    waits = col(OutboxMail.next_attempt_at).is_not(None)
    statement = (
        select(
            func.count().filter(waits),
            func.min(col(OutboxMail.created_at)).filter(waits),
            func.count().filter(~waits),
        )
        .select_from(OutboxMail)
        .where(col(OutboxMail.sent_at).is_(None))
    )
    return Backlog(*(await db.exec(statement)).one())
