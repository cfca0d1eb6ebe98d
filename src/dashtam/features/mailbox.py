"""What is there for trying the service out: the development mailbox, and the journey's own in production.

`/dev/mailbox` exists where mail is kept here and the deployment is not a production one. `/smoke/mailbox`
exists where SMOKE_TOKEN is set, for its bearer only, and shows the mail of the journey's reserved domain,
which never leaves. `/smoke/client` tells the same bearer which address he is taken to have: whether proxies
are believed as they should be cannot be seen otherwise. Elsewhere all are not found, as if they had never been written.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from hmac import compare_digest
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from dashtam.core.mail import Delivered, Inbox, MaildirTransport
from dashtam.core.problems import NOT_FOUND, SESSION_INVALID
from dashtam.http import Client, Services
from dashtam.settings import Settings
from dashtam.templates import render

_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_MAIL_POLICY = "sandbox allow-popups; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
_MOST_ON_A_PAGE = 50
_URL = re.compile(r"https?://[^\s<>\"']+")

router = APIRouter(include_in_schema=False)


@router.get("/dev/mailbox")
async def dev_mailbox(request: Request, service: Services, to: str = "") -> Response:
    """What was mailed, newest first: a page, or with `Accept: application/json` the same as JSON."""
    mails = await _inbox(request, service.settings).delivered(to.strip() or None)
    if "application/json" in request.headers.get("accept", ""):
        return _json(mails)
    shown = [{**asdict(mail), "pieces": list(_pieces(mail.text))} for mail in mails[:_MOST_ON_A_PAGE]]
    html = render("pages/mailbox.html", title="Development mailbox", root="../", to=to, mails=shown)
    return HTMLResponse(html, headers={"Content-Security-Policy": _PAGE_POLICY})


@router.get("/dev/mailbox/{mail_id}")
async def dev_mailbox_html(request: Request, service: Services, mail_id: str) -> Response:
    """The HTML part of one mail, as a mail program would show it: no scripts, nothing loaded."""
    for mail in await _inbox(request, service.settings).delivered():
        if mail.id == mail_id:
            return HTMLResponse(mail.html, headers={"Content-Security-Policy": _MAIL_POLICY})
    raise NOT_FOUND("There is no such mail, or it is gone by now.")


@router.get("/smoke/mailbox")
async def smoke_mailbox(request: Request, service: Services, to: str = "") -> Response:
    """The journey's mail to one of its addresses, as JSON, for the bearer of SMOKE_TOKEN."""
    _admit(request, service.settings.smoke_token.get_secret_value())
    if not service.outbox.stays_here(to):
        raise NOT_FOUND("Only addresses of the journey's own domain have a mailbox here.")
    async with service.database.read() as db:
        return _json(await service.outbox.smoke_mail(db, to))


@router.get("/smoke/client")
async def smoke_client(request: Request, service: Services, client: Client) -> JSONResponse:
    """Whose request this is taken for, for the bearer of SMOKE_TOKEN."""
    _admit(request, service.settings.smoke_token.get_secret_value())
    return JSONResponse({"ip": client.ip})


def _inbox(request: Request, settings: Settings) -> Inbox:
    """The transport as something to read from; not found where there is none, and in production."""
    if settings.environment == "prod" or settings.mail_transport == "smtp":
        raise NOT_FOUND()
    given = getattr(request.app.state, "transport", None)
    if isinstance(given, Inbox):
        return given
    if settings.mail_transport == "mailbox":
        return MaildirTransport(settings.mailbox_dir)
    raise NOT_FOUND()


def _admit(request: Request, smoke_token: str) -> None:
    if not smoke_token:
        raise NOT_FOUND()
    scheme, _, sent = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not compare_digest(sent.strip().encode(), smoke_token.encode()):
        raise SESSION_INVALID(headers={"WWW-Authenticate": 'Bearer realm="smoke"'})


def _json(mails: Sequence[Delivered]) -> JSONResponse:
    messages: list[dict[str, Any]] = [{**asdict(mail), "sent_at": mail.sent_at.isoformat()} for mail in mails]
    return JSONResponse({"messages": messages})


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """The text cut into (words, the link behind them), so that the template escapes both."""
    start = 0
    for link in _URL.finditer(text):
        yield text[start : link.start()], link[0]
        start = link.end()
    yield text[start:], ""
