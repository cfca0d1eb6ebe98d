"""Faults to plant in a server: each breaks one promise, so that what guards the promise can be seen to fire.

They replace parts of the product inside the process of a test's own server (see `server`), nowhere else.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any, get_args
from uuid import UUID

from sqlalchemy import update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from dashtam.core import audit, one_time, sessions, users
from dashtam.core.access_tokens import Claims
from dashtam.core.db import Database
from dashtam.core.mail.maildir import MaildirTransport
from dashtam.core.problems import SESSION_INVALID
from dashtam.core.service import Service
from dashtam.core.sessions import Current, Lifetimes, RefreshToken
from dashtam.core.tables import OneTimeToken, Purpose, Session, User
from dashtam.core.token_pair import TokenPair, pair_of
from dashtam.features import refresh as refresh_feature
from dashtam.features import registration
from dashtam.http import dependencies


def _replace(owner: object, name: str, substitute: object) -> None:
    """Put something else in the place of a part of the product."""
    if not hasattr(owner, name):
        msg = f"{owner} has no {name}: the plant no longer hits what it was meant for"
        raise LookupError(msg)
    setattr(owner, name, substitute)


def commit_after_response() -> None:
    """A request's transaction is committed only once its answer is sent: a plain `yield` dependency."""
    _, depends = get_args(dependencies.Db)
    assert depends.scope == "function"
    object.__setattr__(depends, "scope", "request")  # every route is made of this one, when the app is made


def verification_mail_lost() -> None:
    """The transport takes verification mails and delivers none of them."""
    deliver = MaildirTransport.send

    async def send(self: MaildirTransport, message: EmailMessage) -> None:
        if b"/verify-email#token" not in message.as_bytes():
            await deliver(self, message)

    _replace(MaildirTransport, "send", send)


def revocation_off() -> None:
    """Sessions are said to be revoked and are not."""

    async def revoke(*_: object) -> int:
        return 1

    _replace(sessions, "_revoke", revoke)


def sessions_cached() -> None:
    """Whoever was let in once is let in again, whatever became of the session."""
    look_up = sessions.current
    known: dict[UUID, Current] = {}

    async def current(database: Database, claims: Claims, now: datetime, idle: timedelta) -> Current | None:
        found = await look_up(database, claims, now, idle) or known.get(claims.session_id)
        if found is not None:
            known[claims.session_id] = found
        return found

    _replace(sessions, "current", current)


def refresh_forks_generations() -> None:
    """Refresh moves the session on whichever of its tokens is shown."""

    async def advance(
        db: AsyncSession, token: RefreshToken, now: datetime, _idle: timedelta
    ) -> Session | None:
        statement = (
            update(Session)
            .where(col(Session.id) == token.session_id, col(Session.revoked_at).is_(None))
            .values(generation=col(Session.generation) + 1, rotated_at=now, last_seen_at=now)
            .returning(Session)
        )
        return (await db.exec(statement)).scalar_one_or_none()

    _replace(sessions, "advance", advance)


def refresh_forks_sessions() -> None:
    """Every refresh opens another session."""

    async def refresh(
        db: AsyncSession, service: Service, text: str, client: audit.Client, now: datetime
    ) -> TokenPair:
        token = sessions.parse(text)
        found = await sessions.get(db, token.session_id) if token else None
        user = await users.get(db, found.user_id) if found and found.revoked_at is None else None
        if user is None:
            raise SESSION_INVALID()
        opened = await sessions.open_session(
            db, user.id, user.credential_version, client, now, service.lifetimes
        )
        if opened is None:
            raise SESSION_INVALID()
        return pair_of(service, opened, now)

    _replace(refresh_feature, "refresh", refresh)


def token_read_then_spent() -> None:
    """A one-time token is found unspent, then spent without asking again, and nothing is locked."""

    async def redeem(
        db: AsyncSession, token: str, purpose: Purpose, now: datetime
    ) -> tuple[OneTimeToken, User] | None:
        found = await one_time.check(db, token, purpose, now)
        if found is None:
            return None
        found.used_at = now
        db.add(found)
        return found, (await db.exec(select(User).where(User.id == found.user_id))).one()

    _replace(one_time, "redeem", redeem)


def login_opens_unchecked() -> None:
    """A login opens its session whatever became of the password since it was verified."""
    open_checked = sessions.open_session

    async def open_session(
        db: AsyncSession,
        user_id: UUID,
        _credential_version: int,
        client: audit.Client,
        now: datetime,
        lifetimes: Lifetimes,
    ) -> Session | None:
        user = await users.lock(db, col(User.id) == user_id)
        version = user.credential_version if user else 0
        return await open_checked(db, user_id, version, client, now, lifetimes)

    _replace(sessions, "open_session", open_session)


def registration_in_two_parts() -> None:
    """A registration's account is committed before its token, mail and audit row."""
    go_on = registration._await_mailbox  # noqa: SLF001

    async def await_mailbox(db: AsyncSession, *more: Any) -> None:
        await db.commit()
        await go_on(db, *more)

    _replace(registration, "_await_mailbox", await_mailbox)


def registration_in_the_background() -> None:
    """A registration is acknowledged first and written later."""
    register, tasks = registration.register, set[asyncio.Task[None]]()

    async def register_later(*form: Any) -> None:
        tasks.add(asyncio.create_task(register(*form)))

    _replace(registration, "register", register_later)


PLANTS: dict[str, Callable[[], None]] = {
    plant.__name__: plant
    for plant in (
        commit_after_response,
        verification_mail_lost,
        revocation_off,
        sessions_cached,
        refresh_forks_generations,
        refresh_forks_sessions,
        token_read_then_spent,
        login_opens_unchecked,
        registration_in_two_parts,
        registration_in_the_background,
    )
}
