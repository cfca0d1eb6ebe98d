"""The OpenAPI document: every status that a route can answer, each with its media type and an example.

What a route may refuse is said beside it, with `answers(...)`. What the front door may refuse holds for every
route and is added here.
"""

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from dashtam.core.problems import (
    BODY_TOO_LARGE,
    HEADERS_TOO_LARGE,
    INTERNAL_ERROR,
    INVALID_REQUEST,
    MALFORMED_REQUEST,
    MISDIRECTED_REQUEST,
    NOT_READY,
    SERVICE_BUSY,
    SESSION_INVALID,
    UNSUPPORTED_MEDIA_TYPE,
    URI_TOO_LONG,
    ProblemType,
)
from dashtam.http.refusals import MEDIA_TYPE

Responses = dict[int | str, dict[str, Any]]

ANYWHERE = (
    MALFORMED_REQUEST,
    BODY_TOO_LARGE,
    URI_TOO_LONG,
    MISDIRECTED_REQUEST,
    INVALID_REQUEST,
    HEADERS_TOO_LARGE,
    INTERNAL_ERROR,
    SERVICE_BUSY,
    NOT_READY,
)
"""What any route may answer."""

WITH_A_BODY = (UNSUPPORTED_MEDIA_TYPE,)
"""What any route that takes a body may answer besides."""

_REQUEST_ID = "01980a2f-6f1c-7d3e-9a51-3c2f0e8b7d64"
_ERRORS = [{"pointer": "/email", "message": "is required"}]
_TEXT = {"type": "string"}
_SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "A refusal (RFC 9457). `type` is stable; compare that, not the words.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "request_id"],
    "additionalProperties": False,
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "Which problem it is."},
        "title": _TEXT | {"description": "The same words for every occurrence of this type."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": _TEXT | {"description": "What happened this time and what to do."},
        "request_id": _TEXT | {"description": "The same as the header X-Request-ID; finds it in the log."},
        "errors": {
            "type": "array",
            "description": "With 422: what is wrong, and where.",
            "items": {
                "type": "object",
                "required": ["pointer", "message"],
                "additionalProperties": False,
                "properties": {
                    "pointer": _TEXT | {"description": "JSON Pointer (RFC 6901) into the body."},
                    "message": _TEXT,
                },
            },
        },
    },
}
_RETRY_AFTER = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "string", "pattern": "^[0-9]+$"}}
}
_HEADERS = {
    401: {"WWW-Authenticate": {"description": "RFC 6750 section 3.", "schema": {"type": "string"}}},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}


def answers(*problems: ProblemType) -> Responses:
    """The `responses` of a route that may refuse with these problems."""
    documented: Responses = {}
    for type_ in problems:
        response = documented.setdefault(type_.status, _empty(type_))
        response["content"][MEDIA_TYPE]["examples"][type_.slug] = _example(type_)
    return documented


def describe(app: FastAPI) -> None:
    """Let this application document itself completely."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _empty(type_: ProblemType) -> dict[str, Any]:
    media = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}
    response = {"description": type_.title, "content": {MEDIA_TYPE: media}}
    headers = _HEADERS.get(type_.status)
    return response | ({"headers": headers} if headers and type_ is not SESSION_INVALID else {})


def _example(type_: ProblemType) -> dict[str, Any]:
    value: dict[str, Any] = {
        "type": type_.urn,
        "title": type_.title,
        "status": type_.status,
        "detail": type_.detail,
        "request_id": _REQUEST_ID,
    }
    if type_ is INVALID_REQUEST:
        value["errors"] = _ERRORS
    return {"summary": type_.title, "value": value}


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
        servers=[{"url": "/", "description": "This server"}],
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = _SCHEMA
    for operation in _operations(document):
        _complete(operation)
        _show(operation, schemas)
    return document


def _show(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Show beside each success what its model says that it looks like."""
    for response in operation["responses"].values():
        media = response.get("content", {}).get("application/json", {})
        schema, is_list = media.get("schema", {}), media.get("schema", {}).get("type") == "array"
        name = (schema["items"] if is_list else schema).get("$ref", "").rpartition("/")[2]
        for example in schemas.get(name, {}).get("examples", ()):
            media.setdefault("example", [example] if is_list else example)


def _operations(document: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()


def _complete(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    if "application/json" in responses.get("422", {}).get("content", {}):
        del responses["422"]  # FastAPI's own
    common = [*ANYWHERE, *(WITH_A_BODY if "requestBody" in operation else ())]
    if "security" in operation:
        common.append(SESSION_INVALID)
    for status, response in answers(*common).items():
        present = responses.setdefault(str(status), response)
        mine = present.setdefault("content", {}).setdefault(MEDIA_TYPE, response["content"][MEDIA_TYPE])
        mine["examples"] = {**response["content"][MEDIA_TYPE]["examples"], **mine.get("examples", {})}
    operation["responses"] = dict(sorted(responses.items()))
