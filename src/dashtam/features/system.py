"""The service about itself: is it well, which keys sign its tokens, and what its API looks like."""

import asyncio
import logging
from functools import cache
from importlib.resources import files
from time import monotonic
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from dashtam import __version__
from dashtam.core.problems import NOT_FOUND, NOT_READY
from dashtam.core.service import Service
from dashtam.core.tables import Table
from dashtam.http import Now, Services, answers
from dbparity import schema

READINESS_SECONDS = 0.5
"""How long "ready" is good for: finding out reads the catalogue of the database."""

_KEYS_SECONDS = 300
_ASSETS_SECONDS = 86_400
_ASSETS = {  # name: (package, path, media type). The large ones are swagger-ui-dist's and redoc's own builds.
    "swagger-ui.css": ("fastapi_offline", "static/swagger-ui.css", "text/css"),
    "swagger-ui-bundle.js": ("fastapi_offline", "static/swagger-ui-bundle.js", "text/javascript"),
    "redoc.standalone.js": ("fastapi_offline", "static/redoc.standalone.js", "text/javascript"),
    "swagger.js": ("dashtam", "static/docs/swagger.js", "text/javascript"),
    "redoc.js": ("dashtam", "static/docs/redoc.js", "text/javascript"),
    "docs.css": ("dashtam", "static/docs/docs.css", "text/css"),
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{styles}; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Dashtam API</title>
<link rel="icon" href="data:,">
{head}
</head>
<body data-openapi="/openapi.json">
<div id="ui"></div>
<noscript>This page needs JavaScript; <a href="/openapi.json">the document itself</a> does not.</noscript>
{scripts}
</body>
</html>
"""

router = APIRouter(tags=["system"])
_log = logging.getLogger(__name__)


class Health(BaseModel):
    """That the service runs; outside prod also which version, and where."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "healthy"}]})

    status: Literal["healthy"] = "healthy"
    version: str | None = Field(None, examples=[__version__])
    environment: str | None = Field(None, examples=["dev"])


class Ready(BaseModel):
    """That the service can do its work."""

    model_config = ConfigDict(
        json_schema_serialization_defaults_required=True,
        json_schema_extra={"examples": [{"status": "ready"}]},
    )

    status: Literal["ready"] = "ready"


class PublicKeys(BaseModel):
    """The keys that access tokens are verified with (RFC 7517)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "keys": [
                        {
                            "kty": "EC",
                            "crv": "P-256",
                            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
                            "use": "sig",
                            "alg": "ES256",
                            "kid": "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U",
                        }
                    ]
                }
            ]
        }
    )

    keys: list[dict[str, str]]


class _Readiness:
    """Finds out about readiness, once at a time, and remembers for a moment that all was well."""

    def __init__(self) -> None:
        self._well_until = 0.0
        self._asking = asyncio.Lock()

    async def why_not(self, service: Service) -> str | None:
        async with self._asking:
            if monotonic() < self._well_until:
                return None
            reason = await why_not_ready(service)
            if reason is None:
                self._well_until = monotonic() + READINESS_SECONDS
            return reason


async def why_not_ready(service: Service) -> str | None:
    """Why the service cannot do its work now, in plain words, or None. In prod without names of tables."""
    try:
        async with service.database.connect() as connection:
            report = await connection.run_sync(_compare)
    except Exception as error:  # noqa: BLE001  whatever it is, the database cannot be used
        _log.warning("not ready: the database cannot be used", exc_info=error)
        return "The database cannot be used now; the log says why."
    if report.obstacles:
        _log.warning("not ready: %s", report.summary())
        known = "" if service.settings.environment == "prod" else f" ({report.summary()})"
        return f"The tables are not what this version needs{known}; `dashtam migrate up` mends it, or says what to do."
    if service.keys.loaded_at is None:
        return "The signing keys are not loaded yet; if this lasts, the log says why."
    return None


def _compare(connection: Connection) -> schema.Report:
    return schema.compare(connection, Table.metadata)


@router.get("/health", response_model_exclude_none=True, responses=answers())
async def get_health(service: Services) -> Health:
    """The process serves. Says nothing of the database: see /health/ready."""
    if service.settings.environment == "prod":
        return Health()
    return Health(version=__version__, environment=service.settings.environment)


@router.get("/health/live", response_model_exclude_none=True, responses=answers())
async def get_live() -> Health:
    """The process serves; restart it when this does not answer."""
    return Health()


@router.get("/health/ready", responses=answers(NOT_READY))
async def get_ready(request: Request, service: Services) -> Ready:
    """The database answers, its tables are what the models say, and the signing keys are loaded."""
    state = request.app.state
    if not hasattr(state, "readiness"):
        state.readiness = _Readiness()
    reason = await state.readiness.why_not(service)
    if reason is not None:
        raise NOT_READY(reason, headers={"Retry-After": "1"})
    return Ready()


@router.get("/.well-known/jwks.json", responses=answers())
async def get_jwks(service: Services, now: Now, response: Response) -> PublicKeys:
    """The public keys that verify access tokens: upcoming, active, and retired while a token may live."""
    response.headers["Cache-Control"] = f"public, max-age={_KEYS_SECONDS}"
    return PublicKeys.model_validate(service.keys.jwks(now))


@router.get("/openapi.json", include_in_schema=False)
async def get_openapi(request: Request, service: Services) -> JSONResponse:
    """The API's description of itself (OpenAPI 3.1)."""
    _only_with_docs(service)
    return JSONResponse(request.app.openapi())


@router.get("/docs", include_in_schema=False)
async def get_docs(service: Services) -> HTMLResponse:
    """The API to try out, drawn by Swagger UI."""
    _only_with_docs(service)
    return _page(styles=("swagger-ui.css", "docs.css"), scripts=("swagger-ui-bundle.js", "swagger.js"))


@router.get("/redoc", include_in_schema=False)
async def get_redoc(service: Services) -> HTMLResponse:
    """The API to read, drawn by ReDoc."""
    _only_with_docs(service)
    # ReDoc writes style elements of its own.
    return _page(
        styles=("docs.css",), scripts=("redoc.standalone.js", "redoc.js"), style_source=" 'unsafe-inline'"
    )


@router.get("/docs/assets/{name}", include_in_schema=False)
async def get_docs_asset(name: str, service: Services) -> Response:
    """A script or style sheet of the two pages, from this machine: no other is asked for anything."""
    _only_with_docs(service)
    if name not in _ASSETS:
        raise NOT_FOUND()
    content, media_type = _asset(name)
    return Response(
        content, media_type=media_type, headers={"Cache-Control": f"public, max-age={_ASSETS_SECONDS}"}
    )


def _only_with_docs(service: Service) -> None:
    if not service.settings.docs_on:
        raise NOT_FOUND()


def _page(*, styles: tuple[str, ...], scripts: tuple[str, ...], style_source: str = "") -> HTMLResponse:
    head = "\n".join(f'<link rel="stylesheet" href="/docs/assets/{name}">' for name in styles)
    tail = "\n".join(f'<script src="/docs/assets/{name}"></script>' for name in scripts)
    policy = _POLICY.format(styles=style_source)
    return HTMLResponse(_PAGE.format(head=head, scripts=tail), headers={"Content-Security-Policy": policy})


@cache
def _asset(name: str) -> tuple[bytes, str]:
    package, path, media_type = _ASSETS[name]
    return (files(package) / path).read_bytes(), media_type
