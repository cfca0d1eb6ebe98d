"""`--dbparity-fingerprint=FILE`: what this very run had around it, for the day on which another one ends otherwise.

A plugin object of its own beside the hooks in `dbparity.plugin`. Databases are asked when they are proven, for after
the last test a server of the suite's own is gone; what workers have seen, the controller puts together. The module
is also a plugin by itself, for a suite that does without the rest: `-p dbparity.plugin.fingerprint`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dbparity.config import BadConfigError, load
from dbparity.fingerprint.collecting import around
from dbparity.fingerprint.connections import Engines
from dbparity.fingerprint.database import database_facts
from dbparity.fingerprint.file import written
from dbparity.fingerprint.packages import imported_packages
from dbparity.fingerprint.sessions import sessions
from dbparity.plugin.run import RUN
from dbparity.provision.held import first_line

if TYPE_CHECKING:
    from dbparity.fingerprint.file import Facts
    from dbparity.provision.database import TestDatabase

NAME = "dbparity-fingerprint"
OPTION = "--dbparity-fingerprint"
SEEDS = ("randomly_seed", "random_order_seed")
"""Where the plugins that shuffle tests keep their seeds."""
ALONE = "main"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option, where this module is a plugin by itself."""
    add_options(parser.getgroup("dbparity", "the database under test"))


def pytest_configure(config: pytest.Config) -> None:
    """The same."""
    register(config)


def add_options(group: pytest.OptionGroup) -> None:
    """The option."""
    group.addoption(
        OPTION, metavar="FILE", help="write down what this run had around it: dbparity compare reads it"
    )


def register(config: pytest.Config) -> None:
    """Take notes where a fingerprint is asked for; to be called once the run is made."""
    if config.getoption("dbparity_fingerprint"):
        config.pluginmanager.register(FingerprintWriter(config), NAME)


@dataclass(eq=False)
class FingerprintWriter:
    """Hears of databases and tests, and writes when the session ends."""

    pytestconfig: pytest.Config
    databases: list[Facts] = field(default_factory=list)
    imported: set[str] = field(default_factory=set)
    engines: Engines = field(default_factory=Engines)
    order: dict[str, list[str]] = field(default_factory=dict)
    """The tests of each process as they began."""
    problems: list[str] = field(default_factory=list)
    is_written: bool = False

    def __post_init__(self) -> None:
        said = Path(self.pytestconfig.getoption("dbparity_fingerprint")).expanduser()
        self.path = self.pytestconfig.invocation_params.dir / said
        if (run := self.pytestconfig.stash.get(RUN, None)) is not None:
            run.databases.when_opened.append(self.opened)
            self.engines.start()

    def opened(self, database: TestDatabase) -> None:
        """Ask a database while it is there; what cannot be asked is said at the end, and fails nothing."""
        ask = partial(database_facts, url=database.base, config=database.config, metadata=database.metadata)
        try:
            self.databases.append(database.observer.call(ask))
        except Exception as error:  # noqa: BLE001 - the tests do not depend on it
            self.problems.append(f"{database.identity} is not in the fingerprint: {first_line(error)}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test has begun, here or in a worker."""
        if report.when == "setup":
            node = getattr(report, "node", None)
            self.order.setdefault(node.gateway.id if node else ALONE, []).append(report.nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:  # noqa: ANN401 - xdist is optional
        """Hear what a worker has seen."""
        told = getattr(node, "workeroutput", {}).get(NAME)
        if told:
            self.databases += told["databases"]
            self.imported.update(told["imported"])
            self.engines.found |= told["engines"]
            self.problems += [each for each in told["problems"] if each not in self.problems]

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Hand over what was seen, or write it; a disk that is full does not change what the tests have shown."""
        self.engines.stop()
        try:
            self.imported.update(imported_packages())
        except Exception as error:  # noqa: BLE001 - a package that is installed in part
            self.problems.append(
                f"which packages were imported is not in the fingerprint: {first_line(error)}"
            )
        output = getattr(self.pytestconfig, "workeroutput", None)
        if output is not None:
            output[NAME] = {
                "databases": self.databases,
                "imported": sorted(self.imported),
                "engines": self.engines.found,
                "problems": self.problems,
            }
            return
        try:
            text = written(self.fingerprint())
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(text, "utf-8")
            self.is_written = True
        except Exception as error:  # noqa: BLE001 - the same
            self.problems.append(f"the fingerprint could not be written: {first_line(error)}")

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Where it is, or why not."""
        place = [f"fingerprint: {_shown(self.path)}"] if self.is_written else []
        for line in self.problems + place:
            terminalreporter.write_line(f"dbparity: {line}")

    def fingerprint(self) -> Facts:
        """What there was around this run."""
        run = self.pytestconfig.stash.get(RUN, None)
        config = run.config if run is not None else load(self.pytestconfig.rootpath)
        facts: Facts = {"order": self.order, "workers": len(self.order), "distribution": self._said("dist")}
        facts["seed"] = next((seed for name in SEEDS if (seed := self._said(name)) is not None), None)
        if config.configured:
            facts |= {"isolation": str(config.isolation), "schema": str(config.schema)}
        used: Facts = {}
        for _, engine in sorted(self.engines.found.items()):
            used.setdefault(engine["backend"], []).append(engine)
        try:
            made = sessions(config)
        except BadConfigError as error:
            self.problems.append(f"sessions are not in the fingerprint: {error}")
            made = {}
        return around(config, self.databases, imported=self.imported, sessions=made, engines=used, run=facts)

    def _said(self, name: str) -> Any:  # noqa: ANN401 - what other plugins have
        return self.pytestconfig.getoption(name, None)


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
