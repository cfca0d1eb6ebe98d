"""Sessions: one row a device, opened by a login, moved on by refresh, looked up by every protected request.

A refresh token is `dsr1_` and base64url(session id, generation, tag). The tag is HMAC-SHA-256 under a key
derived from SECRET_KEY over the session id, the generation and the row's random nonce, so that neither a
copy of the database nor the key alone can mint one, and no token needs a row of its own.
"""

import base64
import binascii
import hashlib
import hmac
import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy
from sqlalchemy import ColumnElement, and_, bindparam, insert, literal, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from dashtam.core.access_tokens import Claims
from dashtam.core.audit import Client
from dashtam.core.db import Database
from dashtam.core.ids import new_id
from dashtam.core.sealing import SecretKey
from dashtam.core.tables import Session, User, UtcDateTime

PREFIX = "dsr1_"
_ID_BYTES = 16
_GENERATION_BYTES = 4
_LAST_GENERATION = 2**31 - 1  # the column is a signed integer on PostgreSQL
_TAG_BYTES = 32
_TOKEN_BYTES = _ID_BYTES + _GENERATION_BYTES + _TAG_BYTES
_TOKEN_LENGTH = len(PREFIX) + -(-_TOKEN_BYTES * 8 // 6)
_NONCE_BYTES = 32
_USER_AGENT_LENGTH = 255


# Statements of every request, built once: building one anew costs more than running it.
_NOW = bindparam("now", type_=UtcDateTime())
_IS_CURRENT = and_(
    col(Session.revoked_at).is_(None),
    col(Session.expires_at) > _NOW,
    col(Session.last_seen_at) > bindparam("seen_after", type_=UtcDateTime()),
)
_CURRENT_OF = (
    sqlalchemy.select(
        col(User.id),
        col(Session.id),
        col(User.email),
        col(User.name),
        col(User.email_verified_at),
        col(User.is_active),
        col(User.created_at),
        col(User.updated_at),
    )
    .join(Session, col(Session.user_id) == col(User.id))
    .where(
        col(Session.id) == bindparam("session_id"),
        col(User.id) == bindparam("user_id"),
        col(User.is_active),
        _IS_CURRENT,
    )
)
_COLUMNS = Session.__table__.c  # type: ignore[attr-defined]
_ADVANCE = (
    update(Session.__table__)  # type: ignore[attr-defined]
    .where(
        col(Session.id) == bindparam("session_id"),
        col(Session.generation) == bindparam("spent"),
        _IS_CURRENT,
        select(User.id).where(col(User.id) == col(Session.user_id), col(User.is_active)).exists(),
    )
    .values(generation=col(Session.generation) + 1, rotated_at=_NOW, last_seen_at=_NOW)
    .returning(*_COLUMNS)
)


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long a session lasts without use, at most, and how long a spent refresh token may be replayed."""

    idle: timedelta
    absolute: timedelta
    replay: timedelta


@dataclass(frozen=True, slots=True)
class Current:
    """The account and session of a protected request, read together at its start."""

    user_id: UUID
    session_id: UUID
    email: str
    name: str
    email_verified_at: datetime | None
    is_active: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token taken apart. Well-formed, but not yet known to be genuine."""

    session_id: UUID
    generation: int
    tag: bytes


class RefreshTokens:
    """Mints and takes apart refresh tokens, and knows a genuine one."""

    def __init__(self, secret: SecretKey) -> None:
        self._key = secret.subkey("refresh-token")

    def mint(self, session: Session) -> str:
        """The refresh token of the session's present generation; always the same one."""
        tag = self._tag(session.id, session.generation, session.nonce)
        raw = session.id.bytes + session.generation.to_bytes(_GENERATION_BYTES, "big") + tag
        return PREFIX + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def is_genuine(self, token: RefreshToken, nonce: bytes) -> bool:
        """Whether we minted this token for the session with this nonce."""
        return hmac.compare_digest(token.tag, self._tag(token.session_id, token.generation, nonce))

    def _tag(self, session_id: UUID, generation: int, nonce: bytes) -> bytes:
        message = session_id.bytes + generation.to_bytes(_GENERATION_BYTES, "big") + nonce
        return hmac.new(self._key, message, hashlib.sha256).digest()


def parse(token: str) -> RefreshToken | None:
    """The parts of a refresh token in its one canonical spelling, or None."""
    if len(token) != _TOKEN_LENGTH or not token.startswith(PREFIX) or not token.isascii():
        return None
    body = token.removeprefix(PREFIX)
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != body:
        return None
    generation = int.from_bytes(raw[_ID_BYTES : _ID_BYTES + _GENERATION_BYTES], "big")
    if generation > _LAST_GENERATION:
        return None
    return RefreshToken(UUID(bytes=raw[:_ID_BYTES]), generation, raw[-_TAG_BYTES:])


async def open_session(
    db: AsyncSession,
    user_id: UUID,
    credential_version: int,
    client: Client,
    now: datetime,
    lifetimes: Lifetimes,
) -> Session | None:
    """A new session, if the account is still active, verified and at the credential version that was checked.

    One statement: the account's row is locked for sharing and inserted from, so that a slow login can neither
    slip in beside a password reset nor outlive it.
    """
    fields = {
        "id": new_id(),
        "generation": 0,
        "nonce": os.urandom(_NONCE_BYTES),
        "rotated_at": now,
        "created_at": now,
        "last_seen_at": now,
        "expires_at": now + lifetimes.absolute,
        "ip": client.ip,
        "user_agent": client.user_agent[:_USER_AGENT_LENGTH] if client.user_agent else None,
        "amr": "pwd",
    }
    still_so = (
        sqlalchemy.select(
            col(User.id), *(literal(value, _COLUMNS[name].type) for name, value in fields.items())
        )
        .where(
            col(User.id) == user_id,
            col(User.credential_version) == credential_version,
            col(User.is_active),
            col(User.email_verified_at).is_not(None),
        )
        .with_for_update(read=True)
    )
    statement = insert(Session).from_select(["user_id", *fields], still_so).returning(Session)
    return (await db.exec(statement)).scalar_one_or_none()


async def current(database: Database, claims: Claims, now: datetime, idle: timedelta) -> Current | None:
    """The account and session that an access token speaks for, in one query, if both still stand.

    Read when the request starts, from what is committed: whatever was revoked before is refused.
    """
    asked = {"session_id": claims.session_id, "user_id": claims.user_id, **_times(now, idle)}
    async with database.connect() as connection:
        row = (await connection.execute(_CURRENT_OF, asked)).one_or_none()
    return None if row is None else Current(*row)


async def advance(db: AsyncSession, token: RefreshToken, now: datetime, idle: timedelta) -> Session | None:
    """Move the session from the token's generation to the next, if that is its current one. One statement.

    The caller must find the token genuine by the nonce of the row, or roll back.
    """
    asked = {"session_id": token.session_id, "spent": token.generation, **_times(now, idle)}
    row = (await (await db.connection()).execute(_ADVANCE, asked)).one_or_none()
    return None if row is None else Session(**row._mapping)  # noqa: SLF001  its public name


async def get(db: AsyncSession, session_id: UUID) -> Session | None:
    """The session's row as it is committed now, whatever its state."""
    statement = select(Session).where(Session.id == session_id).execution_options(populate_existing=True)
    return (await db.exec(statement)).one_or_none()


async def live(db: AsyncSession, user_id: UUID, now: datetime, idle: timedelta) -> list[Session]:
    """The account's current sessions, newest first."""
    statement = select(Session).where(col(Session.user_id) == user_id, _IS_CURRENT)
    newest_first = statement.order_by(col(Session.id).desc())
    return list((await db.exec(newest_first, params=_times(now, idle))).all())


async def revoke(db: AsyncSession, user_id: UUID, session_id: UUID, why: str, now: datetime) -> bool:
    """End one session of this account; says whether it was still open."""
    one = and_(col(Session.id) == session_id, col(Session.user_id) == user_id)
    return await _revoke(db, one, why, now) > 0


async def revoke_all(
    db: AsyncSession, user_id: UUID, why: str, now: datetime, *, keep: UUID | None = None
) -> int:
    """End the account's sessions, all or all but one; says how many were open."""
    mine = col(Session.user_id) == user_id
    return await _revoke(db, mine if keep is None else and_(mine, col(Session.id) != keep), why, now)


async def knows_source(db: AsyncSession, user_id: UUID, ip: str | None) -> bool:
    """Whether the account was ever logged in from this address."""
    statement = select(Session.id).where(col(Session.user_id) == user_id, col(Session.ip) == ip).limit(1)
    return (await db.exec(statement)).first() is not None


def stands(session: Session, now: datetime, idle: timedelta) -> bool:
    """Whether this row, as it was read, is of a current session; `_IS_CURRENT` in Python."""
    return session.revoked_at is None and session.expires_at > now and session.last_seen_at > now - idle


def _times(now: datetime, idle: timedelta) -> dict[str, datetime]:
    """What `_IS_CURRENT` needs to be told."""
    return {"now": now, "seen_after": now - idle}


async def _revoke(db: AsyncSession, which: ColumnElement[bool], why: str, now: datetime) -> int:
    statement = (
        update(Session)
        .where(which, col(Session.revoked_at).is_(None))
        .values(revoked_at=now, revoked_reason=why)
        .returning(col(Session.id))
        .execution_options(synchronize_session=False)
    )
    return len((await db.exec(statement)).all())
