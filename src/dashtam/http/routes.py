"""Routes that read strictly: nothing but plain JSON, and no query parameter that is not declared.

A route of FastAPI's own accepts UTF-16, duplicate names and NaN, and ignores what it does not know.
"""

from collections.abc import Callable, Coroutine, Iterable
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from typing_extensions import override

from dashtam.core.problems import INVALID_REQUEST, MALFORMED_REQUEST, UNSUPPORTED_MEDIA_TYPE, FieldError
from dashtam.http import strict_json
from dashtam.http.refusals import invalid

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_JSON = frozenset(
    {b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"}
)


class _ParsedRequest(Request):
    """A request whose JSON has been read already."""

    parsed: Any = None

    @override
    async def json(self) -> Any:
        return self.parsed


class StrictRoute(APIRoute):
    """A route that refuses what it does not understand, before anything of it runs."""

    @override
    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        declared = frozenset(_query_names(self.dependant))
        documented = self.include_in_schema  # pages are not, and mail programs append what they like to links
        takes_json = self.body_field is not None
        fields = _field_names(self)

        async def strict(request: Request) -> Response:
            if documented and request.scope["query_string"]:
                _refuse_undeclared(request.scope["query_string"], declared)
            if takes_json:
                request = await _read_json(request)
            try:
                return await handle(request)
            except RequestValidationError as error:
                raise invalid(error, fields) from None

        return strict


def add_routes(app: FastAPI, router: APIRouter, prefix: str = "") -> None:
    """Put a feature's routes into the application, each as a strict route at its full path.

    Flat, so that finding a route is one walk over one list; an included router is searched twice a request.
    """
    for route in router.routes:
        assert isinstance(route, APIRoute), "features declare API routes"  # noqa: S101
        app.router.add_api_route(
            prefix + route.path,
            route.endpoint,
            methods=route.methods,
            response_model=route.response_model,
            response_model_exclude_none=route.response_model_exclude_none,
            response_class=route.response_class,
            status_code=route.status_code,
            responses=route.responses,
            response_description=route.response_description,
            tags=route.tags,
            dependencies=route.dependencies,
            summary=route.summary or _title(route.name),
            description=route.description,
            name=route.name,
            operation_id=route.operation_id or route.name,
            include_in_schema=route.include_in_schema,
            openapi_extra=route.openapi_extra,
            route_class_override=StrictRoute,
        )


def _title(name: str) -> str | None:
    """`post_password_reset` as people read it: "Password reset"."""
    return name.partition("_")[2].replace("_", " ").capitalize() or None


async def _read_json(request: Request) -> Request:
    body = await request.body()
    if not body:
        return request  # FastAPI says that the body is missing
    _refuse_other_media(request)
    parsed = _ParsedRequest(request.scope, request.receive)
    parsed._body = body  # noqa: SLF001  Starlette's own cache, which its `body()` looks into first
    try:
        parsed.parsed = strict_json.loads(body)
    except strict_json.BadJsonError as error:
        raise MALFORMED_REQUEST(str(error)) from None
    return parsed


def _refuse_other_media(request: Request) -> None:
    types = [value for name, value in request.scope["headers"] if name == b"content-type"]
    if len(types) != 1 or (types[0] not in _JSON and _normal(types[0]) not in _JSON):
        raise UNSUPPORTED_MEDIA_TYPE(headers={"Accept": "application/json"})
    if any(
        name == b"content-encoding" and value.lower() != b"identity"
        for name, value in request.scope["headers"]
    ):
        raise UNSUPPORTED_MEDIA_TYPE(headers={"Accept-Encoding": "identity"})


def _normal(media_type: bytes) -> bytes:
    return media_type.lower().replace(b'"', b"").replace(b" ", b"").replace(b"\t", b"")


def _refuse_undeclared(query: bytes, declared: frozenset[str]) -> None:
    names = [name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)]
    errors: list[FieldError] = []
    if any(name not in declared for name in names):
        known = f"; this takes {', '.join(sorted(declared))}" if declared else "; this takes none"
        errors.append(FieldError("/query", f"has an unknown parameter{known}"))
    errors += [
        FieldError(f"/query/{name}", "is given twice") for name in sorted(declared) if names.count(name) > 1
    ]
    if errors:
        raise INVALID_REQUEST(errors=errors)


def _query_names(dependant: Dependant) -> Iterable[str]:
    for field in dependant.query_params:
        yield field.alias
    for inner in dependant.dependencies:
        yield from _query_names(inner)


def _field_names(route: APIRoute) -> tuple[str, ...]:
    model = route.body_field.field_info.annotation if route.body_field else None
    return tuple(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else ()
