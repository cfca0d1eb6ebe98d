"""Reads the mail a journey is sent: over HTTP, or from whatever a test hands in.

A reader answers one question, which messages lie there for an address; waiting, and reading the token out of
the link, are the same for all readers and live here too.
"""

from __future__ import annotations

import asyncio
import html
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

import httpx2

from dashtam.journey.expect import Mismatch

DEV_MAILBOX: Final = "/dev/mailbox"
SMOKE_MAILBOX: Final = "/smoke/mailbox"

_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.25
_PAUSE_GROWTH: Final = 1.6
_LINK: Final = re.compile(r"https?://[^\s<>\"'#]*/(?P<page>[a-z-]+)#token=(?P<token>[^\s<>\"']*)")
_TOKEN: Final = re.compile(r"dot1_[A-Za-z0-9_-]{43}")


class MailboxError(Exception):
    """The mailbox itself cannot be read; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Mail:
    """One delivered message, decoded."""

    id: str
    to: str
    subject: str
    text: str
    html: str
    sent_at: str


class Mailbox(Protocol):
    """What a journey needs of a mailbox."""

    async def messages(self, to: str) -> Sequence[Mail]:
        """Messages delivered to this address so far, newest first."""
        ...


class HttpMailbox:
    """The service's own mailbox: `/dev/mailbox`, or with a smoke token `/smoke/mailbox`."""

    def __init__(self, client: httpx2.AsyncClient, *, smoke_token: str | None = None) -> None:
        self._client = client
        self._smoke_token = smoke_token
        self._path = SMOKE_MAILBOX if smoke_token else DEV_MAILBOX

    async def messages(self, to: str) -> Sequence[Mail]:
        """Ask the service; a refusal becomes a `MailboxError` in plain words."""
        headers = {"Accept": "application/json"}
        if self._smoke_token:
            headers["Authorization"] = f"Bearer {self._smoke_token}"
        answer = await self._client.get(
            self._path, params={"to": to}, headers=headers, follow_redirects=False
        )
        if answer.status_code != HTTPStatus.OK:
            raise MailboxError(self._refusal(answer.status_code))
        return _parse(answer, self._path)

    def _refusal(self, status: int) -> str:
        asked = f"GET {self._path} answered {status}"
        if status == HTTPStatus.NOT_FOUND and not self._smoke_token:
            return (
                f"{asked}: this server shows no development mailbox. In development set "
                "MAIL_TRANSPORT=mailbox; against production give the server's SMOKE_TOKEN."
            )
        if status == HTTPStatus.NOT_FOUND:
            return f"{asked}: the server has no SMOKE_TOKEN set (at least 32 bytes), so its journeys are off."
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            return f"{asked}: the SMOKE_TOKEN given here is not the server's."
        return f"{asked}: expected 200 with the delivered messages."


async def wait_for_token(mailbox: Mailbox, to: str, page: str, *, patience: float) -> str:
    """Wait up to `patience` seconds for a mail whose link opens `page`; return the link's token."""
    deadline = time.perf_counter() + patience
    pause = _FIRST_PAUSE
    while True:
        messages = await mailbox.messages(to)
        for message in messages:
            if token := read_token(message, to, page):
                return token
        left = deadline - time.perf_counter()
        if left <= 0:
            raise Mismatch(_wanted(to, page, patience), _found(messages))
        await asyncio.sleep(min(pause, left))
        pause = min(pause * _PAUSE_GROWTH, _LONGEST_PAUSE)


def read_token(mail: Mail, to: str, page: str) -> str | None:
    """Read the token of a mail that links to `page`; None when this mail is about something else."""
    links = {found[0]: found["token"] for found in _LINK.finditer(mail.text) if found["page"] == page}
    if not links:
        return None
    if len(links) > 1:
        raise Mismatch(f"one /{page} link in the text part", f"{len(links)} different ones")
    (link, token), *_ = links.items()
    if mail.to.lower() != to.lower():
        raise Mismatch(f"a mail to {to}", f"one addressed to {mail.to}")
    if not _TOKEN.fullmatch(token):
        raise Mismatch(
            "a link that ends in #token=dot1_ and 43 characters", f"a token of {len(token)} other characters"
        )
    in_html = {found[0] for found in _LINK.finditer(html.unescape(mail.html)) if found["page"] == page}
    if in_html != {link}:
        raise Mismatch(
            "the same link in the HTML part as in the text part", f"{len(in_html)} link(s), not that one"
        )
    return token


def _wanted(to: str, page: str, patience: float) -> str:
    return f"a mail to {to} with a /{page} link within {patience:g} s"


def _found(messages: Sequence[Mail]) -> str:
    if not messages:
        return "no mail at all"
    subjects = ", ".join(f"“{message.subject}”" for message in messages)
    return f"{len(messages)} mail(s) without such a link: {subjects}"


def _parse(answer: httpx2.Response, path: str) -> Sequence[Mail]:
    try:
        return [_mail(item) for item in answer.json()["messages"]]
    except (ValueError, KeyError, TypeError) as error:
        text = f"GET {path} answered 200, but not the JSON of a mailbox ({type(error).__name__}: {error})."
        raise MailboxError(text) from error


def _mail(item: Mapping[str, object]) -> Mail:
    return Mail(
        id=str(item["id"]),
        to=str(item["to"]),
        subject=str(item["subject"]),
        text=str(item["text"]),
        html=str(item["html"]),
        sent_at=str(item["sent_at"]),
    )
