"""Functions, classes and settings of the application that a test replaces and leaves replaced.

A `mock.patch(...).start()` without its `stop()`, a plain `app.mail.send = fake`. Nothing tells of such a change, so
the application's modules, the classes they define and their settings objects are compared with what they held,
once a test. Containers, counters and lazily made singletons change by themselves and are no findings: only what
was a function or a class, an UPPER_CASE setting, or is a mock now.

Comparing dicts by identity costs some 15 ns an attribute. Where an application is too large for the budget, a test
compares a part of it, and the next test goes on from there.
"""

from __future__ import annotations

import functools
import sys
import time
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbparity.findings import Finding
from dbparity.origin import Origin
from dbparity.sessions.ledger import Ledger, Setter, token
from dbparity.sessions.shared import LEFT_BEHIND
from dbparity.sessions.watched import NOTHING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from dbparity.sessions.ledger import Change, Fixture
    from dbparity.sessions.scene import Scene
    from dbparity.watch import RunningTest

BUDGET_SECONDS = 0.00015
STEP = 16
REMEDY = "Replace it with monkeypatch.setattr or `with mock.patch(...)`, which put the original back."
_CODE = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, type, staticmethod, classmethod)
_VALUES = (str, bytes, int, float, bool, type(None))
_SETTINGS = frozenset({"BaseSettings"})
SHOWN = 3


@dataclass(eq=False)
class Holder:
    """A module, a class or a settings object, and what it held when it was last looked at."""

    name: str
    attributes: Mapping[str, Any]
    is_settings: bool = False
    held: dict[str, Any] = field(default_factory=dict)
    looked: int = 0
    """The number of the test after which it was last looked at."""

    def differences(self) -> Iterator[tuple[str, Any, Any]]:
        """Each attribute that holds something else now: its name, what it held, what it holds."""
        now = dict(self.attributes)
        before, self.held = self.held, now
        for name, old in before.items():
            new = now.get(name, NOTHING)
            if new is not old and self._counts(name, old, new):
                yield name, old, new

    def _counts(self, name: str, old: Any, new: Any) -> bool:  # noqa: ANN401 - whatever it holds
        if isinstance(old, _CODE) or _is_mock(old) or _is_mock(new):
            return True
        return (self.is_settings or name.isupper()) and isinstance(old, _VALUES) and token(old) != token(new)


