"""Refusals as answers: the one renderer of problems (RFC 9457), also for other people's exceptions."""

import json
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.routing import compile_path
from typing_extensions import override

from dashtam.core import logs
from dashtam.core.audit import Client
from dashtam.core.problems import (
    CATALOGUE,
    INTERNAL_ERROR,
    INVALID_REQUEST,
    MALFORMED_REQUEST,
    METHOD_NOT_ALLOWED,
    FieldError,
    Problem,
    ProblemType,
)

MEDIA_TYPE = "application/problem+json"
_SERVER_ERROR = 500
_BY_STATUS = {type_.status: type_ for type_ in reversed(CATALOGUE)}

# Our own words for what Pydantic finds, because some of its own quote the input.
_WORDS = {
    "missing": "is required",
    "string_type": "must be a string",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "string_unicode": "must be well-formed Unicode",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "uuid_parsing": "must be a UUID",
    "uuid_type": "must be a UUID",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "dict_type": "must be an object",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
}


class Refusal(JSONResponse):
    """An answer that is a problem. An operation that *returns* one keeps what it has written."""

    media_type = MEDIA_TYPE

    @override
    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode()


def refusal(problem: Problem, client: Client | None = None) -> Refusal:
    """The answer for this problem, with the id of the request it belongs to."""
    body: dict[str, Any] = {
        "type": problem.type.urn,
        "title": problem.type.title,
        "status": problem.type.status,
        "detail": problem.detail,
        "request_id": client.request_id if client else logs.request_id.get(),
    }
    if problem.errors:
        body["errors"] = [{"pointer": error.pointer, "message": error.message} for error in problem.errors]
    return Refusal(body, status_code=problem.type.status, headers=problem.headers)


def handle_all(app: FastAPI) -> None:
    """Turn every expected exception of this application into a problem. The front door takes the others."""
    app.exception_handler(Problem)(_problem)
    app.exception_handler(HTTPException)(_http_exception)
    app.exception_handler(RequestValidationError)(_validation_error)


async def _problem(_request: Request, error: Problem) -> Refusal:
    return refusal(error)


async def _http_exception(request: Request, error: HTTPException) -> Refusal:
    type_ = _type_of(error.status_code)
    if type_ is METHOD_NOT_ALLOWED:
        return refusal(
            type_(headers={"Allow": ", ".join(allowed_methods(request.app, request.scope["path"]))})
        )
    return refusal(type_(headers=error.headers))


async def _validation_error(_request: Request, error: RequestValidationError) -> Refusal:
    return refusal(invalid(error))


def _type_of(status: int) -> ProblemType:
    return _BY_STATUS.get(status, INTERNAL_ERROR if status >= _SERVER_ERROR else MALFORMED_REQUEST)


def allowed_methods(app: FastAPI, path: str) -> list[str]:
    """Every method that some route answers at this path (RFC 9110 section 10.2.1), HEAD wherever GET is."""
    methods = {
        method
        for template, ways in _templates(app)
        if compile_path(template)[0].match(path)
        for method in ways
    }
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


def _templates(app: FastAPI) -> Iterator[tuple[str, set[str]]]:
    for route in iter_route_contexts(app.routes):
        if route.path is not None and route.methods:
            yield route.path, route.methods


def invalid(error: RequestValidationError, known: tuple[str, ...] = ()) -> Problem:
    """The problem for input that does not fit its model. Says where and what, never what was sent.

    The name of an unknown field is input too, so the fields that are `known` are told instead.
    """
    return INVALID_REQUEST(errors=[_field_error(fault, known) for fault in error.errors()])


def _field_error(fault: dict[str, Any], known: tuple[str, ...]) -> FieldError:
    where, *path = fault["loc"]
    if fault["type"] == "extra_forbidden":
        rest = f"; this takes {', '.join(known)}" if known and len(path) == 1 else ""
        return FieldError(_pointer(where, path[:-1]), f"has an unknown field{rest}")
    return FieldError(_pointer(where, path), _words(fault))


def _pointer(where: str, path: list[str | int]) -> str:
    """RFC 6901 into the body; what stands in the query, the path or a header is named as such."""
    steps = path if where == "body" else [where, *path]
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def _words(fault: dict[str, Any]) -> str:
    if fault["type"] == "value_error":  # raised by a validator of ours, in our words
        return str(fault["ctx"]["error"])
    return _WORDS.get(fault["type"], "is not as it must be").format_map(fault.get("ctx") or {})
