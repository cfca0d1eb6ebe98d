"""A journey as a document for programs: JSON, and JUnit XML for build servers."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Final
from xml.etree import ElementTree as ET

from dashtam.journey.result import Result, StepOutcome, explain_failure

FORMAT: Final = 1

# Characters that XML 1.0 cannot carry, even escaped (section 2.2).
_UNWRITABLE: Final = re.compile(r"[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_json(result: Result) -> str:
    """Render the whole result; `format` grows by one when a field changes its meaning."""
    document = {
        "format": FORMAT,
        "passed": result.passed,
        "unreachable": result.unreachable,
        "score": result.score,
        "base_url": result.base_url,
        "prefix": result.prefix,
        "address": result.address,
        "total_ms": round(result.total_ms, 1),
        "steps": [_step(step) for step in result.steps],
        "failure": asdict(result.failure) if result.failure else None,
        "clean_up": asdict(result.clean_up) | {"ms": round(result.clean_up.ms, 1)},
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def as_junit(result: Result) -> str:
    """Render one test case a step, and one more for the clean-up if it failed."""
    suite = ET.Element("testsuite", name="dashtam journey", hostname=_plain(result.base_url))
    for step in result.steps:
        _add_step(suite, step, result)
    if result.clean_up.left_behind is not None:
        _add_clean_up(suite, result)
    output = ET.SubElement(suite, "system-out")
    output.text = _plain(f"{result.score} against {result.base_url}\nClean-up: {result.clean_up.detail}")
    counts = {kind: str(len(suite.findall(f"testcase/{kind[:-1]}"))) for kind in ("failures", "errors")}
    counts |= {
        "tests": str(len(suite.findall("testcase"))),
        "skipped": str(len(suite.findall("testcase/skipped"))),
    }
    counts["time"] = _seconds(result.total_ms)
    suite.attrib.update(counts)
    suites = ET.Element("testsuites", counts)
    suites.append(suite)
    ET.indent(suites)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(suites, encoding="unicode")}\n'


def _step(step: StepOutcome) -> dict[str, object]:
    return asdict(step) | {"ms": round(step.ms, 1), "slow": step.slow}


def _add_step(suite: ET.Element, step: StepOutcome, result: Result) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        classname="dashtam.journey",
        name=f"{step.number:02} {step.name}",
        time=_seconds(step.ms),
    )
    if step.status == "skipped":
        ET.SubElement(case, "skipped", message="not reached")
    elif result.failure is not None and step.status == "failed":
        failure = result.failure
        kind = "error" if failure.unreachable else "failure"
        verdict = ET.SubElement(case, kind, message=_plain(f"expected {failure.expected}; saw {failure.saw}"))
        verdict.text = _plain("\n".join(explain_failure(failure)))
    elif step.slow:
        ET.SubElement(case, "system-out").text = f"slow: the budget is {step.budget_ms} ms"


def _add_clean_up(suite: ET.Element, result: Result) -> None:
    time = _seconds(result.clean_up.ms)
    case = ET.SubElement(suite, "testcase", classname="dashtam.journey", name="clean-up", time=time)
    ET.SubElement(case, "failure", message=_plain(result.clean_up.detail))


def _seconds(ms: float) -> str:
    return f"{ms / 1000:.3f}"


def _plain(text: str) -> str:
    return _UNWRITABLE.sub("\ufffd", text)
