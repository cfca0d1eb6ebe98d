"""Every table, in one read.

Ids are UUIDv7, times are UTC and timezone-aware (`timestamptz` on PostgreSQL). Secrets are stored hashed
(one-time tokens, passwords) or encrypted (signing keys, mail payloads). A session is one row for its whole
life: refresh moves its `generation`, so there is no table of refresh tokens.
"""

from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    JSON,
    CheckConstraint,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
    text,
)
from sqlmodel import Field, SQLModel

from dashtam.core.ids import new_id

Purpose = Literal["verify-email", "password-reset", "confirm-email"]
Role = Literal["user", "admin"]


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC. SQLite keeps no zone, so it is taken off on the way in and put back on the way out."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name != "sqlite":
            return value
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or dialect.name != "sqlite":
            return value
        return value.replace(tzinfo=UTC)


class Table(SQLModel):
    """Base of all tables: one metadata, with every constraint named so that migrations can speak of it."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def _moment(*, nullable: bool = False) -> Any:  # noqa: ANN401  SQLModel's Field is typed Any
    return Field(default=None, sa_type=UtcDateTime, nullable=nullable)


def _belongs_to_user() -> Any:  # noqa: ANN401
    return Field(sa_column_args=[ForeignKey("users.id", ondelete="CASCADE")], index=True)


class User(Table, table=True):
    """An account. `email_canonical` is what addresses are compared by; `email` is what mail is sent to."""

    __tablename__ = "users"
    __table_args__ = (CheckConstraint("role IN ('user', 'admin')", name="role"),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    email: str = Field(sa_type=String(254))
    email_canonical: str = Field(sa_type=String(254), unique=True)
    name: str = Field(sa_type=String(100))
    password_hash: str | None = Field(default=None, sa_type=String(255), repr=False)
    email_verified_at: datetime | None = _moment(nullable=True)
    is_active: bool = True
    role: str = Field(default="user", sa_type=String(16))
    credential_version: int = 0
    created_at: datetime = _moment()
    updated_at: datetime = _moment()


class Session(Table, table=True):
    """A device that is logged in. Current while not revoked, not past `expires_at`, and seen lately enough."""

    __tablename__ = "sessions"

    id: UUID = Field(default_factory=new_id, primary_key=True)
    user_id: UUID = _belongs_to_user()
    generation: int = 0
    nonce: bytes = Field(sa_type=LargeBinary, repr=False)
    rotated_at: datetime = _moment()
    created_at: datetime = _moment()
    last_seen_at: datetime = _moment()
    expires_at: datetime = _moment()
    revoked_at: datetime | None = _moment(nullable=True)
    revoked_reason: str | None = Field(default=None, sa_type=String(32))
    ip: str | None = Field(default=None, sa_type=String(45))
    user_agent: str | None = Field(default=None, sa_type=String(255))
    amr: str = Field(default="pwd", sa_type=String(64))


class OneTimeToken(Table, table=True):
    """A mailed secret, kept only as its SHA-256, good once, for one purpose and one address.

    A registration that still waits for its mailbox brings its password hash and name along in
    `password_hash` and `name`: they become the account's only when *this* token is redeemed, so whoever
    registered somebody else's address first gains nothing (security requirement S-022).
    """

    __tablename__ = "one_time_tokens"
    __table_args__ = (
        CheckConstraint("purpose IN ('verify-email', 'password-reset', 'confirm-email')", name="purpose"),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    user_id: UUID = _belongs_to_user()
    purpose: str = Field(sa_type=String(32))
    token_hash: bytes = Field(sa_type=LargeBinary, unique=True, repr=False)
    target: str = Field(sa_type=String(254))
    password_hash: str | None = Field(default=None, sa_type=String(255), repr=False)
    name: str | None = Field(default=None, sa_type=String(100))
    created_at: datetime = _moment()
    expires_at: datetime = _moment()
    used_at: datetime | None = _moment(nullable=True)


class OutboxMail(Table, table=True):
    """A mail to be delivered after commit. Waiting while `next_attempt_at` is set; the payload goes once sent."""

    __tablename__ = "mail_outbox"
    __table_args__ = (
        Index(
            "ix_mail_outbox_waiting",
            "next_attempt_at",
            postgresql_where=text("next_attempt_at IS NOT NULL"),
            sqlite_where=text("next_attempt_at IS NOT NULL"),
        ),
        Index("ix_mail_outbox_to_created_at", "to", "created_at"),
    )

    id: UUID = Field(default_factory=new_id, primary_key=True)
    to: str = Field(sa_type=String(254))
    template: str = Field(sa_type=String(64))
    payload: bytes | None = Field(default=None, sa_type=LargeBinary, repr=False)
    message_id: str = Field(sa_type=String(255), unique=True)
    attempts: int = 0
    created_at: datetime = _moment()
    next_attempt_at: datetime | None = _moment(nullable=True)
    sent_at: datetime | None = _moment(nullable=True)
    last_error: str | None = Field(default=None, sa_type=Text)


class AuditEvent(Table, table=True):
    """Something that was done, or refused, and by whom. Only ever added to; outlives the account it names."""

    __tablename__ = "audit_events"
    __table_args__ = (Index("ix_audit_events_user_id_at", "user_id", "at"),)

    id: UUID = Field(default_factory=new_id, primary_key=True)
    at: datetime = _moment()
    kind: str = Field(sa_type=String(48))
    user_id: UUID | None = None
    session_id: UUID | None = None
    ip: str | None = Field(default=None, sa_type=String(45))
    request_id: str | None = Field(default=None, sa_type=String(64))
    detail: dict[str, Any] | None = Field(default=None, sa_type=JSON)


class SigningKey(Table, table=True):
    """A key that signs access tokens from `activated_at` until `retired_at`; both may lie in the future.

    `use` is always "sig" (RFC 7517 section 4.2). The partial unique index on it lets at most one key be
    open-ended, so that two nodes that start at once cannot both make one.
    """

    __tablename__ = "signing_keys"
    __table_args__ = (
        CheckConstraint("use = 'sig'", name="use"),
        Index(
            "uq_signing_keys_one_active",
            "use",
            unique=True,
            postgresql_where=text("retired_at IS NULL"),
            sqlite_where=text("retired_at IS NULL"),
        ),
    )

    kid: str = Field(primary_key=True, sa_type=String(64))
    use: str = Field(default="sig", sa_type=String(8))
    algorithm: str = Field(sa_type=String(16))
    private_key: bytes = Field(sa_type=LargeBinary, repr=False)
    activated_at: datetime = _moment()
    retired_at: datetime | None = _moment(nullable=True)


class ThrottleCounter(Table, table=True):
    """How often something was tried in the window that ends at `ends_at`. The key is a keyed hash."""

    __tablename__ = "throttle_counters"

    key: str = Field(primary_key=True, sa_type=String(96))
    count: int = 0
    ends_at: datetime = Field(default=None, sa_type=UtcDateTime, nullable=False, index=True)
