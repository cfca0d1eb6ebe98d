"""Changing the address: asked for with the password, confirmed from the new mailbox, told to the old one."""

from datetime import datetime

from fastapi import APIRouter
from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from dashtam.core import audit, limits, one_time, users
from dashtam.core.problems import (
    EMAIL_TAKEN,
    SESSION_INVALID,
    TOKEN_INVALID,
    TOO_MANY_REQUESTS,
    WRONG_PASSWORD,
)
from dashtam.core.reauthentication import confirm_password
from dashtam.core.service import Service
from dashtam.core.sessions import Current
from dashtam.http import (
    Client,
    CurrentSession,
    Db,
    Email,
    Form,
    Message,
    Now,
    Password,
    Services,
    TokenText,
    answers,
)

REQUESTED = "If the address can be used, a mail with a link to confirm it is on its way. Until then the old one counts."
CONFIRMED = "The address is changed. Log in with the new one from now on."

router = APIRouter(prefix="/auth", tags=["account"])


class EmailChange(Form):
    """The address to be, and the password."""

    new_email: Email
    password: Password


class EmailConfirmation(Form):
    """The secret of a mailed link."""

    token: TokenText


async def request_change(
    service: Service, current: Current, form: EmailChange, client: audit.Client, now: datetime
) -> None:
    """Mail the new address a link to confirm it, or, where it has an account, a notice that it has."""
    seen = await confirm_password(service, current, form.password.get_secret_value(), client, now)
    await service.throttle.admit(service.database, now, limits.on_mail_from(service.settings, client))
    email, token = users.canonical(form.new_email), one_time.new_token()
    expires_at = one_time.expiry(now, service.settings.verify_token_seconds)
    async with service.database.write() as db:
        user = await users.lock(db, users.is_unchanged(seen))
        if user is None:
            raise WRONG_PASSWORD()
        owner = await users.find(db, email)
        await one_time.void(db, user.id, now, "confirm-email")
        one_time.issue(
            db, user.id, "confirm-email", token, target=form.new_email, expires_at=expires_at, now=now
        )
        if not await service.throttle.count(db, now, limits.on_mail_to(service.settings, email, "change")):
            if owner is None or owner.email_verified_at is None:  # a mere registration proves no mailbox
                service.outbox.queue(db, "confirm-email", form.new_email, now, token=token)
            else:
                service.outbox.queue(db, "already-registered", owner.email, now)
        audit.record(
            db, "email-change-requested", client, now, user_id=user.id, session_id=current.session_id
        )


async def confirm_change(
    db: AsyncSession, service: Service, token: str, client: audit.Client, now: datetime
) -> None:
    """Make the confirmed address the account's, and tell the old one. Sessions stay; mailed links die."""
    redeemed = await one_time.redeem(db, token, "confirm-email", now)
    if redeemed is None:
        raise TOKEN_INVALID()
    confirmed, user = redeemed
    old_email, email = user.email, users.canonical(confirmed.target)
    if email != user.email_canonical:
        await users.remove_unverified(db, email, client, now)
    user.email, user.email_canonical, user.email_verified_at = confirmed.target, email, now
    try:
        await users.change_credentials(db, user, client, now, why="email-changed", end_sessions=False)
    except IntegrityError:
        raise EMAIL_TAKEN() from None
    service.outbox.queue(db, "email-changed", old_email, now, new_email=user.email)


@router.post(
    "/me/email", status_code=202, responses=answers(SESSION_INVALID, WRONG_PASSWORD, TOO_MANY_REQUESTS)
)
async def post_email(
    form: EmailChange, current: CurrentSession, service: Services, client: Client, now: Now
) -> Message:
    """Ask to change the address, by the password. The answer is the same for a taken address."""
    await request_change(service, current, form, client, now)
    return Message(message=REQUESTED)


@router.post("/confirm-email", responses=answers(TOKEN_INVALID, EMAIL_TAKEN))
async def post_confirm_email(
    form: EmailConfirmation, db: Db, service: Services, client: Client, now: Now
) -> Message:
    """Confirm a new address with the token that was mailed to it."""
    await confirm_change(db, service, form.token, client, now)
    return Message(message=CONFIRMED)
