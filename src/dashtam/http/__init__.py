"""The service's HTTP side: what features declare routes with, and what the application is wrapped in."""

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager

from fastapi import APIRouter, FastAPI

from dashtam import __version__
from dashtam.core.service import Service
from dashtam.http.dependencies import Client, CurrentSession, Db, Now, Services, service_of
from dashtam.http.documentation import answers, describe
from dashtam.http.forms import Email, Form, Message, Name, Password, TokenText
from dashtam.http.front_door import FrontDoor
from dashtam.http.refusals import Refusal, handle_all, refusal
from dashtam.http.routes import StrictRoute, add_routes

__all__ = [
    "Client",
    "CurrentSession",
    "Db",
    "Email",
    "Form",
    "FrontDoor",
    "Message",
    "Name",
    "Now",
    "Password",
    "Refusal",
    "Services",
    "StrictRoute",
    "TokenText",
    "add_routes",
    "answers",
    "assemble",
    "refusal",
    "service_of",
]


def assemble(
    service: Service,
    routers: Iterable[tuple[str, APIRouter]],
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
) -> FastAPI:
    """The application of this service: these routers, each below its prefix, behind the front door."""
    app = FastAPI(
        title="Dashtam",
        version=__version__,
        description="Accounts, sessions and password reset. Every refusal is a problem (RFC 9457).",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.service = service
    app.add_middleware(FrontDoor, settings=service.settings)
    handle_all(app)
    describe(app)
    for prefix, router in routers:
        add_routes(app, router, prefix)
    return app
