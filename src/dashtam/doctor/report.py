"""What a checkup found, for people as a checklist and for programs as plain data."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from dashtam.doctor.check import Verdict
from dashtam.doctor.checkup import Result

MARKS = {Verdict.OK: "✓", Verdict.SKIPPED: "-", Verdict.WARNING: "!", Verdict.FAILURE: "✗"}
_WORDS = {
    Verdict.OK: "well",
    Verdict.SKIPPED: "not examined",
    Verdict.WARNING: "to look at",
    Verdict.FAILURE: "failing",
}

AnyResult = Result[Any]


def lines(result: AnyResult) -> list[str]:
    """One check: its mark, title and evidence, and below it the remedy."""
    shown = [f"  {MARKS[result.verdict]} {result.check.title}: {result.answer.evidence}"]
    if result.answer.remedy:
        shown.append(f"      → {result.answer.remedy}")
    return shown


def summary(results: Sequence[AnyResult], seconds: float) -> str:
    """How many checks there were, and how they came out."""
    counts = Counter(result.verdict for result in results)
    parts = [f"{counts[verdict]} {word}" for verdict, word in _WORDS.items() if counts[verdict]]
    checks = "1 check" if len(results) == 1 else f"{len(results)} checks"
    return f"{checks} in {seconds:.1f} s: {', '.join(parts)}."


def worst(results: Sequence[AnyResult]) -> Verdict:
    """The worst verdict of all; what was not examined is not bad in itself."""
    found = {result.verdict for result in results}
    return next((bad for bad in (Verdict.FAILURE, Verdict.WARNING) if bad in found), Verdict.OK)


def unusable(results: Sequence[AnyResult]) -> bool:
    """Whether a setting is wrong, so that the service would not even start."""
    return any(
        result.check.name == "settings.valid" and result.verdict is Verdict.FAILURE for result in results
    )


def unreachable(results: Sequence[AnyResult]) -> bool:
    """Whether the server or the database does not answer, so that most could not be examined."""
    failing = {result.check.name for result in results if result.verdict is Verdict.FAILURE}
    return not failing.isdisjoint({"server.answers", "database.answers"})


def as_dict(results: Sequence[AnyResult], seconds: float) -> dict[str, Any]:
    """Everything found. Verdicts: ok, skipped, warning, failure."""
    return {
        "verdict": worst(results).value,
        "seconds": round(seconds, 3),
        "checks": [
            {
                "name": result.check.name,
                "title": result.check.title,
                "verdict": result.verdict.value,
                "evidence": result.answer.evidence,
                "remedy": result.answer.remedy,
                "seconds": round(result.seconds, 3),
            }
            for result in results
        ],
    }
