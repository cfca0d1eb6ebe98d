"""Environment variables that a test sets and leaves set.

Every change goes through the two methods of `os.environ` that are wrapped here, so each is known with its line.
Who reads a variable cannot be known (pydantic-settings reads them all): one that was left is reported at the
first later test that runs with it. Values are never shown.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from dbparity.findings import Finding
from dbparity.sessions.ledger import MISSING, Ledger, token
from dbparity.sessions.shared import LEFT_BEHIND

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from dbparity.sessions.ledger import Change
    from dbparity.sessions.scene import Scene
    from dbparity.watch import RunningTest

OWN = ("PYTEST_", "COV_", "COVERAGE_")
REMEDY = "Set it with monkeypatch.setenv, which puts the old value back."


class Environment:
    """The variables of this process that differ from what they were before the first test."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._ledger = Ledger()
        self._originals: dict[str, Callable[..., None]] = {}

    def start(self) -> None:
        """Notice every change from now on."""
        kind: Any = type(os.environ)
        self._originals = {name: getattr(kind, name) for name in ("__setitem__", "__delitem__")}
        setting, deleting, noted = kind.__setitem__, kind.__delitem__, self._scene.guarded(self._noted)

        def set_item(environ: Any, name: Any, value: Any) -> None:  # noqa: ANN401 - str, or bytes of environb
            before = environ.get(name)
            setting(environ, name, value)
            noted(name, before, value)

        def delete_item(environ: Any, name: Any) -> None:  # noqa: ANN401 - the same
            before = environ.get(name)
            deleting(environ, name)
            noted(name, before, None)

        kind.__setitem__, kind.__delitem__ = set_item, delete_item

    def stop(self) -> None:
        """Leave `os.environ` as it was."""
        for name, original in self._originals.items():
            setattr(type(os.environ), name, original)
        self._originals.clear()

    def _noted(self, name: Any, before: Any, after: Any) -> None:  # noqa: ANN401 - the same
        name = os.fsdecode(name)
        if name.startswith(OWN) or _by_dbparity():
            return
        self._ledger.note(name, _token(before), _token(after), self._scene.setter())

    def report(self, test: RunningTest) -> None:
        """Report what this test has run with, though another one set it."""
        for name, change in self._ledger.in_force():
            if change.is_foreign(test) and not change.reported:
                change.reported = True
                self._scene.report(_finding(str(name), change, test))

    def left_by(self, test: RunningTest) -> Iterator[str]:
        """The variables that this test, or a fixture set up for it, has changed and not put back."""
        for name, change in self._ledger.in_force():
            by = next((by for by in change.setters if by.test == test.nodeid), None)
            if by is not None:
                yield f"environment variable {name}, {_verb(change)} by {by}"


def _finding(name: str, change: Change, test: RunningTest) -> Finding:
    state = "is still gone" if change.token == MISSING else "still has that value"
    message = f"environment variable {name}, {_verb(change)} by {change.setter}, {state} in {test.nodeid}."
    return Finding(LEFT_BEHIND, message, (), REMEDY)


def _verb(change: Change) -> str:
    return "removed" if change.token == MISSING else "set"


def _token(value: Any) -> Hashable:  # noqa: ANN401 - the same
    return MISSING if value is None else token(os.fsdecode(value))


def _by_dbparity() -> bool:
    writer = sys._getframe(6).f_globals.get("__name__", "")  # noqa: SLF001 - who assigns to os.environ, behind the guard
    return str(writer).startswith("dbparity.")
