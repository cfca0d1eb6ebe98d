"""What one pytest process knows: its configuration, its watch, its databases, the isolation of its running test."""

from __future__ import annotations

import os
import secrets
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import pytest

from dbparity.committed import Committed
from dbparity.config import BadConfigError, Config, load, metadata_of, resolve
from dbparity.findings import Finding
from dbparity.isolation.routing import Router
from dbparity.isolation.savepoint import SavepointIsolation
from dbparity.observer import background_loop_in_use
from dbparity.plugin.databases import Databases, Wanted
from dbparity.plugin.detectors import detectors
from dbparity.sessions.factory import session_factory
from dbparity.watch import RunningTest, Watch

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sqlalchemy.engine import URL

    from dbparity.provision.database import TestDatabase

RUN: pytest.StashKey[Run] = pytest.StashKey()
EXPORTED: pytest.StashKey[bool] = pytest.StashKey()
"""Whether the variable that holds the URL was set by us."""
MARKER = "dbparity"
OVER = "over"
"""In `RunningTest.notes`: its isolation is undone, and its clone may be gone."""


def run_of(config: pytest.Config) -> Run:
    """The run that this pytest process is."""
    return config.stash[RUN]


class Run:
    """One pytest process, or one of its workers."""

    def __init__(self, pytestconfig: pytest.Config, config: Config) -> None:
        inherited = getattr(pytestconfig, "workerinput", {})
        self.id: str = inherited.get("dbparity_run") or secrets.token_hex(4)
        self.worker: str = inherited.get("workerid", "main")
        self.config = config
        self._pytestconfig = pytestconfig
        self.timelines: bool = pytestconfig.getoption("dbparity_timeline")
        self.environment = ""
        """Which environment it is, and whether its variables are as declared."""
        self.notices: list[str] = []
        """Lines for the summary that are no findings: kept clones, a schema that is false by now."""
        self.watch = Watch(detectors(config), config.detectors)
        self.router = Router(self.watch)
        self.databases = Databases(self)
        self._loop = ExitStack()
        self._heard: list[Finding] = []

    @classmethod
    def of(cls, pytestconfig: pytest.Config) -> Self:
        """The run that these options and this project's configuration describe."""
        said = {key: pytestconfig.getoption(f"dbparity_{key}") for key in ("isolation", "schema")}
        return cls(pytestconfig, load(pytestconfig.rootpath, **said))

    @property
    def is_static(self) -> bool:
        """Whether the database is known before any fixture runs: then every test is isolated."""
        return self.config.configured and bool(self.config.database_url)

    @property
    def findings(self) -> list[Finding]:
        """What was found here and in the workers."""
        return self.watch.findings + self._heard

    def say(self, line: str) -> None:
        """Tell people something now."""
        reporter = self._pytestconfig.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(f"dbparity: {line}")
            reporter.flush()  # somebody may be waiting, and read it through a pipe

    def start(self) -> None:
        """Watch from now on."""
        self._loop.enter_context(background_loop_in_use())
        if self.config.configured:
            self.router.install()
            self.watch.start()

    def finish(self, output: dict[str, Any] | None) -> None:
        """The last test is through; a worker hands over what it has found."""
        self.watch.end_run()
        self.notices += self.watch.notes()
        self.notices += self.databases.finish()
        if output is not None:
            output["dbparity_findings"] = [each.as_dict() for each in self.watch.findings]
            output["dbparity_notices"] = self.notices

    def stop(self) -> None:
        """Leave every library as it was, and nothing on the disk."""
        if self.config.configured:
            self.watch.stop()
            self.router.uninstall()
        if self._pytestconfig.stash.get(EXPORTED, False):
            os.environ.pop(self.config.variable, None)
        self.databases.close()
        self._loop.close()

    def prepare(self) -> TestDatabase:
        """Prove the configured database before the first test."""
        if not self.config.url:
            raise BadConfigError(unset(self.config))
        return self.databases.get(
            self.config.url, metadata_of(self.config), self.config.migrations, self.config.schema
        )

    def sessionmaker(self) -> Any:  # noqa: ANN401 - sync, async, or None
        """The application's own session factory, if the configuration names it."""
        return resolve(self.config.sessionmaker) if self.config.sessionmaker else None

    def begin_test(self, item: pytest.Item) -> None:
        """A test is about to be set up."""
        test = RunningTest(
            item.nodeid,
            ci_sensitive=item.get_closest_marker("ci_sensitive") is not None,
            fixtures=frozenset(getattr(item, "fixturenames", ())),
        )
        self.watch.begin_test(test)

    def isolate(self, item: pytest.Item, database: TestDatabase, default: str) -> URL:
        """Begin the running test's isolation; return the URL that leads to its database."""
        marker = item.get_closest_marker(MARKER)
        wanted = Wanted.of(marker, default)
        test = self.watch.test
        assert test is not None  # noqa: S101 - a fixture runs within a test
        test.notes.update(wanted.notes)
        test.database, test.isolation = database, self.databases.isolation(database, wanted)
        try:
            return test.isolation.begin(test)
        except BaseException:
            test.isolation = None
            self.databases.rest(database)
            raise

    def end_isolation(self, database: TestDatabase) -> None:
        """The test's own fixtures are gone: look at what is left, then undo it."""
        test = self.watch.test
        if test is not None and test.isolation is not None:
            self.end_test()
            test.isolation.end(test)
            test.notes[OVER] = True
            self.databases.rest(database)

    def end_test(self) -> None:
        """Let the detectors look at what is left, once a test."""
        test = self.watch.test
        if test is not None and not test.ended:
            test.ended = True
            self.watch.end_test()

    def sessions(
        self,
        own: Any,  # noqa: ANN401 - the application's sessionmaker, sync or async, or None
        url: str,
        *,
        is_async: bool | None = None,
    ) -> AbstractContextManager[Any]:
        """A factory of sessions on the running test's database, closed with the block."""
        test = self.watch.test
        assert test is not None and test.database is not None  # noqa: S101, PT018 - behind `database_url`
        inside = isinstance(test.isolation, SavepointIsolation)
        return session_factory(own, url, is_async=is_async, savepoint=inside, base=test.database.base)

    def committed(self) -> Committed:
        """Assertions on what the running test has committed."""
        test = self.watch.test
        assert test is not None and test.database is not None  # noqa: S101, PT018 - behind `database_url`
        return Committed(test.database, test.isolation, self.watch)

    def hear(self, output: dict[str, Any]) -> None:
        """Take over what a worker has found."""
        self._heard += [Finding.from_dict(each) for each in output.get("dbparity_findings", ())]
        self.notices += [each for each in output.get("dbparity_notices", []) if each not in self.notices]


def export(pytestconfig: pytest.Config, config: Config) -> None:
    """Set the variable that holds the URL to its default, before the application is imported and reads it."""
    if config.variable and config.url and not os.environ.get(config.variable):
        os.environ[config.variable] = config.url
        pytestconfig.stash[EXPORTED] = True


def unset(config: Config) -> str:
    """What to do where the configured variable holds nothing."""
    return (
        f"The variable {config.variable}, which database_url in [tool.dbparity] names, is not set. Set it, or say what "
        f'it is then: database_url = "env:{config.variable}=driver://host/name".'
    )
