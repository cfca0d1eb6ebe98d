"""`--dbparity-report=html|json[:PATH]`: what the run was, what it found, what its tests did, in one file.

A plugin object of its own beside the hooks in `dbparity.plugin`: it adds its record to pytest's reports where tests
run, collects them where they are reported, and writes when the session ends, however that comes about.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dbparity.plugin import sensitive
from dbparity.plugin.records import RECORD, Collected, record_of
from dbparity.plugin.report_format import FORMAT
from dbparity.plugin.report_html import page
from dbparity.plugin.run import run_of
from dbparity.veil import Veil

if TYPE_CHECKING:
    from collections.abc import Generator

    from dbparity.plugin.report_format import Document, NotCollected
    from dbparity.plugin.report_format import Run as RunPart
    from dbparity.plugin.run import Run

KINDS = ("html", "json")
PACKAGES = ("pytest", "sqlalchemy", "alembic", "dbparity")
DRIVERS = ("asyncpg", "psycopg", "psycopg2", "aiosqlite")
NAME = "dbparity-report"


@dataclass(frozen=True)
class Wanted:
    """One file that is asked for."""

    kind: str
    path: Path

    @classmethod
    def of(cls, said: str, root: Path) -> Wanted:
        """What `html`, `json` or `json:some/path` asks for."""
        kind, _, path = said.partition(":")
        if kind not in KINDS:
            msg = f"--dbparity-report={said}: write html or json, and after a colon where to: json:out/report.json."
            raise pytest.UsageError(msg)
        return cls(kind, root / Path(path or f"dbparity-report.{kind}").expanduser())


def add_options(group: pytest.OptionGroup) -> None:
    """The option; it can be given twice, for both kinds."""
    group.addoption(
        "--dbparity-report",
        action="append",
        default=[],
        metavar="html|json[:PATH]",
        help="write what was run and found into one file (default: dbparity-report.html or .json)",
    )


def register(config: pytest.Config) -> None:
    """Begin to take notes, in the process that reports as in the workers; to be called once the run is made."""
    config.pluginmanager.register(ReportWriter(config), NAME)


@dataclass(eq=False)
class ReportWriter:
    """Takes down what is reported, and writes it when the session ends."""

    config: pytest.Config
    started: float = field(default_factory=time.time)
    collected: Collected = field(default_factory=Collected)
    stopped: str = ""
    not_collected: list[NotCollected] = field(default_factory=list)
    problem: str = ""

    def __post_init__(self) -> None:
        said = self.config.getoption("dbparity_report")
        self.wanted = [Wanted.of(each, self.config.rootpath) for each in said]

    @property
    def reports(self) -> bool:
        """Whether this process tells people about the run: a worker does not."""
        return not hasattr(self.config, "workerinput")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Where the test runs: add what only this process knows."""
        report = yield
        run, reason = run_of(item.config), sensitive.ci_reason(item)
        if reason is not None:
            sensitive.prove(run, report)
        if self.wanted:
            setattr(report, RECORD, record_of(run, call, report) | {"ci_sensitive": reason})
        elif reason is not None:
            setattr(report, RECORD, {"worker": run.worker, "ci_sensitive": reason})
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Where tests are reported: take it down."""
        if self.reports and (self.wanted or hasattr(report, RECORD)):
            self.collected.add(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be imported has no tests to fail."""
        if report.failed:
            self.not_collected.append({"nodeid": report.nodeid, "traceback": report.longreprtext})

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Somebody, or the schema's proof, has ended the run."""
        self.stopped = str(excinfo.value) or excinfo.type.__name__

    def pytest_internalerror(self, excrepr: object) -> None:
        """A plugin has failed, and the run with it."""
        self.stopped = str(excrepr)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write what was asked for; a disk that is full does not change what the tests have shown."""
        if not (self.reports and self.wanted):
            return
        document = self.document(int(exitstatus))
        for each in self.wanted:
            text = page(document) if each.kind == "html" else json.dumps(document, indent=1) + "\n"
            try:
                each.path.parent.mkdir(parents=True, exist_ok=True)
                each.path.write_text(text, "utf-8")
            except OSError as error:
                self.problem = f"the report could not be written: {error}"

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Where the report is, and what was done about tests that are known to be sensitive."""
        lines = [f"report: {_shown(each.path)}" for each in self.wanted]
        lines += sensitive.summary(self.collected.tests.values(), run_of(self.config))
        if self.problem:
            lines = [self.problem]
        for line in lines:
            terminalreporter.write_line(f"dbparity: {line}")

    def document(self, exit_status: int) -> Document:
        """The whole report, without any password."""
        run = run_of(self.config)
        tests = list(self.collected.tests.values())
        totals: dict[str, int] = {}
        for each in tests:
            totals[each["outcome"]] = totals.get(each["outcome"], 0) + 1
        document: Document = {
            "format": FORMAT,
            "run": self._run(run, exit_status),
            "totals": totals,
            "tests": tests,
            "findings": [each.as_dict() for each in run.findings],
            "notices": list(run.notices),
            "not_collected": self.not_collected,
            "order": self.collected.order,
        }
        hidden: Document = Veil([run.config.url]).over(document)
        return hidden

    def _run(self, run: Run, exit_status: int) -> RunPart:
        return {
            "id": run.id,
            "started": datetime.fromtimestamp(self.started, UTC).isoformat(timespec="milliseconds"),
            "duration": round(time.time() - self.started, 3),
            "exit_status": exit_status,
            "stopped": self.stopped,
            "versions": _versions(),
            "schema": str(run.config.schema),
            "migrations": run.config.migrations,
            "isolation": str(run.config.isolation),
            "guesses": list(run.config.guesses),
            "workers": list(self.collected.order),
            "databases": self.collected.databases,
        }


def _versions() -> dict[str, str]:
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in (*PACKAGES, *(each for each in DRIVERS if each in sys.modules)):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
