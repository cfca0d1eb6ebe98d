"""`@pytest.mark.ci_sensitive(reason)`: tests that passed here and failed elsewhere are validated in full, each time.

Leaks and stale reads are looked for in every test, and the timeline is always kept; what is special is that the
schema is proven again after each of these, whether it passes or not, and that the summary says what was done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbparity.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Collection

    import pytest

    from dbparity.plugin.report_format import Test
    from dbparity.plugin.run import Run

MARKER = "ci_sensitive"
SCHEMA_SECTION = "dbparity: schema"
DETECTOR = "schema"
READY = "ready"
FULL = {"timeline", "stale-read", "leak"}
"""The detectors that a ci_sensitive test is promised, beside the schema's proof."""


def ci_reason(item: pytest.Item) -> str | None:
    """The reason that the marker gives; None without the marker."""
    marker = item.get_closest_marker(MARKER)
    if marker is None:
        return None
    return str(marker.kwargs.get("reason", marker.args[0] if marker.args else "no reason is given"))


def prove(run: Run, report: pytest.TestReport) -> None:
    """Look at the schema as the test leaves it, and keep the verdict with the test."""
    test = run.watch.test
    if report.when != "call" or test is None or test.database is None or is_proven(report.sections):
        return
    verdict = run.databases.verdict(test.database)
    if not verdict:
        return
    report.sections.append((SCHEMA_SECTION, verdict))
    if not verdict.startswith(READY):
        first, *rest = verdict.splitlines()
        message = (
            f"{test.nodeid} is ci_sensitive, and ends on a schema that is not what the models say: {first}"
        )
        run.watch.report(Finding(DETECTOR, message, tuple(rest)))


def is_proven(sections: Collection[tuple[str, str]]) -> bool:
    """Whether the schema was looked at when this test ended."""
    return any(title == SCHEMA_SECTION for title, _ in sections)


def summary(tests: Collection[Test], run: Run) -> list[str]:
    """How many of these tests ran, and whether each was validated in full."""
    ran = [each for each in tests if each["ci_sensitive"] and each["outcome"] != "skipped"]
    if not ran:
        return []
    noun = "1 ci_sensitive test" if len(ran) == 1 else f"{len(ran)} ci_sensitive tests"
    missing = sorted(FULL - {each.name for each in run.watch.detectors})
    if unproven := [each for each in ran if not is_proven([(it["title"], "") for it in each["sections"]])]:
        missing.append(f"a proof of the schema after {len(unproven)} of them")
    return [f"{noun} ran, {'without ' + ', '.join(missing) if missing else 'validated in full'}"]
