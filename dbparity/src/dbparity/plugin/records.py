"""What a process that runs tests writes down about each, and how the reporting process puts it together.

A phase's record is an attribute of pytest's own report: that is what xdist carries from a worker to the
controller, at once, so that it is there also when the worker crashes in its next test.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbparity.targets import identity_of

if TYPE_CHECKING:
    import pytest

    from dbparity.plugin.report_format import Database, Failure, Phase, Section, Test
    from dbparity.plugin.run import Run
    from dbparity.provision.database import TestDatabase
    from dbparity.watch import RunningTest

RECORD = "dbparity"
"""The attribute of pytest's report."""
CRASHED = "???"
"""What xdist calls the phase in which a worker ended."""
SECTION = "dbparity"
UNFINISHED = "unfinished"
"""Set up, and never called to its end: the run was stopped in it."""
OBSERVED = "crosscheck"
"""Under this name `dbparity.crosscheck.probe` keeps its notes on a test."""
KEPT = "clone"
"""Under this name `dbparity.isolation.clone` says how to get into a database that is kept."""
PROVEN = "ready: proven before the first test"
"""The gate lets nothing run otherwise."""
TRACEBACK_LINES = 200


def record_of(run: Run, call: pytest.CallInfo[None], report: pytest.TestReport) -> dict[str, Any]:
    """What this phase adds to what is known of the test, in types that JSON and xdist know."""
    test = run.watch.test
    record: dict[str, Any] = {"worker": run.worker}
    if report.failed and call.excinfo is not None:
        record["failure"] = failure_of(call.excinfo, report)
    if test is not None:
        record["isolation"] = test.isolation.name if test.isolation is not None else ""
        record["timeline"] = timeline_of(run, test, report)
        if report.when == "teardown":
            record["findings"] = [each.as_dict() for each in test.findings]
            record["observed"] = test.notes.get(OBSERVED)
            record["kept"] = test.notes.get(KEPT, []) if test.failed or report.failed else []
        if test.database is not None:
            record["database"] = database_of(test, test.database, _verdict(report))
    plain: dict[str, Any] = json.loads(json.dumps(record, default=str))
    return plain


def database_of(test: RunningTest, database: TestDatabase, verdict: str) -> Database:
    """Which database it is, without user and password; a clone is the test's, not the process's."""
    is_clone = test.isolation is not None and test.isolation.name == KEPT
    return {
        "backend": database.identity.backend,
        "name": str(database.identity),
        "worker_database": str(database.identity if is_clone else identity_of(database.url)),
        "built": database.built,
        "verdict": verdict,
    }


def failure_of(excinfo: pytest.ExceptionInfo[BaseException], report: pytest.TestReport) -> Failure:
    """Why the phase failed: for people the traceback, for programs what it says."""
    kind = excinfo.type
    entry = excinfo.traceback[-1] if excinfo.traceback else None
    return {
        "when": str(report.when),
        "type": f"{kind.__module__}.{kind.__qualname__}",
        "message": str(excinfo.value)[:4000],
        "sqlstate": sqlstate(excinfo.value),
        "at": f"{_shown(Path(entry.path))}:{entry.lineno + 1}" if entry is not None else "",
        "traceback": "\n".join(report.longreprtext.splitlines()[-TRACEBACK_LINES:]),
    }


def sqlstate(error: BaseException | None) -> str:
    """The database's own code, wherever the driver and SQLAlchemy keep it."""
    for _ in range(5):
        if error is None:
            break
        for name in ("sqlstate", "pgcode"):
            if isinstance(code := getattr(error, name, None), str):
                return code
        error = getattr(error, "orig", None) or error.__cause__
    return ""


def timeline_of(run: Run, test: RunningTest, report: pytest.TestReport) -> list[Any]:
    """What the sessions did, where somebody will want to read it."""
    if report.when != "teardown" or not (test.failed or report.failed or test.ci_sensitive or run.timelines):
        return []
    for detector in run.watch.detectors:
        entries = getattr(detector, "as_dicts", None)
        if entries is not None:
            return list(entries(test))
    return []


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _verdict(report: pytest.TestReport) -> str:
    said = next((text for title, text in report.sections if title == f"{SECTION}: schema"), "")
    return said.partition("\n")[0]


