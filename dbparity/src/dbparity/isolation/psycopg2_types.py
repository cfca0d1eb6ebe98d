"""psycopg2's functions written in C, which look through no disguise: they want a real connection.

SQLAlchemy gives each new connection of psycopg2 its types (UUID, JSON, hstore) by `register_type`, and applications
add their own. For a facade they go to the real connection that it is a part of.
"""

from __future__ import annotations

from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dbparity.isolation.cursor import FacadeCursor
from dbparity.isolation.facade import Facade

if TYPE_CHECKING:
    from collections.abc import Callable

_FUNCTIONS = ("register_type", "quote_ident")
_MODULES = ("extensions", "extras", "_json", "_range", "_ipaddress")
"""The modules that have one of these functions under a name of their own."""


def accept_facades() -> None:
    """Let these functions take facades, for the rest of the process; real connections are served as before."""
    for module in map(import_module, (f"psycopg2.{name}" for name in _MODULES)):
        for name in _FUNCTIONS:
            function = getattr(module, name, None)
            if function is not None and not hasattr(function, "__wrapped__"):
                setattr(module, name, _unveiled(function))


def _unveiled(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(first: Any, *scope: Any) -> Any:  # noqa: ANN401 - a type, or a name
        return function(first, *map(_real, scope))

    return call


def _real(scope: object) -> object:
    if type(scope) is FacadeCursor:
        scope = scope.connection
    return scope.real if type(scope) is Facade else scope
