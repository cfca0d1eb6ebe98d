"""A detector that fails: its fault is told once, the detector is off, and neither test nor application notices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inner import project, run
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from dbparity.config import Strictness
from dbparity.findings import Finding
from dbparity.guard import Listeners
from dbparity.watch import Detector, RunningTest, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOOKS = (
    *("test_began", "request_began", "request_ended", "fixture_began", "fixture_ended", "fixture_finalized"),
    *("test_called", "test_ended", "run_ended", "report_sections"),
)


class Recorder(Detector):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def hear(self, hook: str) -> None:
        self.told.append(hook)


def _hearing(hook: str) -> Callable[..., None]:
    return lambda detector, *_: detector.hear(hook)


for each in ("start", *HOOKS, "stop"):
    setattr(Recorder, each, _hearing(each))


class Sound(Recorder):
    """Has nothing to complain of."""

    name = "sound"


class Broken(Recorder):
    """Fails in one of its methods, and would say too much of it."""

    name = "broken"

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def hear(self, hook: str) -> None:
        super().hear(hook)
        if hook == self.fault:
            raise RuntimeError(f"planted in {hook}\nwith 'secrets' in its second line")


class Listening(Detector):
    """Fails in an event of the application's own engine."""

    name = "listening"

    def __init__(self) -> None:
        self.heard = 0

    def start(self, watch: Watch) -> None:
        self.watch = watch
        self._listeners = Listeners(
            watch.guard(self.name),
            (Engine, "after_cursor_execute", self._executed),
            (Session, "after_begin", self._begun),
        )
        self._listeners.add()

    def stop(self) -> None:
        self._listeners.remove()

    def _executed(self, *_: object) -> None:
        self.heard += 1
        assert self.heard < 0, "planted"

    def _begun(self, *_: object) -> None:
        self.heard += 100


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = create_engine("sqlite://")
    yield engine
    engine.dispose()


def lived_through(watch: Watch) -> None:
    """Two tests with a fixture and a request each, and the end of the run."""
    watch.start()
    for name in ("test_a", "test_b"):
        test = RunningTest(name)
        watch.begin_test(test)
        with watch.fixture("client", "function"):
            pass
        with watch.request("GET /"):
            pass
        watch.test_called()
        watch.report_sections(test)
        watch.fixture_finalized("client", "function")
        watch.end_test()
        watch.forget_test()
    watch.end_run()
    watch.stop()


@pytest.mark.parametrize("hook", ["start", *HOOKS])
def test_a_detector_that_fails_is_named_once_and_not_asked_again(hook: str) -> None:
    broken, sound = Broken(hook), Sound()
    watch = Watch([broken, sound], {"broken": Strictness.FAIL})
    lived_through(watch)
    (finding,) = watch.findings
    assert "dbparity's detector broken failed: RuntimeError: planted in" in finding.message
    assert "secrets" not in finding.render()
    assert "test_guard.py:" in finding.evidence[-1]
    assert finding.strictness is Strictness.WARN, "a fault of dbparity's own fails no test"
    assert broken.told.count(hook) == 1
    assert broken.told[-1] == "stop", "what it has installed is taken out all the same"
    assert set(sound.told) == {"start", *HOOKS, "stop"}


def test_detectors_that_do_not_fail_are_silent() -> None:
    watch = Watch([Sound()], {})
    lived_through(watch)
    assert watch.findings == []


def test_a_detector_that_cannot_stop_keeps_no_other_from_it() -> None:
    sound = Sound()
    watch = Watch([sound, Broken("stop")], {})
    lived_through(watch)
    assert sound.told[-1] == "stop"
    assert "planted in stop" in watch.findings[0].message


def test_a_listener_that_fails_breaks_no_statement_and_is_not_called_again(engine: Engine) -> None:
    listening = Listening()
    watch = Watch([listening], {})
    watch.start()
    try:
        watch.begin_test(RunningTest("test_a"))
        with Session(engine) as session:
            assert [session.scalar(text("SELECT 1")) for _ in range(3)] == [1, 1, 1]
        with Session(engine) as session:
            session.scalar(text("SELECT 1"))
    finally:
        watch.stop()
    assert listening.heard == 101, "the first session's begin, the first statement, and nothing since"
    (finding,) = watch.findings
    assert (finding.test, finding.detector) == ("test_a", "dbparity")
    assert "detector listening failed: AssertionError: planted" in finding.message


def test_what_a_failed_detector_finds_is_not_believed(engine: Engine) -> None:
    listening = Listening()
    watch = Watch([listening], {})
    watch.start()
    try:
        watch.report(Finding("listening", "before"))
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        watch.report(Finding("listening", "after"))
        watch.report(Finding("other", "of another"))
    finally:
        watch.stop()
    assert [each.message for each in watch.findings if each.detector != "dbparity"] == [
        "before",
        "of another",
    ]


PLANTED = """
import pytest
from sqlalchemy import Engine, event
from dbparity.plugin.run import run_of
from dbparity.watch import Detector

class Broken(Detector):
    name = "broken"
    note = "half of it is not watched"

    def test_called(self, test):
        raise KeyError("planted")

@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    run_of(config).watch.detectors.append({detector}())
"""
TESTS = """
from shop import register

def test_a():
    assert register("Ann")

def test_b():
    assert register("Bob")
"""


@pytest.mark.parametrize(("detector", "failed"), [("Broken", 1), ("Detector", 0)])
def test_the_tests_of_a_run_pass_whatever_a_detector_does_and_the_summary_tells_of_it(
    pytester: pytest.Pytester, detector: str, failed: int
) -> None:
    project(pytester.path, f"sqlite:///{pytester.path}/shop_test.db", test_it=TESTS)
    (pytester.path / "conftest.py").write_text(PLANTED.replace("{detector}", detector))
    result = run(pytester)
    result.assert_outcomes(passed=2)
    said = result.stdout.str()
    assert (
        said.count("dbparity's detector broken failed: KeyError: 'planted'; it is off from here on") == failed
    )
    assert said.count("test_it.py::test_a") == failed


def test_the_summary_tells_what_could_not_be_watched(pytester: pytest.Pytester) -> None:
    project(pytester.path, f"sqlite:///{pytester.path}/shop_test.db", test_it=TESTS)
    planted = PLANTED.replace("raise KeyError", "str").replace("{detector}", "Broken")
    (pytester.path / "conftest.py").write_text(planted)
    result = run(pytester)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["broken: half of it is not watched"])
