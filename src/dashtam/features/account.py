"""One's own account: the profile, its password, and its end."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict
from sqlalchemy import update
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from dashtam.core import audit, one_time, users
from dashtam.core.problems import (
    PASSWORD_BLOCKED,
    PASSWORD_TOO_LONG,
    PASSWORD_TOO_SHORT,
    SESSION_INVALID,
    TOO_MANY_REQUESTS,
    WRONG_PASSWORD,
)
from dashtam.core.reauthentication import confirm_password
from dashtam.core.service import Service
from dashtam.core.sessions import Current
from dashtam.core.tables import User
from dashtam.http import Client, CurrentSession, Db, Form, Message, Name, Now, Password, Services, answers

CHANGED = "The password is changed. Other devices are logged out; this one stays."
DELETED = "The account is deleted."

router = APIRouter(prefix="/auth/me", tags=["account"])


class Profile(BaseModel):
    """An account as its owner sees it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "01980a2f-6f1c-7d3e-9a51-3c2f0e8b7d64",
                    "email": "ada@example.org",
                    "name": "Ada Lovelace",
                    "email_verified": True,
                    "is_active": True,
                    "created_at": "2026-11-22T20:00:00Z",
                    "updated_at": "2026-11-22T20:00:00Z",
                }
            ]
        }
    )

    id: UUID
    email: str
    name: str
    email_verified: bool
    is_active: bool
    created_at: datetime
    updated_at: datetime


class ProfileChange(Form):
    """What an owner may change of a profile."""

    name: Name


class PasswordChange(Form):
    """The password of now and the one to be."""

    current_password: Password
    new_password: Password


class Deletion(Form):
    """The password, to prove that it is the owner who asks."""

    password: Password


def profile_of(account: Current | User) -> Profile:
    """What the owner sees of the account."""
    return Profile(
        id=account.user_id if isinstance(account, Current) else account.id,
        email=account.email,
        name=account.name,
        email_verified=account.email_verified_at is not None,
        is_active=account.is_active,
        created_at=account.created_at,
        updated_at=account.updated_at,
    )


async def rename(db: AsyncSession, current: Current, name: str, client: audit.Client, now: datetime) -> User:
    """Give the account another name."""
    statement = update(User).where(col(User.id) == current.user_id, col(User.is_active)).returning(User)
    changed = await db.exec(statement.values(name=name, updated_at=now))
    user: User | None = changed.scalar_one_or_none()
    if user is None:
        raise SESSION_INVALID()
    audit.record(db, "profile-changed", client, now, user_id=user.id, session_id=current.session_id)
    return user


async def change_password(
    service: Service, current: Current, form: PasswordChange, client: audit.Client, now: datetime
) -> None:
    """Set another password; the device that asks stays logged in, every other is not, and a notice is mailed."""
    seen = await confirm_password(service, current, form.current_password.get_secret_value(), client, now)
    new = form.new_password.get_secret_value()
    await service.passwords.refuse_unfit(new, email=seen.email_canonical, name=seen.name)
    async with service.database.read() as db:
        registered = await one_time.registered_hashes(db, seen.id, seen.email_canonical, now)
    hashed = await service.passwords.hash(new, like=registered)
    async with service.database.write() as db:
        user = await users.lock(db, users.is_unchanged(seen))
        if user is None:
            raise WRONG_PASSWORD()  # it was changed meanwhile: what was confirmed is the current one no more
        user.password_hash = hashed
        await users.change_credentials(
            db, user, client, now, why="password-changed", keep_session=current.session_id
        )
        service.outbox.queue(db, "password-changed", user.email, now)


async def delete(
    service: Service, current: Current, password: str, client: audit.Client, now: datetime
) -> None:
    """End the account, with all that belongs to it."""
    seen = await confirm_password(service, current, password, client, now)
    async with service.database.write() as db:
        user = await users.lock(db, users.is_unchanged(seen))
        if user is None:
            raise WRONG_PASSWORD()
        await users.remove(db, user.id, client, now)
        service.outbox.queue(db, "account-deleted", user.email, now)


@router.get("", responses=answers(SESSION_INVALID))
async def get_me(current: CurrentSession) -> Profile:
    """The account of this session."""
    return profile_of(current)


@router.patch("", responses=answers(SESSION_INVALID))
async def patch_me(form: ProfileChange, current: CurrentSession, db: Db, client: Client, now: Now) -> Profile:
    """Change the name."""
    return profile_of(await rename(db, current, form.name, client, now))


@router.delete("", responses=answers(SESSION_INVALID, WRONG_PASSWORD, TOO_MANY_REQUESTS))
async def delete_me(
    form: Deletion, current: CurrentSession, service: Services, client: Client, now: Now
) -> Message:
    """Delete the account, by its password."""
    await delete(service, current, form.password.get_secret_value(), client, now)
    return Message(message=DELETED)


@router.post(
    "/password",
    responses=answers(
        SESSION_INVALID,
        WRONG_PASSWORD,
        PASSWORD_TOO_SHORT,
        PASSWORD_TOO_LONG,
        PASSWORD_BLOCKED,
        TOO_MANY_REQUESTS,
    ),
)
async def post_password(
    form: PasswordChange, current: CurrentSession, service: Services, client: Client, now: Now
) -> Message:
    """Change the password, by the current one."""
    await change_password(service, current, form, client, now)
    return Message(message=CHANGED)
