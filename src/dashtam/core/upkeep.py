"""What a running service does by itself, beside answering: reload its keys, and purge what is over.

Purging goes in small batches, so that no statement holds many rows for long.
"""

import asyncio
import logging
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, delete, false, or_, select
from sqlmodel import SQLModel, col

from dashtam.core.db import Database
from dashtam.core.keys import KeysUnusableError
from dashtam.core.known_answers import CryptoUnsoundError
from dashtam.core.service import Service
from dashtam.core.tables import OneTimeToken, OutboxMail, Session, ThrottleCounter, User

_log = logging.getLogger(__name__)

KEYS_RELOADED = timedelta(seconds=30)
_KEYS_AWAITED = timedelta(seconds=1)
PURGED = timedelta(minutes=10)
_KEPT = timedelta(days=30)  # ended sessions and spent tokens, for those who look into what happened
_SYNTHETIC_KEPT = timedelta(hours=1)  # a journey's account, should the journey die before its clean-up
_BATCH = 500


async def keep_keys(service: Service) -> None:
    """Reload the signing keys for ever, so that this node knows what another has rotated. Survives anything.

    While there are none, it looks every second: a node may be started before its database is migrated.
    """
    while True:
        pause = KEYS_RELOADED if service.keys.loaded_at else _KEYS_AWAITED
        await asyncio.sleep(pause.total_seconds())
        await load_keys(service)


async def load_keys(service: Service) -> bool:
    """Load the signing keys; says whether there are usable ones. Why not is logged, and readiness tells it."""
    try:
        await service.keys.load(service.database, service.clock.now())
    except CryptoUnsoundError:
        raise  # a signature library that accepts forgeries: nothing may be served with it
    except KeysUnusableError as error:
        _log.error("signing keys: %s", error)
        return False
    except Exception as error:  # noqa: BLE001  a database that is away or not migrated is waited for
        _log.warning("the signing keys cannot be read yet: %s", type(error).__name__)
        return False
    return True


async def keep_purging(service: Service) -> None:
    """Purge what is over, every few minutes, for ever."""
    while True:
        await asyncio.sleep(PURGED.total_seconds())
        try:
            await purge(service, service.clock.now())
        except Exception as error:  # noqa: BLE001  it is tried again in a while
            _log.warning("could not purge: %s", type(error).__name__)


async def purge(service: Service, now: datetime) -> dict[str, int]:
    """Delete what has been over for long enough; says how many rows of which table."""
    old = now - _KEPT
    over: list[tuple[type[SQLModel], ColumnElement[bool]]] = [
        (ThrottleCounter, col(ThrottleCounter.ends_at) < now),
        (OneTimeToken, col(OneTimeToken.expires_at) < old),
        (Session, (col(Session.expires_at) < old) | (col(Session.revoked_at) < old)),
        (OutboxMail, col(OutboxMail.next_attempt_at).is_(None) & (col(OutboxMail.created_at) < old)),
        (User, or_(_never_verified(old), _left_by_a_journey(service, now))),
    ]
    return {str(table.__tablename__): await _purge(service.database, table, which) for table, which in over}


def _never_verified(old: datetime) -> ColumnElement[bool]:
    """Accounts whose registrations are long over: whoever registers an address must not keep it for ever."""
    registrations = select(col(OneTimeToken.id)).where(col(OneTimeToken.user_id) == col(User.id))
    return and_(
        col(User.email_verified_at).is_(None),
        col(User.updated_at) < old,
        ~registrations.correlate(User).exists(),
    )


def _left_by_a_journey(service: Service, now: datetime) -> ColumnElement[bool]:
    """Accounts of journeys that ended before their clean-up."""
    if not service.settings.smoke_token.get_secret_value():
        return false()
    address = col(User.email_canonical)
    return and_(
        address.startswith("journey-"),
        address.endswith(f"@{service.settings.smoke_domain}", autoescape=True),
        col(User.created_at) < now - _SYNTHETIC_KEPT,
    )


async def _purge(database: Database, table: type[SQLModel], which: ColumnElement[bool]) -> int:
    key = next(iter(table.__table__.primary_key))  # type: ignore[attr-defined]
    purged = 0
    while True:
        async with database.write() as db:
            batch = select(key).where(which).limit(_BATCH).scalar_subquery()
            gone = len((await db.exec(delete(table).where(key.in_(batch)).returning(key))).all())
        purged += gone
        if gone < _BATCH:
            return purged
