"""Resetting a forgotten password by mail.

Asking does the same work for every address: it queues a request, and whether there is an account is found out
at delivery. Confirming spends the token and ends every session and token of before, in one transaction.
"""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from sqlmodel.ext.asyncio.session import AsyncSession

from dashtam.core import audit, limits, one_time, users
from dashtam.core.mail import Letter, Waiting
from dashtam.core.problems import (
    PASSWORD_BLOCKED,
    PASSWORD_TOO_LONG,
    PASSWORD_TOO_SHORT,
    TOKEN_INVALID,
    TOO_MANY_REQUESTS,
)
from dashtam.core.service import Service
from dashtam.http import Client, Email, Form, Message, Now, Password, Services, TokenText, answers

REQUESTED = "If the address has an account, a mail with a link to reset its password is on its way."
RESET = "The password is changed. Every session is over; log in with the new password."

router = APIRouter(prefix="/password-resets", tags=["password reset"])


class ResetRequest(Form):
    """Whose password is forgotten."""

    email: Email


class ResetToken(Form):
    """The secret of a mailed link."""

    token: TokenText


class ResetConfirmation(Form):
    """The secret of a mailed link, and the password to be."""

    token: TokenText
    new_password: Password


class ResetValidity(BaseModel):
    """A reset token that can still be used."""

    model_config = ConfigDict(
        json_schema_serialization_defaults_required=True,
        json_schema_extra={"examples": [{"valid": True, "expires_at": "2026-11-22T21:00:00Z"}]},
    )

    valid: Literal[True] = True
    expires_at: datetime


async def request_reset(service: Service, email: str, client: audit.Client, now: datetime) -> None:
    """Queue a reset mail for whoever has this address."""
    await service.throttle.admit(service.database, now, limits.on_mail_from(service.settings, client))
    async with service.database.write() as db:
        if not await service.throttle.count(db, now, limits.on_mail_to(service.settings, email, "reset")):
            service.outbox.queue(db, "password-reset", email, now, token=one_time.new_token())
        audit.record(db, "reset-requested", client, now)


async def prepare_reset(service: Service, db: AsyncSession, mail: Waiting, now: datetime) -> Letter | None:
    """The reset mail, with its token made good in place of older ones, if the address has an account."""
    user = await users.lock(db, users.has_address(mail.to))
    if user is None or not user.is_active:
        return None
    token = mail.values["token"]
    expires_at = one_time.expiry(mail.created_at, service.settings.reset_token_seconds)
    issued = await one_time.supersede(
        db, user, "password-reset", token, asked_at=mail.created_at, expires_at=expires_at, now=now
    )
    return Letter("password-reset", user.email, {"token": token}) if issued else None


async def confirm(
    service: Service, token: str, new_password: str, client: audit.Client, now: datetime
) -> None:
    """Set a new password by a mailed token; proves the mailbox as well. Raises before anything is spent."""
    async with service.database.read() as db:
        found = await one_time.check(db, token, "password-reset", now)
        user = await users.get(db, found.user_id) if found else None
        registered = await one_time.registered_hashes(db, user.id, user.email_canonical, now) if user else []
    if user is None or not user.is_active:
        raise TOKEN_INVALID()
    await service.passwords.refuse_unfit(new_password, email=user.email_canonical, name=user.name)
    hashed = await service.passwords.hash(new_password, like=registered)
    async with service.database.write() as db:
        await _set_password(db, service, token, hashed, client, now)


async def _set_password(
    db: AsyncSession, service: Service, token: str, hashed: str, client: audit.Client, now: datetime
) -> None:
    redeemed = await one_time.redeem(db, token, "password-reset", now)
    if redeemed is None or redeemed[0].target != redeemed[1].email_canonical:
        raise TOKEN_INVALID()
    user = redeemed[1]
    user.password_hash = hashed
    user.email_verified_at = user.email_verified_at or now
    await users.change_credentials(db, user, client, now, why="password-reset")
    await limits.forgive_account(service.throttle, db, service.settings, user.email_canonical, client)
    service.outbox.queue(db, "password-changed", user.email, now)


@router.post("", status_code=202, responses=answers(TOO_MANY_REQUESTS))
async def post_password_reset(form: ResetRequest, service: Services, client: Client, now: Now) -> Message:
    """Ask for a reset mail. Always the same answer."""
    await request_reset(service, users.canonical(form.email), client, now)
    return Message(message=REQUESTED)


@router.post("/check", responses=answers(TOKEN_INVALID))
async def post_check(form: ResetToken, service: Services, now: Now) -> ResetValidity:
    """Whether a reset token can still be used. Spends nothing."""
    async with service.database.read() as db:
        found = await one_time.check(db, form.token, "password-reset", now)
    if found is None:
        raise TOKEN_INVALID()
    return ResetValidity(expires_at=found.expires_at)


@router.post(
    "/confirm", responses=answers(TOKEN_INVALID, PASSWORD_TOO_SHORT, PASSWORD_TOO_LONG, PASSWORD_BLOCKED)
)
async def post_confirm(form: ResetConfirmation, service: Services, client: Client, now: Now) -> Message:
    """Set a new password with a mailed token. Every session and token of before is dead."""
    await confirm(service, form.token, form.new_password.get_secret_value(), client, now)
    return Message(message=RESET)
