"""A fresh, migrated database for one benchmark, the settings of a service on it, and people logged in."""

import asyncio
import os
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dashtam import migrations
from dashtam.core import service as parts
from dashtam.core import sessions
from dashtam.core.audit import Client
from dashtam.core.clock import Clock
from dashtam.core.ids import new_id
from dashtam.core.tables import Session, User
from dashtam.core.token_pair import pair_of
from dashtam.settings import Settings, load
from dbparity.testing.postgres import PrivateCluster

DATABASES = ("sqlite", "postgresql")
PASSWORD = "seven grey herons over the weir"  # noqa: S105  of people who do not exist


@dataclass(frozen=True, slots=True)
class Place:
    """A database, and where the service's other files go."""

    database: str
    settings: Settings
    folder: Path
    environment: dict[str, str]


@dataclass(frozen=True, slots=True)
class Person:
    """An account with one open session."""

    user_id: str
    session_id: str
    email: str
    access_token: str
    refresh_token: str


@contextmanager
def placed(database: str) -> Iterator[Place]:
    """A migrated database of default durability, gone at the end."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        if database == "sqlite":
            url = f"sqlite:///{folder / 'dashtam.db'}"
        else:
            cluster = stack.enter_context(PrivateCluster())
            cluster.create_database("dashtam")
            url = cluster.url("dashtam", driver="")
        ours = {
            "ENVIRONMENT": "test",
            "DATABASE_URL": url,
            "SECRET_KEY": secrets.token_urlsafe(48),
            "VAR_DIR": str(folder),
            "MAIL_TRANSPORT": "memory",
            "PUBLIC_URL": "http://127.0.0.1",
        }
        # Whatever the caller's shell says of our settings, a benchmark measures the defaults.
        others = {key: value for key, value in os.environ.items() if key.lower() not in Settings.model_fields}
        settings = load(**{name.lower(): value for name, value in ours.items()})
        asyncio.run(migrations.upgrade(settings.database))
        yield Place(database, settings, folder, {**others, **ours})


def people(place: Place, count: int) -> list[Person]:
    """So many new accounts, each logged in once, put there without asking the service."""
    return asyncio.run(_people(place.settings, count))


async def _people(settings: Settings, count: int) -> list[Person]:
    service = parts.build(settings, Clock())
    try:
        await service.keys.load(service.database, service.clock.now())
        users, opened = await _logged_in(service, count)
        pairs = [pair_of(service, session, service.clock.now()) for session in opened]
    finally:
        service.passwords.close()
        await service.database.dispose()
    return [
        Person(str(user.id), str(session.id), user.email, pair.access_token, pair.refresh_token)
        for user, session, pair in zip(users, opened, pairs, strict=True)
    ]


async def _logged_in(service: parts.Service, count: int) -> tuple[list[User], Sequence[Session]]:
    now, hashed = service.clock.now(), await service.passwords.hash(PASSWORD)
    users = [_user(f"{new_id().hex}@example.org", hashed, service) for _ in range(count)]
    async with service.database.write() as db:
        db.add_all(users)
        await db.flush()
        opened = [
            await sessions.open_session(db, user.id, 0, Client("127.0.0.1"), now, service.lifetimes)
            for user in users
        ]
    return users, [session for session in opened if session is not None]


def _user(email: str, hashed: str, service: parts.Service) -> User:
    now = service.clock.now()
    return User(
        email=email,
        email_canonical=email,
        name="Ada Lovelace",
        password_hash=hashed,
        email_verified_at=now,
        created_at=now,
        updated_at=now,
    )
