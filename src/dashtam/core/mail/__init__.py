"""Mail: queued in the transaction that causes it, delivered after commit, at least once.

`Outbox.queue` is what features call; `Delivery` takes what is due to a `Transport`.
"""

from dashtam.core.mail.delivery import Counts, Delivery, Prepare
from dashtam.core.mail.maildir import MaildirTransport
from dashtam.core.mail.messages import BadRecipientError, Letter, public_host
from dashtam.core.mail.outbox import Backlog, Outbox, Waiting, backlog
from dashtam.core.mail.transports import (
    Delivered,
    Inbox,
    MailDeferredError,
    MailRefusedError,
    MemoryTransport,
    SmtpTransport,
    Transport,
)
from dashtam.settings import Settings

__all__ = [
    "Backlog",
    "BadRecipientError",
    "Counts",
    "Delivered",
    "Delivery",
    "Inbox",
    "Letter",
    "MailDeferredError",
    "MailRefusedError",
    "MaildirTransport",
    "MemoryTransport",
    "Outbox",
    "Prepare",
    "SmtpTransport",
    "Transport",
    "Waiting",
    "backlog",
    "smtp_transport",
    "transport_for",
]


def transport_for(settings: Settings) -> Transport:
    """The transport that MAIL_TRANSPORT names."""
    if settings.mail_transport == "smtp":
        return smtp_transport(settings)
    if settings.mail_transport == "mailbox":
        return MaildirTransport(settings.mailbox_dir)
    return MemoryTransport()


def smtp_transport(settings: Settings) -> SmtpTransport:
    """The one to the server of SMTP_URL."""
    url, host = settings.smtp_url.get_secret_value(), public_host(settings.public_url)
    return SmtpTransport(url, host=host, plaintext=settings.smtp_plaintext)
