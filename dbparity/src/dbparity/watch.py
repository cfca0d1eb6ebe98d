"""Who is watched, and when: the running test, the requests it makes, and the detectors that are told of both.

One `Watch` a process. Detectors install their own listeners in `start` and take them out in `stop`; in between
they are told when tests and requests begin and end. What they find is reported to the watch, which knows what
the configuration makes of it.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dbparity.config import Strictness
from dbparity.guard import Guard, Off
from dbparity.request import Request, entered
from dbparity.sessions.registry import SessionRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dbparity.findings import Finding
    from dbparity.isolation.base import Isolation
    from dbparity.provision.database import TestDatabase


@dataclass(eq=False)
class RunningTest:
    """The test that runs now, from the set-up of its first fixture to the end of its last."""

    nodeid: str
    database: TestDatabase | None = None
    """The database it works on, once it has one."""
    isolation: Isolation | None = None
    ci_sensitive: bool = False
    findings: list[Finding] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    failed: bool = False
    """Whether its set-up or its call has failed; known when `test_ended` is called."""
    ended: bool = False
    """Whether the detectors have looked at what is left of it."""
    fixtures: frozenset[str] = frozenset()
    """The names of the fixtures that it asks for, directly or through others."""
    notes: dict[str, Any] = field(default_factory=dict)
    """What a detector keeps for this test, under its own name."""


class Detector:
    """Something that watches. A detector overrides what it wants to be told."""

    name = ""
    """Stable, as in the configuration: "stale-read"."""

    @property
    def note(self) -> str:
        """What of this run could not be watched, and why; empty where all was."""
        return ""

    def start(self, watch: Watch) -> None:
        """Install listeners; called once, before the first test."""

    def stop(self) -> None:
        """Take the listeners out again."""

    def test_began(self, test: RunningTest) -> None:
        """Before any fixture of the test is set up."""

    def fixture_began(self, name: str, scope: str) -> None:
        """A fixture of this name and scope is about to be set up."""

    def fixture_ended(self, name: str, scope: str) -> None:
        """It is set up, or has failed to be."""

    def fixture_finalized(self, name: str, scope: str) -> None:
        """It is torn down; told more than once of some, and of some that were never set up."""

    def request_began(self, request: Request) -> None:
        """In the task or thread that makes the request, before the application sees it."""

    def request_ended(self, request: Request) -> None:
        """The application has answered or raised."""

    def test_calling(self, test: RunningTest) -> None:
        """The test's fixtures are set up; the test function is about to run."""

    def test_called(self, test: RunningTest) -> None:
        """The test function has returned or raised; its fixtures still stand."""

    def test_ended(self, test: RunningTest) -> None:
        """Every fixture of the test is torn down; its isolation is not undone yet."""

    def run_ended(self) -> None:
        """After the last test and the last fixture, while the databases still stand."""

    def report_sections(self, test: RunningTest) -> Sequence[tuple[str, str]]:  # noqa: ARG002 - for those that override
        """Titles and texts to print below a failing test."""
        return ()


class Watch:
    """The detectors of this process, and what they watch."""

    def __init__(self, detectors: Sequence[Detector], strictness: Mapping[str, Strictness]) -> None:
        self._strictness = strictness
        self.detectors = [each for each in detectors if strictness.get(each.name) is not Strictness.OFF]
        self.test: RunningTest | None = None
        self.findings: list[Finding] = []
        """Everything found in this run, in order."""
        self._off = Off(self._keep)
        self._wanting: dict[str, list[Callable[..., Any]]] = {}
        """By the name of a method: those of the detectors that have one of their own."""
        self.sessions = SessionRegistry(self)
        self.fixture_home = ""
        """Where the fixture that began last is defined: a node id."""
        self._numbers = itertools.count(1)

    def guard(self, *names: str) -> Guard:
        """Through which all that these detectors have called from outside goes: what fails, is off."""
        return Guard(self._off, names)

    def _tell(self, hook: str, *arguments: Any) -> None:  # noqa: ANN401 - the hook's
        """Call one method of every detector that has one of its own and is not off."""
        wanting = self._wanting.get(hook)
        if wanting is None:
            inherited = getattr(Detector, hook)
            wanting = self._wanting[hook] = [
                self.guard(each.name).over(getattr(each, hook))
                for each in self.detectors
                if getattr(type(each), hook) is not inherited
            ]
        for tell in wanting:
            tell(*arguments)

    def start(self) -> None:
        """Begin to watch."""
        self.sessions.start()
        self._tell("start", self)

    def stop(self) -> None:
        """Stop watching; the last to start stops first, and the one that has failed stops as well."""
        for each in reversed(self.detectors):
            try:
                each.stop()
            except Exception as error:  # noqa: BLE001 - the others must stop, too
                self._off.add([each.name], error)
        self.sessions.stop()

    def begin_test(self, test: RunningTest) -> None:
        """A test is about to be set up."""
        self.test = test
        self._numbers = itertools.count(1)
        self._tell("test_began", test)

    def test_calling(self) -> None:
        """The test's fixtures are set up; its own code is about to run."""
        if self.test is not None:
            self._tell("test_calling", self.test)

    def test_called(self) -> None:
        """The test's own code is through."""
        if self.test is not None:
            self._tell("test_called", self.test)

    def end_test(self) -> None:
        """The test's fixtures are gone. `test` stays known until the isolation is undone: see `forget_test`."""
        if self.test is not None:
            self._tell("test_ended", self.test)

    def end_run(self) -> None:
        """The last test is through, with every fixture; the databases still stand."""
        self._tell("run_ended")

    def notes(self) -> list[str]:
        """What the detectors could not watch, a line each."""
        told = (
            (each.name, self.guard(each.name).run(lambda each=each: each.note)) for each in self.detectors
        )
        return [f"{name}: {note}" for name, note in told if note]

    def forget_test(self) -> None:
        """Nothing of the last test stands any more."""
        self.test = None

    def report_sections(self, test: RunningTest) -> list[tuple[str, str]]:
        """What the detectors have to say below a failing test: titles and texts."""
        told = (self.guard(each.name).run(each.report_sections, test) for each in self.detectors)
        return [section for sections in told for section in sections or ()]

    @contextmanager
    def fixture(self, name: str, scope: str, home: str = "") -> Iterator[None]:
        """The span in which a fixture is set up; tests below the node id `home` can ask for it."""
        self.fixture_home = home
        self._tell("fixture_began", name, scope)
        try:
            yield
        finally:
            self._tell("fixture_ended", name, scope)

    def fixture_finalized(self, name: str, scope: str) -> None:
        """A fixture is torn down."""
        self._tell("fixture_finalized", name, scope)

    @contextmanager
    def request(self, label: str) -> Iterator[Request]:
        """The span of one request; to be entered where the application's code will run."""
        request = Request(next(self._numbers), label, self.test)
        if self.test is not None:
            self.test.requests.append(request)
        with entered(request):
            try:
                self._tell("request_began", request)
                yield request
            finally:
                self._tell("request_ended", request)

    def report(self, finding: Finding) -> None:
        """Keep a finding, with the strictness that the configuration gives it; nothing of a detector that is off."""
        strictness = self._strictness.get(finding.detector, finding.strictness)
        if strictness is not Strictness.OFF and finding.detector not in self._off.names:
            self._keep(replace(finding, strictness=strictness))

    def _keep(self, finding: Finding) -> None:
        test = self.test
        finding = replace(finding, test=finding.test or (test.nodeid if test else ""))
        self.findings.append(finding)
        if test is not None:
            test.findings.append(finding)