class Attributes:
    """The application's modules and what they hold."""

    def __init__(self, scene: Scene, root: Path, packages: tuple[str, ...] = ()) -> None:
        self._scene = scene
        self._root = f"{root}/"
        self._packages = packages
        self._ledger = Ledger()
        self._holders: list[Holder] = []
        self._known: set[str] = set()
        self._seen = 0
        self._next = 0
        self._tests = 0
        self._unsure: dict[Holder, int] = {}

    def look_around(self) -> None:
        """Take stock of application modules that were imported since."""
        if len(sys.modules) == self._seen:
            return
        self._seen = len(sys.modules)
        for name, module in list(sys.modules.items()):
            if name not in self._known:
                self._known.add(name)
                if self._is_application(name, module):
                    self._take(holders_of(name, module))

    def _take(self, holders: Iterable[Holder]) -> None:
        for holder in holders:
            holder.looked = self._tests
            self._holders.append(holder)

    def _is_application(self, name: str, module: Any) -> bool:  # noqa: ANN401 - some are no modules
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not isinstance(module, types.ModuleType):
            return False
        if name.partition(".")[0] == "dbparity":
            return False
        stem = Path(file).stem
        if "site-packages" in file or stem.startswith(("test_", "conftest")) or stem.endswith("_test"):
            return False
        return name.partition(".")[0] in self._packages or file.startswith(self._root)

    def compare(self, test: RunningTest, fixture: Fixture | None = None) -> None:
        """Note what was replaced since the last look, by this test or by a fixture set up for it."""
        self.look_around()
        self._tests += fixture is None
        setter = Setter(test.nodeid, fixture)
        until = time.perf_counter() + BUDGET_SECONDS
        start, self._next = self._next, 0
        for count, holder in enumerate(self._holders[start:] + self._holders[:start], start):
            if not _is_same(holder.attributes, holder.held):
                self._note(holder, setter)
            holder.looked = self._tests
            if count % STEP == 0 and fixture is None and time.perf_counter() > until:
                self._next = (count + 1) % len(self._holders)
                return

    def _note(self, holder: Holder, setter: Setter) -> None:
        for name, old, new in holder.differences():
            self._ledger.note((holder, name), token(old), token(new), setter)
            self._unsure[holder] = self._tests - holder.looked - 1

    def report(self, test: RunningTest) -> None:
        """Report what this test has run with, though another one replaced it."""
        if not self._ledger:
            return
        mine = Setter(test.nodeid)
        for holder in {key[0] for key, _ in self._in_force()}:
            self._note(holder, mine)  # what it has replaced itself, or put back, by now
            holder.looked = self._tests
        left: dict[tuple[Holder, Setter], list[str]] = {}
        for (holder, name), change in self._in_force():
            if change.is_foreign(test) and not change.reported:
                change.reported = True
                left.setdefault((holder, change.setter), []).append(name)
        for (holder, setter), names in left.items():
            self._scene.report(self._finding(holder, setter, names, test))

    def _in_force(self) -> Iterator[tuple[tuple[Holder, str], Change]]:
        yield from self._ledger.in_force()  # type: ignore[misc]

    def _finding(self, holder: Holder, setter: Setter, names: list[str], test: RunningTest) -> Finding:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        what = ", ".join(f"{holder.name}.{name}" for name in names[:SHOWN]) + more
        before = self._unsure.get(holder, 0)
        by = f"{setter} or one of the {before} tests before it" if before > 0 else setter
        verb = "is" if len(names) == 1 else "are"
        message = f"{what}, replaced by {by}, {verb} still replaced in {test.nodeid}."
        evidence = (f"{holder.name}.{name} is {_described(holder.held.get(name, NOTHING))}" for name in names)
        return Finding(LEFT_BEHIND, message, tuple(evidence)[:SHOWN], REMEDY)

    def left_by(self, test: RunningTest) -> Iterator[str]:
        """What this test, or a fixture set up for it, has replaced and not put back."""
        for (holder, name), change in self._in_force():
            by = next((by for by in change.setters if by.test == test.nodeid), None)
            if by is not None:
                yield f"{holder.name}.{name}, replaced by {by}"


def holders_of(name: str, module: types.ModuleType) -> Iterator[Holder]:
    """A module, the classes it defines, and the settings objects it holds."""
    yield Holder(name, vars(module), held=dict(vars(module)))
    for attribute, value in list(vars(module).items()):
        if isinstance(value, type) and value.__module__ == name:
            yield Holder(f"{name}.{attribute}", vars(value), held=dict(vars(value)))
        elif _SETTINGS & {base.__name__ for base in type(value).__mro__} and not isinstance(value, type):
            yield Holder(f"{name}.{attribute}", vars(value), is_settings=True, held=dict(vars(value)))


def _is_same(attributes: Mapping[str, Any], held: dict[str, Any]) -> bool:
    """Whether nothing was replaced. Dicts compare by identity first, and that is all there is if nothing was."""
    try:
        return bool(attributes == held)
    except Exception:  # noqa: BLE001 - a replaced value whose own comparison fails
        return False


def _is_mock(value: Any) -> bool:  # noqa: ANN401 - anything
    mock = sys.modules.get("unittest.mock")
    return mock is not None and isinstance(value, mock.NonCallableMock)


def _described(value: Any) -> str:  # noqa: ANN401 - anything
    if value is NOTHING:
        return "gone"
    if isinstance(value, functools.partial):
        value = value.func
    code = getattr(value, "__code__", None)
    if isinstance(code, types.CodeType):
        return f"now {value.__qualname__} ({Origin(code.co_filename, code.co_firstlineno, code.co_name)})"
    return f"now {'another' if isinstance(value, _VALUES) else 'a'} {type(value).__name__}"
