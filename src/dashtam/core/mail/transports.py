"""Where mail goes. A transport takes one message at a time, from several tasks at once.

What each raises, and nothing else:

- `SmtpTransport`: MailRefusedError when the server answers 5xx to this recipient or this message;
  MailDeferredError for everything that may mend itself or be mended: no connection, no STARTTLS, a bad
  certificate, a refused login or sender, 4xx, a lost connection, no answer in time.
- `MaildirTransport` (in `maildir`): MailDeferredError when the folder cannot be written to.
- `MemoryTransport`: nothing.

`SmtpTransport.try_out` goes as far as one can without a message, and raises the same.

Their texts go into the outbox and the log: they never hold anything of the message.
"""

import re
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.headerregistry import AddressHeader, DateHeader
from email.message import EmailMessage
from functools import cached_property
from typing import Protocol, runtime_checkable
from urllib.parse import unquote, urlsplit

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
)

_COMMAND_SECONDS = 20
_QUIT_SECONDS = 2
_LONGEST_REASON = 300
_PERMANENT = range(500, 600)
_MUST_LOG_IN = 530  # RFC 4954 section 6: answered to a recipient, but about us
_ENHANCED_CODE = re.compile(r"[245]\.\d{1,3}\.\d{1,3}\b")


class MailRefusedError(Exception):
    """The message will never be taken: trying again is of no use."""


class MailDeferredError(Exception):
    """The message was not taken this time."""


class Transport(Protocol):
    """What delivery needs of a transport."""

    async def send(self, message: EmailMessage) -> None:
        """Hand the message over. Raises MailRefusedError, MailDeferredError."""
        ...


@dataclass(frozen=True, slots=True)
class Delivered:
    """A delivered message, decoded for reading."""

    id: str
    to: str
    subject: str
    text: str
    html: str
    sent_at: datetime


@runtime_checkable
class Inbox(Protocol):
    """A transport whose mail can be read back: for development and tests."""

    async def delivered(self, to: str | None = None) -> Sequence[Delivered]:
        """What was delivered, newest first; only to that address if one is given."""
        ...


