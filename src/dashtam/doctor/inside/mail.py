"""Mail: that it can leave, that its sender is somebody, and that none of it is left lying about."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path

from sqlalchemy import func
from sqlmodel import col, select

from dashtam.core.mail import MailDeferredError, MailRefusedError, smtp_transport
from dashtam.core.sealing import CannotOpenError
from dashtam.core.tables import OutboxMail
from dashtam.doctor.check import Answer, Check, failure, ok, warning
from dashtam.doctor.inside.places import first_existing
from dashtam.doctor.inside.reserved import is_reserved
from dashtam.doctor.local import Local
from dashtam.settings import parse_sender

_TRY_SECONDS = 1.5
_UNTOUCHED = timedelta(minutes=1)  # a worker looks every second
_LONG = timedelta(minutes=30)  # what puts new senders off for a while is over by then
_LATELY = timedelta(days=3)
_SOME, _SHARE = 5, 0.1
_OPENED = 20

_WAITING = (col(OutboxMail.sent_at).is_(None), col(OutboxMail.next_attempt_at).is_not(None))
_GIVEN_UP = (col(OutboxMail.sent_at).is_(None), col(OutboxMail.next_attempt_at).is_(None))


async def _server(local: Local) -> Answer:
    try:
        return ok(await smtp_transport(local.settings).try_out(_TRY_SECONDS))
    except (MailDeferredError, MailRefusedError) as error:
        return failure(
            str(error),
            "See SMTP_URL (host, port, user, password; smtp:// for STARTTLS, smtps:// for TLS from the start) and "
            "the way there. An authority of one's own is named by SSL_CERT_FILE.",
        )


async def _sender(local: Local) -> Answer:
    sender = parse_sender(local.settings.mail_from)
    if not is_reserved(sender.domain):
        return ok(f"mail is from {sender.addr_spec}")
    return failure(
        f"mail is from {sender.addr_spec}, a domain that nobody can have",
        "Set MAIL_FROM to an address of a domain that your mail server may send for: others refuse this one.",
    )


async def _folder(local: Local) -> Answer:
    return await asyncio.to_thread(_look_at, local.settings.mailbox_dir)


def _look_at(folder: Path) -> Answer:
    wanted = [folder / part for part in ("tmp", "new", "cur")]
    for path in (folder, *wanted):
        there = first_existing(path)
        if not there.is_dir() or not os.access(there, os.R_OK | os.W_OK | os.X_OK):
            return failure(
                f"{there} cannot be written into",
                "Make it a folder that belongs to the user of the service, or set another VAR_DIR.",
            )
    kept = sum(len(list(path.iterdir())) for path in wanted if path.exists())
    return ok(f"{folder} holds {kept} mails and takes more")


async def _taken_up(local: Local) -> Answer:
    now = local.clock.now()
    due = select(func.count(), func.min(col(OutboxMail.next_attempt_at))).where(
        *_WAITING, col(OutboxMail.next_attempt_at) <= now - _UNTOUCHED
    )
    async with local.service.database.read() as db:
        count, since = (await db.exec(due)).one()
    if not count or since is None:
        return ok("no mail is due that nobody takes up")
    return failure(
        f"{_mails(count)} due for {_age(now - since)}, and nobody delivers",
        "Start the server, which delivers, or `dashtam mail deliver --watch`; if one runs, its log says what stops it.",
    )


async def _arrives(local: Local) -> Answer:
    now = local.clock.now()
    stuck = select(func.count(), func.min(col(OutboxMail.created_at)), func.max(OutboxMail.attempts)).where(
        *_WAITING, col(OutboxMail.last_error).is_not(None), col(OutboxMail.created_at) <= now - _LONG
    )
    async with local.service.database.read() as db:
        count, oldest, attempts = (await db.exec(stuck)).one()
    if not count or oldest is None:
        return ok("no mail has been tried in vain for long")
    return warning(
        f"{_mails(count)} tried in vain, the oldest for {_age(now - oldest)}, up to {attempts} times",
        "`dashtam mail list` says why. Once that is mended, `dashtam mail retry` makes them due now.",
    )


async def _given_up(local: Local) -> Answer:
    recent = col(OutboxMail.created_at) > local.clock.now() - _LATELY
    counted = select(func.count().filter(*_GIVEN_UP), func.count()).select_from(OutboxMail).where(recent)
    async with local.service.database.read() as db:
        given_up, every = (await db.exec(counted)).one()
    evidence = f"{given_up} of the last {_LATELY.days} days' {every} mails were given up"
    if given_up < _SOME or given_up < every * _SHARE:
        return ok(evidence)
    return warning(
        evidence,
        "`dashtam mail list` says why. Single ones are wrong addresses; this many mean that the mail server "
        "refuses you: look at MAIL_FROM, and at your domain's SPF and DKIM records.",
    )


async def _readable(local: Local) -> Answer:
    oldest = select(OutboxMail).where(*_WAITING).order_by(col(OutboxMail.created_at)).limit(_OPENED)
    async with local.service.database.read() as db:
        waiting = (await db.exec(oldest)).all()
    sealed = [mail for mail in waiting if not _opens(local, mail)]
    if not sealed:
        return ok(f"{len(waiting)} waiting mails looked at, all readable" if waiting else "no mail waits")
    return failure(
        f"{len(sealed)} of {len(waiting)} waiting mails were written under another SECRET_KEY",
        "Set SECRET_KEY to the one that the server has. If that is lost, they are lost: they are given up when "
        "they are due, and people have to ask again.",
    )


def _opens(local: Local, mail: OutboxMail) -> bool:
    try:
        local.service.outbox.open(mail)
    except CannotOpenError:
        return False
    return True


def _mails(count: int) -> str:
    return "1 mail is" if count == 1 else f"{count} mails are"


def _age(age: timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"  # noqa: PLR2004  two hours


def _leaves(local: Local) -> bool:
    return local.parts is not None and local.settings.mail_transport == "smtp"


def _stays(local: Local) -> bool:
    return local.parts is not None and local.settings.mail_transport == "mailbox"


_VALID, _TABLES = ("settings.valid",), ("schema.truth",)
CHECKS = (
    Check("mail.server", "The mail server takes mail from us", _server, _VALID, _leaves),
    Check("mail.sender", "The sender of mail is somebody", _sender, _VALID, _leaves),
    Check("mail.folder", "The development mailbox takes mail", _folder, _VALID, _stays),
    Check("mail.taken_up", "Somebody delivers", _taken_up, _TABLES),
    Check("mail.arrives", "What is tried arrives", _arrives, _TABLES),
    Check("mail.given_up", "Hardly any mail is given up", _given_up, _TABLES),
    Check("mail.readable", "Waiting mail can be read", _readable, _TABLES),
)
