"""One-time tokens: secrets that are mailed, kept only as a hash, and spent by one conditional statement."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, and_, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from dashtam.core.tables import OneTimeToken, Purpose, User

PREFIX = "dot1_"
_RANDOM_BYTES = 32
_MOST_REGISTRATIONS = 50


@dataclass(frozen=True, slots=True)
class Pending:
    """What a registration brings along until its mailbox is proven."""

    password_hash: str | None = None
    name: str | None = None


def new_token() -> str:
    """A fresh token: 256 bits from the system's random source. Nothing is stored yet."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def digest(token: str) -> bytes:
    """What is stored in the token's place. Its 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(token.encode()).digest()


def issue(  # noqa: PLR0913  a row has this many columns
    db: AsyncSession,
    user_id: UUID,
    purpose: Purpose,
    token: str,
    *,
    target: str,
    expires_at: datetime,
    now: datetime,
    pending: Pending | None = None,
) -> None:
    """Make `token` good for `purpose` until `expires_at`."""
    pending = pending or Pending()
    db.add(
        OneTimeToken(
            user_id=user_id,
            purpose=purpose,
            token_hash=digest(token),
            target=target,
            password_hash=pending.password_hash,
            name=pending.name,
            created_at=now,
            expires_at=expires_at,
        )
    )


async def check(db: AsyncSession, token: str, purpose: Purpose, now: datetime) -> OneTimeToken | None:
    """The live token, unspent. For showing a form, and for what must be known before it is redeemed."""
    return (await db.exec(select(OneTimeToken).where(_live(now), *_is(token, purpose)))).one_or_none()


async def redeem(
    db: AsyncSession, token: str, purpose: Purpose, now: datetime
) -> tuple[OneTimeToken, User] | None:
    """Spend the token, in the transaction of its effect: its row and its account, or None if it is not good.

    Takes the account's lock first (see `users.lock`), then spends the token with one conditional UPDATE:
    of any number of redemptions at once, exactly one gets the row.
    """
    owner = select(OneTimeToken.user_id).where(*_is(token, purpose)).scalar_subquery()
    locked = select(User).where(col(User.id) == owner, col(User.is_active)).with_for_update()
    user = (await db.exec(locked.execution_options(populate_existing=True))).one_or_none()
    if user is None:
        return None
    spend = (
        update(OneTimeToken)
        .where(_live(now), *_is(token, purpose))
        .values(used_at=now)
        .returning(OneTimeToken)
    )
    spent = (await db.exec(spend.execution_options(populate_existing=True))).scalar_one_or_none()
    return None if spent is None else (spent, user)


async def supersede(  # noqa: PLR0913  the same
    db: AsyncSession,
    user: User,
    purpose: Purpose,
    token: str,
    *,
    asked_at: datetime,
    expires_at: datetime,
    now: datetime,
    pending: Pending | None = None,
) -> bool:
    """Issue `token` in place of the account's older ones of this purpose; says whether it did.

    It does not when a newer one is live: requests that wait together are delivered in any order, and the mail
    that was asked for last is the one whose link works. The account's row must be locked.
    """
    newer = select(OneTimeToken.id).where(
        _live(now),
        col(OneTimeToken.user_id) == user.id,
        col(OneTimeToken.purpose) == purpose,
        col(OneTimeToken.created_at) > asked_at,
    )
    if (await db.exec(newer.limit(1))).first() is not None:
        return False
    await void(db, user.id, now, purpose)
    target = user.email_canonical
    issue(db, user.id, purpose, token, target=target, expires_at=expires_at, now=asked_at, pending=pending)
    return True


async def void(db: AsyncSession, user_id: UUID, now: datetime, purpose: Purpose | None = None) -> None:
    """Make the account's unspent tokens, of one purpose or of all, worthless."""
    unspent = and_(col(OneTimeToken.user_id) == user_id, col(OneTimeToken.used_at).is_(None))
    if purpose is not None:
        unspent = and_(unspent, col(OneTimeToken.purpose) == purpose)
    await db.exec(update(OneTimeToken).where(unspent).values(used_at=now))


async def pending_of(db: AsyncSession, user_id: UUID, now: datetime) -> list[OneTimeToken]:
    """The live registrations that wait for this account's mailbox, oldest first."""
    statement = select(OneTimeToken).where(
        _live(now), col(OneTimeToken.user_id) == user_id, col(OneTimeToken.password_hash).is_not(None)
    )
    return list((await db.exec(statement.order_by(col(OneTimeToken.id)))).all())


async def registered_hashes(db: AsyncSession, user_id: UUID, email: str, now: datetime) -> list[str]:
    """The password hashes of this address's registrations of late, whatever has become of their links.

    Kept for as long as a link lives, on known and unknown addresses alike: what a stranger who has registered
    an address is told at login does not change with what its owner does.
    """
    statement = (
        select(OneTimeToken.password_hash)
        .where(
            col(OneTimeToken.user_id) == user_id,
            col(OneTimeToken.target) == email,
            col(OneTimeToken.expires_at) > now,
            col(OneTimeToken.password_hash).is_not(None),
        )
        .order_by(col(OneTimeToken.id).desc())
        .limit(_MOST_REGISTRATIONS)
    )
    return [hashed for hashed in (await db.exec(statement)).all() if hashed]


async def adopt(db: AsyncSession, user_id: UUID, password_hash: str) -> None:
    """Take a registration's password out of its tokens: it is the account's own from now on."""
    mine = and_(col(OneTimeToken.user_id) == user_id, col(OneTimeToken.password_hash) == password_hash)
    await db.exec(update(OneTimeToken).where(mine).values(password_hash=None))


def expiry(now: datetime, seconds: int) -> datetime:
    """When a token issued now for so long ends."""
    return now + timedelta(seconds=seconds)


def _live(now: datetime) -> ColumnElement[bool]:
    return and_(col(OneTimeToken.used_at).is_(None), col(OneTimeToken.expires_at) > now)


def _is(token: str, purpose: Purpose) -> tuple[ColumnElement[bool], ...]:
    return col(OneTimeToken.token_hash) == digest(token), col(OneTimeToken.purpose) == purpose