@dataclass
class Collected:
    """The tests of a run as their phases come in, from this process and from workers."""

    tests: dict[tuple[str, str], Test] = field(default_factory=dict)
    order: dict[str, list[str]] = field(default_factory=dict)
    databases: dict[str, Database] = field(default_factory=dict)
    ended: set[tuple[str, str]] = field(default_factory=set)

    def add(self, report: pytest.TestReport) -> None:
        """Take in one phase of one test."""
        record: dict[str, Any] = getattr(report, RECORD, None) or {}
        worker = record.get("worker") or _worker(report)
        test = self._test(worker, report)
        phase: Phase = {
            "when": "crash" if report.when == CRASHED else str(report.when),
            "outcome": report.outcome,
            "duration": report.duration,
        }
        test["phases"].append(phase)
        test["duration"] += report.duration
        test["outcome"] = _outcome(test["outcome"], report)
        test["sections"] += _sections(report)
        self._enrich(test, record, report)
        if report.when in {"teardown", CRASHED}:
            self.ended.add((worker, report.nodeid))

    def _test(self, worker: str, report: pytest.TestReport) -> Test:
        key = worker, report.nodeid
        known = self.tests.get(key)
        if known is not None and key not in self.ended:
            return known
        self.ended.discard(key)
        self.order.setdefault(worker, []).append(report.nodeid)
        test = self.tests[key] = _unrun(report.nodeid, worker, known["attempts"] if known else 0)
        return test

    def _enrich(self, test: Test, record: dict[str, Any], report: pytest.TestReport) -> None:
        test["isolation"] = record.get("isolation") or test["isolation"]
        test["ci_sensitive"] = record.get("ci_sensitive") or test["ci_sensitive"]
        test["findings"] += record.get("findings", [])
        test["timeline"] = record.get("timeline") or test["timeline"]
        test["kept"] = record.get("kept") or test["kept"]
        test["observed"] = record.get("observed") or test["observed"]
        if "failure" in record:
            test["failures"].append(record["failure"])
        elif report.when == CRASHED:
            test["failures"].append(_crash(report))
        if "database" in record:
            seen = self.databases.get(test["worker"])
            verdict = record["database"]["verdict"] or (seen["verdict"] if seen else PROVEN)
            self.databases[test["worker"]] = record["database"] | {"verdict": verdict}


def _unrun(nodeid: str, worker: str, attempts: int) -> Test:
    return {
        "nodeid": nodeid,
        "outcome": "",
        "duration": 0.0,
        "worker": worker,
        "isolation": "",
        "attempts": attempts + 1,
        "ci_sensitive": None,
        "phases": [],
        "failures": [],
        "findings": [],
        "sections": [],
        "kept": [],
        "timeline": [],
        "observed": None,
    }


def _worker(report: pytest.TestReport) -> str:
    node = getattr(report, "node", None)
    return str(node.gateway.id) if node is not None else "main"


def _sections(report: pytest.TestReport) -> list[Section]:
    return [
        {"when": str(report.when), "title": title, "text": text}
        for title, text in report.sections
        if title.startswith(SECTION)
    ]


def _crash(report: pytest.TestReport) -> Failure:
    return {
        "when": "crash",
        "type": "",
        "message": "the process that ran this test ended",
        "sqlstate": "",
        "at": Path(report.location[0]).as_posix(),
        "traceback": report.longreprtext,
    }


def _outcome(so_far: str, report: pytest.TestReport) -> str:
    """The whole test's outcome after this phase."""
    if report.when == CRASHED:
        return "crashed"
    if report.failed:
        return "failed" if report.when == "call" or so_far == "failed" else "error"
    if so_far not in {"", UNFINISHED}:
        return so_far
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    if report.skipped:
        return "skipped"
    return "passed" if report.when == "call" else UNFINISHED
