"""What the mails say: one `Kind` a template, composed into a message of a text and an HTML part.

Subjects are constant, links are made from PUBLIC_URL alone and carry their token in the fragment, and no
text that a stranger could have chosen is in any of them (security requirements S-079, S-116, S-117). Headers
are built under a policy that refuses CR and LF; a recipient is one plain ASCII address or nothing at all.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Final, Literal
from urllib.parse import urlsplit

from dashtam.core.users import canonical
from dashtam.settings import HOUR, MINUTE, Settings, parse_sender
from dashtam.templates import render

Page = Literal["verify-email", "reset-password", "confirm-email"]

_LONGEST_HOST = 200
_LONGEST_PLAIN_LINE = 900  # of 998 that RFC 5322 section 2.1.1 allows


class BadRecipientError(ValueError):
    """Not one plain ASCII address. The text holds nothing of what was given."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail to be sent: which, to whom, with what. The values are secrets as often as not."""

    template: str
    to: str
    values: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Kind:
    """What is fixed about a mail: its subject, the values it needs, the page of its link, the link's life."""

    subject: str
    values: frozenset[str] = frozenset()
    page: Page | None = None
    life: Literal["verify_token_seconds", "reset_token_seconds"] | None = None


_TOKEN = frozenset({"token"})
KINDS: Final[Mapping[str, Kind]] = {
    "verify-email": Kind("Verify your e-mail address", _TOKEN, "verify-email", "verify_token_seconds"),
    "already-registered": Kind("You already have an account"),
    "choose-password": Kind(
        "Choose a password for your account", _TOKEN, "reset-password", "reset_token_seconds"
    ),
    "password-reset": Kind("Reset your password", _TOKEN, "reset-password", "reset_token_seconds"),
    "password-changed": Kind("Your password was changed"),
    "confirm-email": Kind("Confirm your new e-mail address", _TOKEN, "confirm-email", "verify_token_seconds"),
    "email-changed": Kind("Your e-mail address was changed", frozenset({"new_email"})),
    "refresh-reuse": Kind("One of your devices was logged out"),
    "account-deleted": Kind("Your account was deleted"),
}
REQUESTS: Final[Mapping[str, frozenset[str]]] = {"resend-verification": _TOKEN}
"""What may be queued although it is no mail yet: delivery finds out which mail it becomes."""


class Composer:
    """Makes messages: everything about them that comes from the settings, read once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.sender = parse_sender(settings.mail_from)
        self.host = public_host(settings.public_url)
        self.site = urlsplit(settings.public_url).netloc

    def compose(self, letter: Letter, *, message_id: str, date: datetime) -> EmailMessage:
        """The message, the same each time it is made of the same. Raises BadRecipientError, ValueError."""
        check(letter)
        kind = KINDS[letter.template]
        message = EmailMessage(policy=SMTP)
        message["From"] = self.sender
        message["To"] = Address(addr_spec=letter.to)
        message["Subject"] = kind.subject
        message["Date"] = date
        message["Message-ID"] = message_id
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation notes, please
        words = self._words(kind, letter.values)
        text, html = (render(f"mail/{letter.template}.{form}", **words) for form in ("txt", "html"))
        message.set_content(text, cte=_encoding(text))
        message.add_alternative(html, subtype="html", cte=_encoding(html))
        return message

    def _words(self, kind: Kind, values: Mapping[str, str]) -> dict[str, str]:
        words = {**values, "host": self.site, "subject": kind.subject}
        if kind.page and kind.life:
            words["url"] = f"{self._settings.public_url}/{kind.page}#token={values['token']}"
            words["life"] = _duration(getattr(self._settings, kind.life))
        return words


def check(letter: Letter) -> None:
    """Refuse what could not be composed: an unknown template, other values than its own, a bad recipient."""
    kind = KINDS.get(letter.template)
    values = kind.values if kind else REQUESTS.get(letter.template)
    if values is None:
        raise ValueError("there is no such mail template")
    if values != set(letter.values):
        raise ValueError(
            f"the {letter.template} mail takes exactly these values: {', '.join(sorted(values)) or 'none'}"
        )
    if any(not value.isascii() or not value.isprintable() for value in letter.values.values()):
        raise ValueError(f"a value of the {letter.template} mail is not printable ASCII")
    check_recipient(letter.to)


def check_recipient(to: str) -> None:
    """Refuse all but one ASCII address in dot-string form: no lists, names, quotes or controls (S-116)."""
    try:
        canonical(to)
    except ValueError:
        raise BadRecipientError("the recipient is not one plain ASCII address") from None


def public_host(public_url: str) -> str:
    """The host of PUBLIC_URL as mail writes it: the right side of message ids, and how we greet servers."""
    host = urlsplit(public_url).hostname or "localhost"
    if ":" in host:
        return f"[IPv6:{host}]"  # RFC 5321 section 4.1.3
    if re.fullmatch(r"[0-9.]+", host):
        return f"[{host}]"
    return host.encode("idna").decode("ascii")[-_LONGEST_HOST:].lstrip("-.")


def _encoding(text: str) -> str:
    """As it is where that is allowed, so that a link can be read in the raw message."""
    plain = text.isascii() and all(len(line) <= _LONGEST_PLAIN_LINE for line in text.splitlines())
    return "7bit" if plain else "quoted-printable"


def _duration(seconds: int) -> str:
    unit, name = (HOUR, "hour") if seconds % HOUR == 0 else (MINUTE, "minute")
    count = seconds // unit
    return f"{count} {name}" if count == 1 else f"{count} {name}s"
