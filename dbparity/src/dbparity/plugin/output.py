"""What people read of dbparity in pytest's output: header, a failing test's sections, the summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dbparity.config import Strictness
from dbparity.isolation.clone import NOTE as CLONE
from dbparity.isolation.witness import NOTES as SAVEPOINT
from dbparity.plugin.run import OVER
from dbparity.targets import identity_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbparity.findings import Finding
    from dbparity.plugin.run import Run
    from dbparity.watch import RunningTest

SHOWN_FINDINGS = 12
TITLE = "dbparity: "
TOLD = "output"
"""In `RunningTest.notes`: it has its sections already."""


def header(run: Run) -> list[str]:
    """What is configured, and what was guessed."""
    config = run.config
    if not config.configured:
        return []
    where = "given by a fixture" if not config.variable else f"in {config.variable}, which is not set"
    if config.url:
        where = str(identity_of(config.url))
    built = config.schema if not config.migrations else f"{config.schema} from {config.migrations}"
    line = f"dbparity: database {where}, schema {built}, isolation {config.isolation}"
    guessed = f"dbparity: guessed {', '.join(config.guesses)}" if config.guesses else ""
    environment = f"dbparity: {run.environment}" if run.environment else ""
    return [each for each in (line, guessed, environment) if each]


def add_sections(run: Run, report: pytest.TestReport) -> None:
    """Below a failing test: the schema's verdict, what the detectors have to say, the way into its database."""
    test = run.watch.test
    wanted = report.failed or (report.when == "call" and (run.timelines or (test and test.ci_sensitive)))
    if test is None or not wanted:
        return
    # What fails the test at its end is said by the failure itself.
    new = [each.render() for each in test.findings if each.render() not in report.longreprtext]
    if TOLD in test.notes:  # its call has failed, and now its teardown too
        report.sections.extend([("dbparity: findings", "\n".join(new))] if new else [])
        return
    test.notes[TOLD] = True
    if report.failed and test.database is not None and not (OVER in test.notes and CLONE in _isolation(test)):
        verdict = run.databases.verdict(test.database)
        report.sections.extend([("dbparity: schema", verdict)] if verdict else [])
    if report.failed and CLONE in test.notes:
        report.sections.append(("dbparity: database", "\n".join(test.notes[CLONE])))
    if report.failed and SAVEPOINT in test.notes:
        report.sections.append(("dbparity: savepoint isolation", "\n".join(test.notes[SAVEPOINT])))
    if new:
        report.sections.append(("dbparity: findings", "\n".join(new)))
    report.sections.extend(run.watch.report_sections(test))


def _isolation(test: RunningTest) -> str:
    return test.isolation.name if test.isolation is not None else ""


def fail_on_findings(run: Run) -> None:
    """Fail the test that has just been torn down for what was found."""
    test = run.watch.test
    failing = [each for each in test.findings if each.strictness is Strictness.FAIL] if test else []
    if failing:
        pytest.fail("\n".join(each.render() for each in failing), pytrace=False)


def summarise(run: Run, reporter: pytest.TerminalReporter) -> None:
    """Dbparity's section at the end of the run."""
    _show_passed(reporter)
    lines = _findings([each for each in run.findings if each.strictness is Strictness.WARN]) + run.notices
    if lines:
        reporter.section("dbparity")
        for line in lines:
            reporter.write_line(line)


def _show_passed(reporter: pytest.TerminalReporter) -> None:
    """What passing tests have to tell, if they were asked: pytest itself shows that of failing ones only."""
    told = [
        each for each in reporter.getreports("passed") if any(TITLE in title for title, _ in each.sections)
    ]
    if told and not reporter.hasopt("P"):
        reporter.section("dbparity: tests that pass")
        for each in told:
            reporter.write_sep("_", each.nodeid)
            for title, text in each.sections:
                if title.startswith(TITLE):
                    reporter.write_sep("-", title)
                    reporter.write_line(text)


def _findings(findings: Sequence[Finding]) -> list[str]:
    """Each finding once, with the first test that met it: a shared fixture may give one to every test."""
    tests: dict[str, list[str]] = {}
    for each in findings:
        tests.setdefault(each.render(), []).append(each.test)
    lines = []
    for text, names in list(tests.items())[:SHOWN_FINDINGS]:
        more = f", and in {len(names) - 1} more tests" if len(names) > 1 else ""
        lines += [f"{names[0] or 'this run'}{more}", *(f"  {line}" for line in text.splitlines())]
    if len(tests) > SHOWN_FINDINGS:
        lines.append(f"... and {len(tests) - SHOWN_FINDINGS} more: --dbparity-report=html has all of them.")
    return lines
