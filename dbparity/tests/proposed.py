"""What every detector proposes by itself, read off the source: the findings that dbparity can report at all."""

from __future__ import annotations

import ast
import importlib
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dbparity

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(dbparity.__file__).parent
POSITION = 4
"""Of the strictness among a Finding's arguments."""


def proposed() -> dict[str, set[str]]:
    """The detectors by name, each with the strictnesses that its findings have."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        for owner, call in _made(tree):
            module = _module(path)
            found[_named(call.args[0], owner, module)] |= _strictnesses(call, tree)
    return dict(found)


def _made(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Every `Finding(…)`, with the class in which it stands."""
    for outer in tree.body:
        owner = outer.name if isinstance(outer, ast.ClassDef) else ""
        for node in ast.walk(outer):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Finding":
                yield owner, node


def _module(path: Path) -> Any:
    return importlib.import_module(".".join(["dbparity", *path.relative_to(SOURCE).with_suffix("").parts]))


def _named(argument: ast.expr, owner: str, module: Any) -> str:
    if isinstance(argument, ast.Name):
        return str(getattr(module, argument.id))
    assert isinstance(argument, ast.Attribute)
    assert isinstance(argument.value, ast.Name)
    holder = owner if argument.value.id == "self" else argument.value.id
    return str(getattr(getattr(module, holder), argument.attr))


def _strictnesses(call: ast.Call, tree: ast.Module) -> set[str]:
    said = [each.value for each in call.keywords if each.arg == "strictness"] + call.args[
        POSITION : POSITION + 1
    ]
    if not said:
        return {"warn"}
    return _levels(said[0]) or _levels(tree)  # handed in from elsewhere in the file


def _levels(node: ast.AST) -> set[str]:
    return {
        each.attr.lower()
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute)
        and isinstance(each.value, ast.Name)
        and each.value.id == "Strictness"
    }
