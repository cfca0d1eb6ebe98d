"""A run of tests as the plugin tells of it, with only the detector of what is left behind."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from dbparity.sessions.clients import Clients
from dbparity.sessions.state import LeftBehind
from dbparity.watch import RunningTest, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbparity.findings import Finding


class Suite:
    """Runs blocks as tests and fixtures."""

    def __init__(self, detector: LeftBehind) -> None:
        self.detector = detector
        self.watch = Watch([detector, Clients()], {})

    @property
    def findings(self) -> list[Finding]:
        return self.watch.findings

    @property
    def messages(self) -> list[str]:
        return [each.message for each in self.watch.findings]

    @contextmanager
    def test(self, name: str, *fixtures: str) -> Iterator[RunningTest]:
        """The block is what the test's own function does."""
        test = RunningTest(name, fixtures=frozenset({"_dbparity_test", *fixtures}))
        self.watch.begin_test(test)
        try:
            yield test
        finally:
            self.watch.test_called()
            self.watch.end_test()
            self.watch.forget_test()

    @contextmanager
    def fixture(self, name: str, scope: str = "function", home: str = "") -> Iterator[None]:
        """The block is what the fixture does before its yield."""
        with self.watch.fixture(name, scope, home):
            yield


@contextmanager
def suite(detector: LeftBehind | None = None) -> Iterator[Suite]:
    running = Suite(detector or LeftBehind())
    running.watch.start()
    try:
        yield running
    finally:
        running.watch.stop()
