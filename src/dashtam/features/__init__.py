"""What the service does, one file a feature: its operations on top, its routes below. The table of contents."""

from functools import partial

from fastapi import APIRouter

from dashtam.core.mail import Prepare
from dashtam.core.service import Service
from dashtam.features import (
    account,
    api_docs,
    devices,
    email_change,
    login,
    mailbox,
    pages,
    password_reset,
    refresh,
    registration,
    system,
)
from dashtam.settings import Settings

_API = (
    registration.router,
    login.router,
    refresh.router,
    account.router,
    email_change.router,
    devices.router,
    password_reset.router,
)

_AT_ROOT = (system.router, api_docs.router, pages.router, mailbox.router)


def routers(settings: Settings) -> tuple[tuple[str, APIRouter], ...]:
    """Every router with the prefix it lives below."""
    below_prefix = tuple((settings.api_v1_prefix, router) for router in _API)
    return (*below_prefix, *(("", router) for router in _AT_ROOT))


def mail_preparers(service: Service) -> dict[str, Prepare]:
    """Mails that are only asked for in a request and made at delivery, and what makes them."""
    return {
        "resend-verification": partial(registration.prepare_resend, service),
        "password-reset": partial(password_reset.prepare_reset, service),
    }
