"""env.py read as text: what in it can make an upgrade that reports success and leaves nothing behind.

It is never run, and what is found is evidence beside the state of the database, never proof of it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dbparity.schema.address import Address, address_in
from dbparity.schema.bodies import called_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STATEMENTS = frozenset({"execute", "exec_driver_sql", "scalar", "scalars"})
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


@dataclass(frozen=True)
class Note:
    """Something in env.py that is known to lead somewhere: to which way, and the sentence that says where."""

    way: int
    sentence: str


@dataclass(frozen=True)
class Environment:
    """What env.py says, as far as its text tells it."""

    notes: tuple[Note, ...] = ()
    commits_each: str = ""
    """Where it asks for a transaction for each migration."""

    address: Address | None = field(default=None, repr=False)
    """The database that it names itself; None where it leaves that to alembic.ini."""

    def about(self, *ways: int) -> tuple[str, ...]:
        """What speaks for these ways."""
        return tuple(note.sentence for note in self.notes if note.way in ways)


def read(path: Path) -> Environment:
    """Read env.py; nothing is known of one that is missing or cannot be parsed."""
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return Environment()
    each = next(_keywords(tree, "transaction_per_migration", True), 0)
    each_line = (
        f"env.py line {each} commits each migration by itself (transaction_per_migration)" if each else ""
    )
    return Environment(
        notes=tuple(_notes(tree, each)),
        commits_each=each_line,
        address=address_in(tree),
    )


def _notes(tree: ast.Module, commits_each: int) -> Iterator[Note]:
    kept = any(_opens(tree, "begin"))  # somebody outside Alembic's transaction commits it
    shared = any(isinstance(node, ast.AsyncFunctionDef) for node in ast.walk(tree))
    for scope in _online(tree):
        if not kept:
            yield from _early_statement(scope, 7 if shared else 4)
        if not kept and not commits_each:
            yield from _no_transaction(scope, tree)
        yield from _swallowed(scope)
    yield from _metadata(tree)
    yield from _schemas(tree)


def _online(tree: ast.Module) -> Iterator[ast.Module | _Function]:
    """Yield the module and its functions, except those that only write SQL for `--sql`."""
    yield tree
    for node in ast.walk(tree):
        if isinstance(node, _Function) and "offline" not in node.name:
            by_url = any("url" in _arguments(call) for call in _calls(node, "configure"))
            if not by_url or any("connection" in _arguments(call) for call in _calls(node, "configure")):
                yield node


def _early_statement(scope: ast.Module | _Function, way: int) -> Iterator[Note]:
    """A statement before `configure()` begins a transaction, which Alembic then takes for somebody else's."""
    handed_over = [call.lineno for call in _calls(scope, "configure", "run_sync")]
    commits = [call.lineno for call in _calls(scope, "commit")]
    for call in _calls(scope, *STATEMENTS):
        later = [line for line in handed_over if line > call.lineno]
        if later and not any(line >= call.lineno for line in commits):
            yield Note(
                way,
                f"env.py line {call.lineno} runs a statement before line {later[0]} hands the connection to"
                " Alembic, and nothing commits: Alembic leaves that transaction to whoever began it",
            )
            return


def _no_transaction(scope: ast.Module | _Function, tree: ast.Module) -> Iterator[Note]:
    begun = {
        id(call) for part in _opens(tree, "begin_transaction") for call in _calls(part, "run_migrations")
    }
    if isinstance(scope, ast.Module) and not any(_calls(scope, "configure")):
        return
    for call in _calls(scope, "run_migrations"):
        if id(call) not in begun:
            yield Note(
                5,
                f"env.py line {call.lineno} runs the migrations outside `with context.begin_transaction()`:"
                " nobody commits them",
            )


def _swallowed(scope: ast.Module | _Function) -> Iterator[Note]:
    for node in _own(scope):
        if not isinstance(node, ast.Try) or not any(_calls(node, "run_migrations", "run_sync")):
            continue
        quiet = [part for part in node.handlers if not _ends(part)]
        if quiet:
            yield Note(15, f"env.py line {quiet[0].lineno} goes on after an error of the migrations")


def _ends(handler: ast.ExceptHandler) -> bool:
    """Whether it raises, or leaves the program."""
    exits = any(called_name(call) in {"exit", "_exit"} for call in _calls(handler, "exit", "_exit"))
    return exits or any(isinstance(node, ast.Raise) for node in ast.walk(handler))


def _metadata(tree: ast.Module) -> Iterator[Note]:
    for node in tree.body:
        names = [target.id for target in _targets(node) if isinstance(target, ast.Name)]
        value = getattr(node, "value", None)
        bare = isinstance(value, ast.Call) and called_name(value) == "MetaData"
        if "target_metadata" in names and (bare or isinstance(value, ast.Constant)):
            yield Note(
                3, f"env.py line {node.lineno}: target_metadata is empty, so autogenerate sees no models"
            )


def _targets(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) else []


def _schemas(tree: ast.Module) -> Iterator[Note]:
    for call in _calls(tree, "configure", deep=True):
        for word in call.keywords:
            if word.arg in {"version_table", "version_table_schema"} and isinstance(word.value, ast.Constant):
                yield Note(12, f"env.py line {word.value.lineno}: {word.arg} is {word.value.value!r}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and "search_path" in str(node.value).lower():
            yield Note(12, f"env.py line {node.lineno} sets search_path")
            return


def _keywords(tree: ast.Module, name: str, value: object) -> Iterator[int]:
    for call in _calls(tree, "configure", deep=True):
        for word in call.keywords:
            if word.arg == name and isinstance(word.value, ast.Constant) and word.value.value is value:
                yield word.value.lineno


def _arguments(call: ast.Call) -> set[str]:
    return {word.arg for word in call.keywords if word.arg}


def _opens(tree: ast.AST, name: str) -> Iterator[ast.With | ast.AsyncWith]:
    """Yield the `with` blocks that enter such a call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.With | ast.AsyncWith):
            entered = [item.context_expr for item in node.items]
            if any(isinstance(each, ast.Call) and called_name(each) == name for each in entered):
                yield node


def _calls(scope: ast.AST, *names: str, deep: bool = False) -> Iterator[ast.Call]:
    """Yield calls of these methods in the order of their lines; those of inner functions only when `deep`."""
    nodes = ast.walk(scope) if deep else _own(scope)
    found = [each for each in nodes if isinstance(each, ast.Call) and called_name(each) in names]
    yield from sorted(found, key=lambda call: (call.lineno, call.col_offset))


def _own(scope: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, _SCOPES):
            yield from _own(child)
