"""The pages behind mailed links.

Opening one spends nothing, so that mail scanners which follow links do no harm (security requirement S-151):
the secret is in the fragment, which never leaves the browser; the page's own script takes it out of the
address bar and sends it when the reader presses the button. Pages load nothing from anywhere else (S-152),
and all their addresses are relative, so that no header of a request has a say in them (S-079).
"""

from functools import cache
from pathlib import Path

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

import dashtam
from dashtam.http import Services
from dashtam.settings import Settings
from dashtam.templates import render

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
_STATIC = Path(dashtam.__file__).parent / "static"

router = APIRouter(include_in_schema=False)


@router.get("/verify-email")
async def verify_email_page(service: Services) -> HTMLResponse:
    """Where the link of a verification mail leads."""
    return _landing(
        "landing.html",
        service.settings,
        send="auth/verify-email",
        title="Verify your e-mail address",
        lead="One press, and the address is verified.",
        button="Verify my address",
        done_title="Your address is verified",
        done="You can close this page and log in now.",
        again="Ask for a new verification mail where you log in, and open the newest link.",
    )


@router.get("/confirm-email")
async def confirm_email_page(service: Services) -> HTMLResponse:
    """Where the link of a mail to a new address leads."""
    return _landing(
        "landing.html",
        service.settings,
        send="auth/confirm-email",
        title="Confirm your new e-mail address",
        lead="From then on this address logs in to your account, and the old one does not.",
        button="Confirm my new address",
        done_title="Your new address is confirmed",
        done="Use it from now on to log in. You can close this page.",
        again="Change your address once more, and open the newest link.",
    )


@router.get("/reset-password")
async def reset_password_page(service: Services) -> HTMLResponse:
    """Where the link of a reset mail leads."""
    return _landing(
        "reset-password.html",
        service.settings,
        check="password-resets/check",
        send="password-resets/confirm",
        title="Choose a new password",
        button="Set this password",
        done_title="Your new password is set",
        done="Every device has been logged out. You can close this page and log in with the new password.",
        again="Ask for a new link where you log in, and open the newest one.",
    )


@router.get("/static/landing.js")
async def landing_script() -> Response:
    """The script of the pages."""
    return _file("landing.js", "text/javascript")


@router.get("/static/pages.css")
async def pages_style() -> Response:
    """The style of the pages."""
    return _file("pages.css", "text/css")


def _landing(template: str, settings: Settings, *, send: str, check: str = "", **words: str) -> HTMLResponse:
    api = settings.api_v1_prefix.removeprefix("/")
    html = render(
        f"pages/{template}",
        root="",
        send=f"{api}/{send}",
        check=check and f"{api}/{check}",
        min_length=settings.password_min_length,
        **words,
    )
    return HTMLResponse(html, headers=_HEADERS)


def _file(name: str, media_type: str) -> Response:
    return Response(_content(name), media_type=media_type, headers={"Cache-Control": "no-cache"})


@cache
def _content(name: str) -> bytes:
    return (_STATIC / name).read_bytes()
