"""Logging in and out.

Tries are counted before the hash and kept whatever comes of it; then exactly one hash is computed, account or
no account; then the session is inserted only if the credentials that were checked still stand.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from dashtam.core import audit, limits, one_time, passwords, problems, sessions, users
from dashtam.core.problems import (
    EMAIL_NOT_VERIFIED,
    INVALID_CREDENTIALS,
    SESSION_INVALID,
    TOO_MANY_REQUESTS,
)
from dashtam.core.service import Service
from dashtam.core.tables import User
from dashtam.core.token_pair import TokenPair, pair_of
from dashtam.http import Client, CurrentSession, Db, Email, Form, Message, Now, Password, Services, answers

LOGGED_OUT = "You are logged out on this device."

router = APIRouter(prefix="/auth", tags=["login"])


class Credentials(Form):
    """What one logs in with."""

    email: Email
    password: Password


@dataclass(frozen=True, slots=True)
class _Account:
    """What a login needs to know of an address: the account, if any, and the hashes registered on it lately."""

    user: User | None
    registered: tuple[str, ...]


async def log_in(
    service: Service, email: str, password: str, client: audit.Client, now: datetime
) -> TokenPair | problems.Problem:
    """Open a session for the right password, or say no in the one way in which we say no."""
    account = await _admit(service, email, client, now)
    stored = account.user.password_hash if account.user else None
    matched = await service.passwords.verify(password, stored, account.registered)
    async with service.database.write() as db:
        if account.user is None or matched is None or not _is_its_own(account.user, matched):
            # Whatever the account is: who has registered this address is told no more than that.
            why = EMAIL_NOT_VERIFIED if matched in account.registered else INVALID_CREDENTIALS
            return _refuse(db, account, client, now, why)
        session = await sessions.open_session(
            db, account.user.id, account.user.credential_version, client, now, service.lifetimes
        )
        if session is None:  # the credentials were changed while we hashed
            return _refuse(db, account, client, now, INVALID_CREDENTIALS)
        await limits.forgive(service.throttle, db, service.settings, email, client)
        audit.record(db, "logged-in", client, now, user_id=session.user_id, session_id=session.id)
    if not account.registered:  # they share the salt of the stored hash: it must last as long as they do
        await _renew_hash(service, session.user_id, password, matched)
    return pair_of(service, session, now)


def _is_its_own(user: User, matched: str) -> bool:
    return user.is_active and user.email_verified_at is not None and matched == user.password_hash


async def _admit(service: Service, email: str, client: audit.Client, now: datetime) -> _Account:
    """Count this try, durably, and read the account; raise TOO_MANY_REQUESTS beyond a limit."""
    async with service.database.write() as db:
        exceeded = await limits.count_password(service.throttle, db, service.settings, email, client, now)
        user = await users.find(db, email)
        owner = user.id if user else UUID(int=0)
        registered = await one_time.registered_hashes(db, owner, email, now)
        if set(exceeded) == {limits.ACCOUNT_TOTAL} and await sessions.knows_source(db, owner, client.ip):
            exceeded = {}  # strangers have used up the account's tries: its owner, where known, still gets in
    if exceeded:
        raise problems.retry_after(TOO_MANY_REQUESTS, max(exceeded.values()))
    return _Account(user, tuple(registered))


def _refuse(
    db: AsyncSession, account: _Account, client: audit.Client, now: datetime, why: problems.ProblemType
) -> problems.Problem:
    user = account.user
    broken = bool(user and user.password_hash and not passwords.is_readable(user.password_hash))
    detail = {"why": "hash-error" if broken else why.slug}
    audit.record(db, "login-refused", client, now, user_id=user.id if user else None, detail=detail)
    return why()


async def _renew_hash(service: Service, user_id: UUID, password: str, matched: str) -> None:
    """Hash again with today's parameters where the stored hash was made with less; changes nothing else."""
    if not service.passwords.is_outdated(matched):
        return
    same = update(User).where(col(User.id) == user_id, col(User.password_hash) == matched)
    with suppress(problems.Problem, SQLAlchemyError, OSError):  # the session is open: the next login renews
        renewed = await service.passwords.hash(password)
        async with service.database.write() as db:
            await db.exec(same.values(password_hash=renewed))


async def log_out(db: AsyncSession, current: sessions.Current, client: audit.Client, now: datetime) -> None:
    """End the session that asks: its access and refresh tokens are dead."""
    if await sessions.revoke(db, current.user_id, current.session_id, "logged-out", now):
        audit.record(db, "logged-out", client, now, user_id=current.user_id, session_id=current.session_id)


@router.post("/login", responses=answers(INVALID_CREDENTIALS, EMAIL_NOT_VERIFIED, TOO_MANY_REQUESTS))
async def post_login(form: Credentials, service: Services, client: Client, now: Now) -> TokenPair:
    """Log in with an address and a password; 403 only after the right password."""
    outcome = await log_in(
        service, users.canonical(form.email), form.password.get_secret_value(), client, now
    )
    if isinstance(outcome, problems.Problem):
        raise outcome
    return outcome


@router.post("/logout", responses=answers(SESSION_INVALID))
async def post_logout(current: CurrentSession, db: Db, client: Client, now: Now) -> Message:
    """Log out: from the next request on, nothing of this session is accepted."""
    await log_out(db, current, client, now)
    return Message(message=LOGGED_OUT)
