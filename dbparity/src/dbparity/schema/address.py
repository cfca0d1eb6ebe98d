"""Which database the migrations go to, and whether it is the one that this connection leads to.

alembic.ini names it, env.py may name another, and a variable may hold it: what can be read without running
anything is compared with the connection. A password is never shown.
"""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from dbparity.schema.bodies import called_name

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = frozenset({"", "localhost", "127.0.0.1", "::1", "[::1]"})
PLACEHOLDER = "driver"
"""What `alembic init` writes for the driver; nobody has filled such a URL in."""


@dataclass(frozen=True)
class Address:
    """Where a URL was found, and the URL, where it can be told."""

    source: str
    url: str = field(default="", repr=False)
    unset: str = ""
    """The variable that should hold it and is not set."""


@dataclass(frozen=True)
class Destination:
    """What a connection leads to: its URL, and the database's own word for its name."""

    url: URL
    database: str
    schema: str = ""
    """Where a table without a schema would be made."""

    def __str__(self) -> str:
        return self.url.render_as_string(hide_password=True)


def elsewhere(address: Address, here: Destination) -> str:
    """Say that the address is another database than this one; empty when it is not, or cannot be told."""
    try:
        url = make_url(address.url.replace("%%", "%")) if address.url else None
    except ArgumentError:
        return ""
    if url is None or url.drivername == PLACEHOLDER or _same(url, here):
        return ""
    return f"{address.source} names {url.render_as_string(hide_password=True)}, and this connection is {here}"


def _same(url: URL, here: Destination) -> bool:
    if url.get_backend_name() != here.url.get_backend_name():
        return False
    if url.get_backend_name() == "sqlite":
        return _file(url.database) == _file(here.database)
    # A connection made by a creator= has a URL without a host: only the database's name is known then.
    near = here.url.host is None or _server(url) == _server(here.url)
    return near and (url.database or url.username or "") == here.database


def _server(url: URL) -> tuple[str, int]:
    host = str(url.query.get("host", url.host or ""))
    return ("" if host in HERE or host.startswith("/") else host), url.port or 5432


def _file(name: str | None) -> str:
    if not name or name == ":memory:" or name.startswith("file:"):
        return name or ":memory:"
    return str(Path(name).resolve())


def address_in(tree: ast.Module) -> Address | None:
    """Find where env.py itself says which database; None where it does not."""
    known = {name: value for node in ast.walk(tree) for name, value in _assigned(node)}
    given = [expression for node in ast.walk(tree) for expression in _given(node)]
    found = [_resolved(each, known, f"env.py line {each.lineno}") for each in given if not _asks_ini(each)]
    return max(found, key=lambda address: (bool(address.url), bool(address.unset)), default=None)


def _asks_ini(expression: ast.expr) -> bool:
    asked = {called_name(each) for each in ast.walk(expression) if isinstance(each, ast.Call)}
    return bool(asked & {"get_main_option", "get_alembic_option", "get_section", "get_section_option"})


def _given(node: ast.AST) -> Iterator[ast.expr]:
    """Yield what is given as the URL: an option that is set, or an engine that is made."""
    if isinstance(node, ast.Call):
        name, arguments = called_name(node), node.args
        if name in {"set_main_option", "set_section_option"} and len(arguments) > 1:
            if any(isinstance(each, ast.Constant) and each.value == "sqlalchemy.url" for each in arguments):
                yield arguments[-1]
        elif name in {"create_engine", "create_async_engine"} and arguments:
            yield arguments[0]
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
        key = node.targets[0].slice
        if isinstance(key, ast.Constant) and key.value == "sqlalchemy.url":
            yield node.value


def _assigned(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        yield node.targets[0].id, node.value


def _resolved(expression: ast.expr, known: dict[str, ast.expr], source: str, depth: int = 4) -> Address:
    """Follow a name to its value and a variable of the environment to what it holds now."""
    inner = _behind(expression, known)
    if inner is not None and depth:
        return _resolved(inner, known, source, depth - 1)
    if isinstance(expression, ast.Constant):
        return Address(source, expression.value if isinstance(expression.value, str) else "")
    variable, default = _variable(expression)
    if not variable:
        return Address(source)
    held = os.environ.get(variable, "")
    if held or default is None or not depth:
        return Address(f"{source}, by {variable},", held, "" if held else variable)
    return _resolved(default, known, source, depth - 1)


def _behind(expression: ast.expr, known: dict[str, ast.expr]) -> ast.expr | None:
    """Return what the expression merely names, or spells in another way."""
    match expression:
        case ast.Name(id=name):
            return known.get(name)
        case ast.Call(func=ast.Attribute(attr="replace" | "strip", value=inner)):
            return inner
        case ast.Call(func=ast.Name(id="str"), args=[inner]):
            return inner
    return None


def _variable(expression: ast.expr) -> tuple[str, ast.expr | None]:
    match expression:
        case ast.Subscript(value=ast.Attribute(attr="environ"), slice=ast.Constant(value=str() as name)):
            return name, None
        case ast.Call(
            func=ast.Attribute(attr="getenv") | ast.Name(id="getenv"),
            args=[ast.Constant(value=str() as name), *rest],
        ):
            return name, rest[0] if rest else None
        case ast.Call(
            func=ast.Attribute(attr="get", value=ast.Attribute(attr="environ") | ast.Name(id="environ")),
            args=[ast.Constant(value=str() as name), *rest],
        ):
            return name, rest[0] if rest else None
    return "", None
