"""Accounts: the one canonical form of an address, and finding, making, changing and ending accounts."""

import re
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from dashtam.core import audit, one_time, sessions
from dashtam.core.audit import Client
from dashtam.core.db import insert_into
from dashtam.core.ids import new_id
from dashtam.core.tables import User

ADDRESS_BYTES = 254  # RFC 5321 section 4.5.3.1.3, less the angle brackets
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
ADDRESS_PATTERN = rf"^(?=[^@]{{1,64}}@){_ATEXT}(\.{_ATEXT})*@{_LABEL}(\.{_LABEL})+$"
"""A regular expression for addresses: a local part of at most 64 bytes (RFC 5321 section 4.5.3.1.1) at a host name."""

_ADDRESS = re.compile(ADDRESS_PATTERN)


def canonical(address: str) -> str:
    """The one form in which addresses are compared, stored uniquely, throttled and looked up: lower case.

    Takes a dot-string of at most 64 bytes at a host name of two labels or more (RFC 5321 section 4.1.2), in
    ASCII: no quoting, comments or address literals, and no other script, so that no two addresses that look
    alike can meet in one account. Raises ValueError for anything else.
    """
    if len(address) > ADDRESS_BYTES or not _ADDRESS.fullmatch(address):
        msg = "must be an e-mail address such as name@example.org, in ASCII"
        raise ValueError(msg)
    return address.lower()


async def find(db: AsyncSession, email: str) -> User | None:
    """The account of a canonical address."""
    return (await db.exec(select(User).where(User.email_canonical == email))).one_or_none()


async def get(db: AsyncSession, user_id: UUID) -> User | None:
    """The account with this id."""
    return await db.get(User, user_id)


def has_address(email: str) -> ColumnElement[bool]:
    """The condition of being the account of a canonical address."""
    return col(User.email_canonical) == email


def is_unchanged(seen: User) -> ColumnElement[bool]:
    """The condition of being this account, active, with the credentials that were seen."""
    return and_(
        col(User.id) == seen.id, col(User.is_active), col(User.credential_version) == seen.credential_version
    )


async def lock(db: AsyncSession, where: ColumnElement[bool]) -> User | None:
    """The account that fits, its row locked until the end of the transaction.

    Whatever changes an account's credentials takes this lock *first*, before its tokens and sessions, so
    that no two such operations interleave and none can deadlock with another.
    """
    statement = select(User).where(where).with_for_update().execution_options(populate_existing=True)
    return (await db.exec(statement)).one_or_none()


async def add(db: AsyncSession, *, email: str, name: str, password_hash: str | None, now: datetime) -> bool:
    """Insert an unverified account unless its address has one already; says whether it did. Race-free."""
    statement = (
        insert_into(db, User)
        .values(
            id=new_id(),
            email=email,
            email_canonical=canonical(email),
            name=name,
            password_hash=password_hash,
            is_active=True,
            role="user",
            credential_version=0,
            created_at=now,
            updated_at=now,
        )
        .on_conflict_do_nothing(index_elements=["email_canonical"])
        .returning(col(User.id))
    )
    return (await db.exec(statement)).first() is not None


async def change_credentials(
    db: AsyncSession,
    user: User,
    client: Client,
    now: datetime,
    *,
    why: str,
    end_sessions: bool = True,
    keep_session: UUID | None = None,
) -> None:
    """What every change of an account's credentials entails, in the transaction of the change.

    The account's row must be locked. Its credential version moves on, so that a login that verified the
    password of before finds nothing to open a session on; sessions end, one-time tokens die, and it is audited.
    """
    user.credential_version += 1
    user.updated_at = now
    db.add(user)
    await db.flush()
    if end_sessions:
        await sessions.revoke_all(db, user.id, why, now, keep=keep_session)
    await one_time.void(db, user.id, now)
    audit.record(db, why, client, now, user_id=user.id, session_id=keep_session)


async def disable(db: AsyncSession, user_id: UUID, client: Client, now: datetime) -> bool:
    """Deactivate an account: it cannot log in, refresh, reset or verify, and its sessions are over."""
    user = await lock(db, col(User.id) == user_id)
    if user is None:
        return False
    user.is_active = False
    await change_credentials(db, user, client, now, why="account-disabled")
    return True


async def enable(db: AsyncSession, user_id: UUID, client: Client, now: datetime) -> bool:
    """Let a deactivated account log in again. What was revoked stays revoked."""
    statement = update(User).where(col(User.id) == user_id).values(is_active=True, updated_at=now)
    found = (await db.exec(statement.returning(col(User.id)))).first() is not None
    if found:
        audit.record(db, "account-enabled", client, now, user_id=user_id)
    return found


async def remove_unverified(db: AsyncSession, email: str, client: Client, now: datetime) -> None:
    """Delete the account that holds an address without ever having proven it, if there is one."""
    unproven = delete(User).where(has_address(email), col(User.email_verified_at).is_(None))
    for user_id in (await db.exec(unproven.returning(col(User.id)))).scalars().all():
        audit.record(
            db, "account-deleted", client, now, user_id=user_id, detail={"why": "address proven by another"}
        )


async def remove(db: AsyncSession, user_id: UUID, client: Client, now: datetime) -> None:
    """Delete an account with its sessions and tokens. The audit rows stay; they name it by id alone."""
    await db.exec(delete(User).where(col(User.id) == user_id))
    audit.record(db, "account-deleted", client, now, user_id=user_id)