class MemoryTransport:
    """Keeps what it is given: for tests."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []

    async def send(self, message: EmailMessage) -> None:
        """Keep the message."""
        self.messages.append(message)

    async def delivered(self, to: str | None = None) -> Sequence[Delivered]:
        """What was kept, newest first."""
        found = [delivered(str(number), message) for number, message in enumerate(self.messages)]
        return [one for one in reversed(found) if to is None or one.to.lower() == to.lower()]


def delivered(id_: str, message: EmailMessage) -> Delivered:
    """Decode a message that we composed."""
    sent = message["Date"]
    if not isinstance(sent, DateHeader) or sent.datetime is None:
        raise ValueError("the message has no date")
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    return Delivered(
        id=id_,
        to=recipient(message),
        subject=str(message["Subject"]),
        text=str(text.get_content()) if text else "",
        html=str(html.get_content()) if html else "",
        sent_at=sent.datetime,
    )


def recipient(message: EmailMessage) -> str:
    """The one address a message of ours is for."""
    return _only_address(message, "To")


def _only_address(message: EmailMessage, header: str) -> str:
    value = message[header]
    if not isinstance(value, AddressHeader) or len(value.addresses) != 1:
        raise ValueError(f"the message needs exactly one address in {header}")
    return str(value.addresses[0].addr_spec)


class SmtpTransport:
    """Hands mail to an SMTP server, one connection a message.

    `smtp://` must be upgraded by STARTTLS before anything is said (RFC 3207), unless `plaintext` is allowed;
    `smtps://` speaks TLS from the first byte (RFC 8314). Certificates are checked against the system's
    authorities (SSL_CERT_FILE adds one's own).
    """

    def __init__(self, url: str, *, host: str, plaintext: bool = False) -> None:
        parts = urlsplit(url)
        self._use_tls = parts.scheme == "smtps"
        self._start_tls = not self._use_tls and not plaintext
        self._server = parts.hostname
        self._port = parts.port or (465 if self._use_tls else 587)
        self._username = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._host = host

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context

    async def send(self, message: EmailMessage) -> None:
        """Deliver to the server; see the top of the file for what is raised."""
        client = self._client()
        try:
            await client.connect()
            await client.mail(_only_address(message, "From"))
            await client.rcpt(recipient(message))
            await client.data(message.as_bytes())
            await _part(client)
        except (SMTPException, OSError) as error:
            raise _translated(error) from None  # the library's errors quote what servers say
        finally:
            client.close()

    async def try_out(self, seconds: float) -> str:
        """Connect, upgrade and log in as for a mail, and leave; what the connection is like, for people."""
        client = self._client(seconds)
        try:
            await client.connect()
            await client.noop()
            tls = client.get_transport_info("ssl_object")
            await _part(client)
        except (SMTPException, OSError) as error:
            raise _translated(error) from None
        finally:
            client.close()
        login = "its login was taken" if self._username else "it asks for no login"
        return f"{self._server}:{self._port} answers with {tls.version() if tls else 'no TLS'}, and {login}"

    def _client(self, seconds: float = _COMMAND_SECONDS) -> SMTP:
        return SMTP(
            hostname=self._server,
            port=self._port,
            username=self._username,
            password=self._password,
            local_hostname=self._host,
            timeout=seconds,
            use_tls=self._use_tls,
            start_tls=self._start_tls,
            tls_context=self._tls if self._use_tls or self._start_tls else None,
        )


async def _part(client: SMTP) -> None:
    """Say goodbye. The mail is the server's by now: nothing that goes wrong here may have it sent again."""
    with suppress(SMTPException, OSError):
        await client.quit(timeout=_QUIT_SECONDS)


def _translated(error: Exception) -> MailRefusedError | MailDeferredError:
    if isinstance(error, SMTPRecipientRefused):
        reason = f"the mail server refused the recipient: {error.code} {error.message}"
        permanent = error.code in _PERMANENT and error.code != _MUST_LOG_IN
    elif isinstance(error, SMTPDataError):  # it has read the message by now, and may quote it
        reason = f"the mail server refused the message: {_codes(error)}"
        permanent = error.code in _PERMANENT
    else:
        reason, permanent = _our_trouble(error), False
    return (MailRefusedError if permanent else MailDeferredError)(_one_line(reason))


def _our_trouble(error: Exception) -> str:
    cause = error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error
    if isinstance(cause, ssl.SSLError):
        return f"TLS with the mail server failed: {cause.reason or type(cause).__name__}"
    if isinstance(error, SMTPResponseException):
        return _answered(error)
    if "STARTTLS extension not supported" in str(error):
        return (
            "the mail server offers no STARTTLS, and mail is never sent in the clear (SMTP_PLAINTEXT is off)"
        )
    if isinstance(error, TimeoutError):
        return "the mail server did not answer in time"
    if isinstance(error, ConnectionError):
        return f"no connection to the mail server ({type(error.__cause__ or error).__name__})"
    return f"speaking with the mail server failed ({type(error).__name__})"


def _answered(error: SMTPResponseException) -> str:
    if isinstance(error, SMTPAuthenticationError):  # it has read our password by now
        return f"the mail server refused our login: {_codes(error)}"
    return f"the mail server answered {error.code} {error.message}"


def _codes(error: SMTPResponseException) -> str:
    enhanced = _ENHANCED_CODE.match(error.message)
    return f"{error.code} {enhanced[0]}" if enhanced else str(error.code)


def _one_line(text: str) -> str:
    kept = "".join(char if char.isprintable() else " " for char in text)
    return kept if len(kept) <= _LONGEST_REASON else kept[: _LONGEST_REASON - 1] + "…"
