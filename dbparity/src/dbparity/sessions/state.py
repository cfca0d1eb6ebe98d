"""What a test leaves behind for others, reported where it first changes what another test sees.

Overrides of dependencies and `app.state` (`overrides`), environment variables (`environment`), functions, classes
and settings of the application (`attributes`). A change belongs to the test that makes it, or to the fixture: what
a module- or session-scoped fixture sets is meant for the tests that ask for that fixture, and for no others.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dbparity.sessions.attributes import Attributes
from dbparity.sessions.environment import Environment
from dbparity.sessions.overrides import OverridesAttribute, StateAttribute
from dbparity.sessions.scene import Scene
from dbparity.sessions.shared import LEFT_BEHIND
from dbparity.watch import Detector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbparity.config import Config
    from dbparity.request import Request
    from dbparity.watch import RunningTest, Watch


class LeftBehind(Detector):
    """Finds what tests leave behind. The plugin tells it of fixtures too, else all is the tests' own doing."""

    name = LEFT_BEHIND

    def __init__(self, config: Config | None = None) -> None:
        self._scene = Scene()
        self._overrides = OverridesAttribute(self._scene)
        self._state = StateAttribute(self._scene)
        self._environment = Environment(self._scene)
        root = config.root if config else Path.cwd()
        self._attributes = Attributes(self._scene, root, _packages(config) if config else ())

    def start(self, watch: Watch) -> None:
        self._scene.open(watch)
        self._environment.start()
        self._install()

    def stop(self) -> None:
        self._environment.stop()
        self._overrides.uninstall()
        self._state.uninstall()
        self._scene.open(None)

    def _install(self) -> None:
        self._overrides.install()
        self._state.install()

    def test_began(self, test: RunningTest) -> None:  # noqa: ARG002 - whichever it is
        self._scene.test_began()
        self._install()
        self._attributes.look_around()

    def fixture_began(self, name: str, scope: str) -> None:
        self._scene.fixture_began(name, scope)
        self._install()

    def fixture_ended(self, name: str, scope: str) -> None:  # noqa: ARG002 - the innermost that began
        fixture = self._scene.fixture_ended()
        test = self._scene.viewer
        if fixture is not None and fixture.is_shared and test is not None:
            self._attributes.compare(test, fixture)  # in full, however long it takes: there are few of them

    def fixture_finalized(self, name: str, scope: str) -> None:
        self._scene.fixture_finalized(name, scope)

    def request_began(self, request: Request) -> None:  # noqa: ARG002 - whichever it is
        for shared in self._overrides.all():
            shared.report_removed()

    def test_called(self, test: RunningTest) -> None:
        self._environment.report(test)
        self._attributes.report(test)
        self._scene.test_called()

    def test_ended(self, test: RunningTest) -> None:
        if not self._scene.closing:  # its set-up has failed, perhaps for what was left behind
            self.test_called(test)
        self._attributes.compare(test)
        left = list(self._left_by(test))
        if left:
            test.notes[self.name] = left

    def _left_by(self, test: RunningTest) -> Iterator[str]:
        for shared in (*self._overrides.all(), *self._state.all()):
            yield from shared.left_by(test)
        yield from self._environment.left_by(test)
        yield from self._attributes.left_by(test)


def _packages(config: Config) -> tuple[str, ...]:
    """The packages that the configuration itself names as the application's, wherever they are installed."""
    named = (config.metadata, config.sessionmaker)
    return tuple({name.partition(":")[0].partition(".")[0] for name in named if name})
