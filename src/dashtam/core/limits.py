"""Which tries are counted against what: the limits of logging in, registering and asking for mail."""

from datetime import datetime

from sqlmodel.ext.asyncio.session import AsyncSession

from dashtam.core.audit import Client
from dashtam.core.throttle import Limit, Throttle, source
from dashtam.settings import Settings

ACCOUNT_TOTAL = "login-account"
"""The kind of the limit that strangers can use up for an account, wherever its owner is."""


def on_password(settings: Settings, email: str, client: Client) -> tuple[Limit, Limit, Limit]:
    """Limits of trying a password: this account from this source, this account at all, this source at all.

    The first two are the account's own and are forgiven by a success; the last is the source's and is not.
    """
    network = source(client.ip)
    return (
        Limit("login-account-source", f"{email} {network}", settings.rate_login_per_account),
        Limit(ACCOUNT_TOTAL, email, settings.rate_login_account_total),
        Limit("login-source", network, settings.rate_login_per_source),
    )


async def count_password(
    throttle: Throttle, db: AsyncSession, settings: Settings, email: str, client: Client, now: datetime
) -> dict[str, float]:
    """Count a try at a password; the limits that it exceeds, each with the seconds until its window ends.

    A source that has used up its own tries at an account is refused, and takes nothing from the account's total:
    or one stranger alone could keep the owner out everywhere. In the order of `Throttle.count`.
    """
    own, account, by_source = on_password(settings, email, client)
    exceeded = await throttle.count(db, now, own)
    return exceeded | await throttle.count(db, now, *((by_source,) if exceeded else (account, by_source)))


async def forgive(
    throttle: Throttle, db: AsyncSession, settings: Settings, email: str, client: Client
) -> None:
    """A right password clears what was counted against the account, and takes back its own try from the source."""
    own, account, by_source = on_password(settings, email, client)
    await throttle.forget(db, own, account)
    await throttle.give_back(db, by_source)


async def forgive_account(
    throttle: Throttle, db: AsyncSession, settings: Settings, email: str, client: Client
) -> None:
    """A proven mailbox clears what was counted against the account."""
    own, account, _ = on_password(settings, email, client)
    await throttle.forget(db, own, account)


def on_registration(settings: Settings, client: Client) -> Limit:
    """Limit of registering from one source."""
    return Limit("register-source", source(client.ip), settings.rate_register_per_source)


def on_mail_from(settings: Settings, client: Client) -> Limit:
    """Limit of asking for mails from one source."""
    return Limit("mail-source", source(client.ip), settings.rate_mail_per_source)


def on_mail_to(settings: Settings, email: str, kind: str) -> Limit:
    """Limit of mails of one kind that strangers can cause to one address; beyond it they are left out, silently."""
    return Limit(f"mail-{kind}", email, settings.rate_mail_per_address)
