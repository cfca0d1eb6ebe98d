"""What a revision's upgrade does, read from its source: nothing, something guarded, which tables it makes.

Read, not run: what a body would do depends on the machine, and its text does not.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Calls that change nothing by themselves: a body of these alone does nothing.
IDLE = frozenset(
    {"get_bind", "get_context", "print", "getLogger", "debug", "info", "warning", "getenv", "get", "inspect"}
)
# Calls behind which tables can be made without their names standing in the revision.
OPAQUE = frozenset({"create_all", "read_text", "open", "read", "import_module"})
_CREATED = re.compile(r"\bcreate\s+table\s+(?:if\s+not\s+exists\s+)?([\w.\"]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Guard:
    """A condition, or a `try` that swallows errors, on which work of the revision depends."""

    line: int
    text: str
    words: frozenset[str]


@dataclass(frozen=True)
class Body:
    """An upgrade as its source tells it."""

    line: int = 0
    empty: bool = False
    guards: tuple[Guard, ...] = ()
    words: frozenset[str] = frozenset()
    """Every word of every text in it: an object that it makes by name is among them."""

    opaque: bool = False
    """Whether it can make objects whose names do not stand in it."""

    makes: tuple[str, ...] = ()
    removes: tuple[str, ...] = ()
    """Tables made, and dropped or renamed, by their names."""

    alone: bool = False
    """Whether it commits in the middle (an autocommit block)."""

    calls: frozenset[str] = field(default=frozenset(), repr=False)

    def mentions(self, name: str) -> bool:
        """Whether the object may be made here."""
        return self.opaque or name.rpartition(".")[2] in self.words


def body_of(path: Path) -> Body:
    """Read the upgrade of this revision; nothing is known of a file that is not there as source."""
    try:
        return _read(path, path.stat().st_mtime_ns)
    except (OSError, SyntaxError, UnicodeDecodeError):
        return Body(opaque=True)


@cache
def _read(path: Path, _changed: int) -> Body:
    module = ast.parse(path.read_text("utf-8"))
    upgrade = next((each for each in module.body if _is_function(each, "upgrade")), None)
    if not isinstance(upgrade, ast.FunctionDef):
        return Body(opaque=True)
    made = [each for each in module.body if not _is_function(each, "downgrade")]
    calls = frozenset(name for part in made for name in _called(part))
    return Body(
        line=upgrade.lineno,
        empty=not frozenset(_called(*upgrade.body)) - IDLE,
        guards=tuple(_guards(upgrade)),
        words=frozenset(word for part in made for word in _words(part)),
        opaque=bool(calls & OPAQUE),
        makes=tuple(_made(upgrade)),
        removes=tuple(_named(upgrade, "drop_table", "rename_table")),
        alone="autocommit_block" in calls,
        calls=calls,
    )


def _is_function(node: ast.stmt, name: str) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name == name


def _called(*nodes: ast.AST) -> Iterator[str]:
    for node in (each for root in nodes for each in ast.walk(root)):
        if isinstance(node, ast.Call):
            yield called_name(node)


def called_name(call: ast.Call) -> str:
    """The last word of what is called: `execute` for `op.execute(...)`."""
    function = call.func
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _words(node: ast.AST) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value
            yield from re.findall(r"\w+", each.value)


def _made(upgrade: ast.AST) -> Iterator[str]:
    yield from _named(upgrade, "create_table")
    for each in ast.walk(upgrade):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield from (name.replace('"', "") for name in _CREATED.findall(each.value))


def _named(upgrade: ast.AST, *functions: str) -> Iterator[str]:
    """Yield the tables that these operations are called with."""
    for call in ast.walk(upgrade):
        if isinstance(call, ast.Call) and called_name(call) in functions and call.args:
            first = call.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                schema = next((word.value for word in call.keywords if word.arg == "schema"), None)
                named = schema.value if isinstance(schema, ast.Constant) else None
                yield f"{named}.{first.value}" if isinstance(named, str) else first.value


def _guards(upgrade: ast.FunctionDef) -> Iterator[Guard]:
    for place, statement in enumerate(upgrade.body):
        rest = upgrade.body[place + 1 :]
        for node in ast.walk(statement):
            if isinstance(node, ast.If):
                yield from _condition(node, rest)
            elif isinstance(node, ast.Try) and _swallows(node) and _works(node):
                yield Guard(node.lineno, "try, with its errors swallowed", _all_words(*node.body))


def _condition(node: ast.If, rest: list[ast.stmt]) -> Iterator[Guard]:
    leaves = any(isinstance(each, ast.Return) for part in node.body for each in ast.walk(part))
    guarded = [node, *rest] if leaves else [node]
    if leaves or _works(node):
        yield Guard(node.lineno, f"if {ast.unparse(node.test)}", _all_words(*guarded))


def _works(node: ast.AST) -> bool:
    return bool(frozenset(_called(node)) - IDLE)


def _all_words(*nodes: ast.AST) -> frozenset[str]:
    return frozenset(word for node in nodes for word in _words(node))


def _swallows(node: ast.Try) -> bool:
    return any(not any(isinstance(each, ast.Raise) for each in ast.walk(part)) for part in node.handlers)
