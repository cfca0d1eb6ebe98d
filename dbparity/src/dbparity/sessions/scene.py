"""Who is at work at this moment: which test, which fixture of it, or the application being made."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

from dbparity.origin import Origin, caller
from dbparity.sessions.ledger import Fixture, Setter
from dbparity.sessions.shared import LEFT_BEHIND

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from dbparity.findings import Finding
    from dbparity.guard import Guard
    from dbparity.watch import RunningTest, Watch

IMPORTING = "<frozen importlib._bootstrap>"
PYTEST = "pluggy"
DEPTH = 200

T = TypeVar("T")


class Scene:
    """The running test and its fixtures, as pytest tells of them."""

    def __init__(self) -> None:
        self._watch: Watch | None = None
        self._guard: Guard | None = None
        self.closing = False
        """Whether the test's own code is through, or was never reached."""
        self._setting_up: list[Fixture] = []
        self._standing: set[Fixture] = set()

    def open(self, watch: Watch | None) -> None:
        """Follow this watch; None: nobody is at work any more."""
        self._watch = watch
        self._guard = watch.guard(LEFT_BEHIND) if watch is not None else None

    def guarded(self, work: Callable[..., T]) -> Callable[..., T | None]:
        """What the application calls unknowingly: never fails, and does nothing while nobody watches."""

        def run(*arguments: Any) -> T | None:  # noqa: ANN401 - handed through
            return self._guard.run(work, *arguments) if self._guard is not None else None

        return run

    def test_began(self) -> None:
        """From here on, what is seen is seen by a test."""
        self.closing = False
        self._setting_up.clear()

    def test_called(self) -> None:
        """Fixtures are torn down from here on: what they see, no test sees."""
        self.closing = True

    def fixture_began(self, name: str, scope: str) -> None:
        """What is set from here on, this fixture sets."""
        fixture = Fixture(name, scope, self._watch.fixture_home if self._watch else "")
        self._setting_up.append(fixture)
        if fixture.is_shared:
            self._standing.add(fixture)

    def fixture_ended(self) -> Fixture | None:
        """The innermost fixture is set up."""
        return self._setting_up.pop() if self._setting_up else None

    def fixture_finalized(self, name: str, scope: str) -> None:
        """A fixture is torn down."""
        if scope != "function":
            self._standing = {each for each in self._standing if (each.name, each.scope) != (name, scope)}

    def is_standing(self, fixture: Fixture | None) -> bool:
        """Whether this is a shared fixture that was set up and is not torn down yet."""
        return fixture is not None and fixture in self._standing

    @property
    def viewer(self) -> RunningTest | None:
        """The test that sees what is there now; None between tests and while fixtures are torn down."""
        return self._watch.test if self._watch is not None and not self.closing else None

    def setter(self, made_in: Origin | None = None) -> Setter | None:
        """Who changes something now; None for what makes the application: imports, and the function `made_in`."""
        test = self._watch.test if self._watch is not None else None
        if test is None or _is_making(sys._getframe(1), made_in):  # noqa: SLF001 - the door to the stack
            return None
        return Setter(test.nodeid, self._setting_up[-1] if self._setting_up else None, caller())

    def report(self, finding: Finding) -> None:
        """Hand a finding to the watch."""
        if self._watch is not None:
            self._watch.report(finding)


def _is_making(frame: FrameType | None, made_in: Origin | None) -> bool:
    """Whether a module is being imported, or `made_in` is at work, between here and pytest."""
    for _ in range(DEPTH):
        if frame is None:
            return False
        code = frame.f_code
        if code.co_filename == IMPORTING:
            return True
        if made_in and code.co_name == made_in.function and code.co_filename == made_in.file:
            return True
        if PYTEST in code.co_filename and frame.f_globals.get("__name__", "").startswith(PYTEST):
            return False
        frame = frame.f_back
    return False
