"""Which tries are counted against what: the limits of logging in, registering and asking for mail."""

from dashtam.core.audit import Client
from dashtam.core.throttle import Limit, source
from dashtam.settings import Settings


def on_password(settings: Settings, email: str, client: Client) -> tuple[Limit, Limit, Limit]:
    """Limits of trying a password: this account from this source, this account at all, this source at all.

    The first two are the account's own and are forgiven by a success; the last is the source's and is not.
    """
    network = source(client.ip)
    return (
        Limit("login-account-source", f"{email} {network}", settings.rate_login_per_account),
        Limit("login-account", email, settings.rate_login_account_total),
        Limit("login-source", network, settings.rate_login_per_source),
    )


def on_registration(settings: Settings, client: Client) -> Limit:
    """Limit of registering from one source."""
    return Limit("register-source", source(client.ip), settings.rate_register_per_source)


def on_mail_from(settings: Settings, client: Client) -> Limit:
    """Limit of asking for mails from one source."""
    return Limit("mail-source", source(client.ip), settings.rate_mail_per_source)


def on_mail_to(settings: Settings, email: str, kind: str) -> Limit:
    """Limit of mails of one kind that strangers can cause to one address; beyond it they are left out, silently."""
    return Limit(f"mail-{kind}", email, settings.rate_mail_per_address)
