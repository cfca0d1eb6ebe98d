"""Registering an address, and proving that its mailbox is one's own.

A stranger cannot tell a new address from a known one: both are answered alike after the same hash and the
same statements. A registration waits in its one-time token (see `OneTimeToken`): password and name become the
account's only when the link of that very registration is followed.
"""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from sqlmodel.ext.asyncio.session import AsyncSession

from dashtam.core import audit, limits, one_time, users
from dashtam.core.mail import Letter, Waiting
from dashtam.core.one_time import Pending
from dashtam.core.problems import (
    PASSWORD_BLOCKED,
    PASSWORD_TOO_LONG,
    PASSWORD_TOO_SHORT,
    TOKEN_INVALID,
    TOO_MANY_REQUESTS,
)
from dashtam.core.service import Service
from dashtam.http import Client, Db, Email, Form, Message, Name, Now, Password, Services, TokenText, answers

REGISTERED = "If the address can be registered, a mail with a link to verify it is on its way."
VERIFIED = "The address is verified. You can log in now."
RESENT = "If the address waits to be verified, a new mail is on its way."

router = APIRouter(prefix="/auth", tags=["registration"])


class Registration(Form):
    """An account to be."""

    email: Email
    password: Password
    name: Name


class Verification(Form):
    """The secret of a mailed link."""

    token: TokenText


class Address(Form):
    """An address to send mail to."""

    email: Email


async def register(service: Service, form: Registration, client: audit.Client, now: datetime) -> None:
    """Take in a registration, and mail the address: a link to verify it, or a notice that it has an account."""
    email, password = users.canonical(form.email), form.password.get_secret_value()
    await service.throttle.admit(service.database, now, limits.on_registration(service.settings, client))
    await service.passwords.refuse_unfit(password, email=email, name=form.name)
    async with service.database.read() as db:
        known = await users.find(db, email)
        waiting = await one_time.pending_of(db, known.id if known else UUID(int=0), now)
    hashes = (known.password_hash if known else None, *(pending.password_hash for pending in waiting))
    hashed = await service.passwords.hash(password, like=hashes)
    async with service.database.write() as db:
        await users.add(db, email=form.email, name=form.name, password_hash=hashed, now=now)
        await _await_mailbox(db, service, email, Pending(hashed, form.name), client, now)


async def _await_mailbox(
    db: AsyncSession, service: Service, email: str, pending: Pending, client: audit.Client, now: datetime
) -> None:
    user = await users.lock(db, users.has_address(email))  # so that it is not verified between look and link
    assert user is not None  # noqa: S101  the caller inserted it, or found it there, in this transaction
    token = one_time.new_token()
    expires_at = one_time.expiry(now, service.settings.verify_token_seconds)
    one_time.issue(
        db, user.id, "verify-email", token, target=email, expires_at=expires_at, now=now, pending=pending
    )
    waits = user.email_verified_at is None and user.is_active
    too_many = await service.throttle.count(db, now, limits.on_mail_to(service.settings, email, "register"))
    if not too_many:
        template = "verify-email" if waits else "already-registered"
        service.outbox.queue(db, template, user.email, now, **({"token": token} if waits else {}))
    audit.record(db, "registered" if waits else "registered-again", client, now, user_id=user.id)


async def verify(db: AsyncSession, token: str, client: audit.Client, now: datetime) -> None:
    """Redeem a verification link: the mailbox is proven, and the registration that mailed it is the account's."""
    redeemed = await one_time.redeem(db, token, "verify-email", now)
    if redeemed is None or redeemed[0].target != redeemed[1].email_canonical:
        raise TOKEN_INVALID()
    registration, user = redeemed
    if user.email_verified_at is not None:  # a registration that raced with the proof: it comes to nothing
        raise TOKEN_INVALID()
    if registration.password_hash is not None and registration.name is not None:
        user.password_hash, user.name = registration.password_hash, registration.name
        await one_time.adopt(db, user.id, registration.password_hash)
    user.email_verified_at = now
    await users.change_credentials(db, user, client, now, why="email-verified")


async def resend(service: Service, email: str, client: audit.Client, now: datetime) -> None:
    """Ask for another verification mail. Whether one is due is found out at delivery, so that nobody can tell."""
    await service.throttle.admit(service.database, now, limits.on_mail_from(service.settings, client))
    async with service.database.write() as db:
        if not await service.throttle.count(db, now, limits.on_mail_to(service.settings, email, "resend")):
            service.outbox.queue(db, "resend-verification", email, now, token=one_time.new_token())
        audit.record(db, "verification-requested", client, now)


async def prepare_resend(service: Service, db: AsyncSession, mail: Waiting, now: datetime) -> Letter | None:
    """What to send to one who asked for another verification mail, if anything.

    One pending registration gets a new link in place of the old. Where several people have registered the
    address, no link may decide whose password counts: its owner is asked to choose one.
    """
    user = await users.lock(db, users.has_address(mail.to))
    if user is None or not user.is_active or user.email_verified_at is not None:
        return None
    pending = await one_time.pending_of(db, user.id, now)
    contested = len({registration.password_hash for registration in pending} | {user.password_hash}) > 1
    lives = service.settings.reset_token_seconds if contested else service.settings.verify_token_seconds
    issued = await one_time.supersede(
        db,
        user,
        "password-reset" if contested else "verify-email",
        mail.values["token"],
        asked_at=mail.created_at,
        expires_at=one_time.expiry(mail.created_at, lives),
        now=now,
        pending=None if contested else Pending(user.password_hash, user.name),
    )
    template = "choose-password" if contested else "verify-email"
    return Letter(template, user.email, mail.values) if issued else None


@router.post(
    "/register",
    status_code=201,
    responses=answers(PASSWORD_TOO_SHORT, PASSWORD_TOO_LONG, PASSWORD_BLOCKED, TOO_MANY_REQUESTS),
)
async def post_register(form: Registration, service: Services, client: Client, now: Now) -> Message:
    """Register an address. The answer is the same for a known one, whose owner gets a notice."""
    await register(service, form, client, now)
    return Message(message=REGISTERED)


@router.post("/verify-email", responses=answers(TOKEN_INVALID))
async def post_verify_email(form: Verification, db: Db, client: Client, now: Now) -> Message:
    """Verify an address with the token that was mailed to it."""
    await verify(db, form.token, client, now)
    return Message(message=VERIFIED)


@router.post("/resend-verification", status_code=202, responses=answers(TOO_MANY_REQUESTS))
async def post_resend_verification(form: Address, service: Services, client: Client, now: Now) -> Message:
    """Ask for another verification mail. Always the same answer."""
    await resend(service, users.canonical(form.email), client, now)
    return Message(message=RESENT)
