"""The API's description of itself, to read and to try: from this machine alone, and only where API_DOCS is on."""

from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from dashtam.core.problems import NOT_FOUND
from dashtam.core.service import Service
from dashtam.http import Services

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

router = APIRouter(include_in_schema=False)


@router.get("/openapi.json")
async def get_openapi(request: Request, service: Services) -> JSONResponse:
    """The API's description of itself (OpenAPI 3.1)."""
    _only_with_docs(service)
    return JSONResponse(request.app.openapi())


@router.get("/docs")
async def get_docs(service: Services) -> HTMLResponse:
    """The API to try out, drawn by Swagger UI."""
    _only_with_docs(service)
    return _page(styles=("swagger-ui.css", "docs.css"), scripts=("swagger-ui-bundle.js", "swagger.js"))


@router.get("/redoc")
async def get_redoc(service: Services) -> HTMLResponse:
    """The API to read, drawn by ReDoc."""
    _only_with_docs(service)
    # ReDoc writes style elements of its own.
    return _page(
        styles=("docs.css",), scripts=("redoc.standalone.js", "redoc.js"), style_source=" 'unsafe-inline'"
    )


@router.get("/docs/assets/{name}")
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
