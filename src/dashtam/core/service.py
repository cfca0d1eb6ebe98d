"""The parts of one running service, joined by `app.create_app` and handed to whoever needs one of them."""

from dataclasses import dataclass
from datetime import timedelta

from dashtam.core.access_tokens import AccessTokens
from dashtam.core.allowance import cores
from dashtam.core.clock import Clock
from dashtam.core.db import Database
from dashtam.core.keys import KeyRing
from dashtam.core.mail import Outbox
from dashtam.core.passwords import HashCost, Passwords
from dashtam.core.sealing import SecretKey
from dashtam.core.sessions import Lifetimes, RefreshTokens
from dashtam.core.throttle import Throttle
from dashtam.settings import Settings


@dataclass(frozen=True)
class Service:
    """What a request may need: the settings, and each part that is set up from them."""

    settings: Settings
    clock: Clock
    database: Database
    passwords: Passwords
    keys: KeyRing
    access_tokens: AccessTokens
    refresh_tokens: RefreshTokens
    lifetimes: Lifetimes
    outbox: Outbox
    throttle: Throttle


def build(settings: Settings, clock: Clock, hash_cost: HashCost | None = None) -> Service:
    """The service of these settings. Opens no connection yet."""
    secret = SecretKey(settings.secret_key.get_secret_value().encode())
    keys = KeyRing(
        secret, settings.signing_algorithm, settings.key_publish_seconds, settings.access_token_seconds
    )
    return Service(
        settings=settings,
        clock=clock,
        database=Database(settings.database, pool_size=settings.database_pool_size),
        passwords=Passwords(
            hash_cost
            or HashCost(settings.argon2_memory_kib, settings.argon2_time_cost, settings.argon2_parallelism),
            threads=settings.hash_threads or cores(),
            queue=settings.hash_queue,
            min_length=settings.password_min_length,
        ),
        keys=keys,
        access_tokens=AccessTokens(
            keys, settings.public_url, settings.token_audience, settings.access_token_seconds
        ),
        refresh_tokens=RefreshTokens(secret),
        lifetimes=Lifetimes(
            idle=timedelta(seconds=settings.session_idle_seconds),
            absolute=timedelta(seconds=settings.session_lifetime_seconds),
            replay=timedelta(seconds=settings.refresh_replay_seconds),
        ),
        outbox=Outbox(secret, settings),
        throttle=Throttle(secret),
    )
