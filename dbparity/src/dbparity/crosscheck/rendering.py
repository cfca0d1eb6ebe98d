"""A comparison as text that fits a screen."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

from dbparity.crosscheck.comparison import UNKNOWN, UNSTABLE
from dbparity.crosscheck.trace import shortened
from dbparity.veil import Veil

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbparity.crosscheck.comparison import Comparison, Difference
    from dbparity.crosscheck.trace import Trace

SHOWN = 4
LISTED = 8
WIDTH = 116
ERRORS = 2


def rendered(comparison: Comparison) -> str:
    """Only the differences; one line where there is none."""
    modes = " and ".join(comparison.modes)
    noun = "1 test" if comparison.compared == 1 else f"{comparison.compared} tests"
    lines = [f"{noun} under {modes}: {_count(len(comparison.differences))}"]
    for each in comparison.differences[:SHOWN]:
        lines += ["", *_difference(each, comparison.modes)]
    if rest := comparison.differences[SHOWN:]:
        lines += ["", f"and {len(rest)} more (--json has all):"]
        lines += [f"  {each.nodeid}: {each.kind}" for each in rest[:LISTED]]
    if comparison.alike:
        lines += ["", f"{len(comparison.alike)} not compared: isolated alike in both runs, by their markers."]
    return "\n".join(str(Veil().over(folded)) for line in lines for folded in _folded(line))


def _folded(line: str) -> list[str]:
    """The line, continued below itself where it is too long."""
    margin = len(line) - len(line.lstrip())
    return wrap(line, WIDTH, subsequent_indent=" " * (margin + 4), break_on_hyphens=False) or [""]


def _count(number: int) -> str:
    return {0: "no difference", 1: "1 difference"}.get(number, f"{number} differences")


def _difference(difference: Difference, modes: tuple[str, str]) -> Iterator[str]:
    yield f"{difference.nodeid}: {difference.kind}"
    for mode, trace in zip(modes, (difference.rolled_back, difference.committed), strict=True):
        yield from _side(mode, trace, tells_errors=not difference.causes)
    if difference.kind == UNSTABLE:
        yield f"  Run again, it ended otherwise under {difference.unstable}: isolation is not shown to be the cause."
    elif difference.kind == UNKNOWN:
        yield "  No known effect of isolation explains this."
    else:
        yield from _explained(difference)


def _explained(difference: Difference) -> Iterator[str]:
    first, *others = difference.causes
    yield f"  Because {first.sentence}"
    yield from (f"    {line}" for line in first.evidence)
    yield f"    -> {first.remedy}"
    if others:
        yield f"  There is evidence too for: {', '.join(each.kind for each in others)}."


def _side(mode: str, trace: Trace | None, *, tells_errors: bool) -> Iterator[str]:
    if trace is None:
        yield f"  {mode}: did not run"
        return
    said = trace.last_line()
    yield f"  {mode}: {trace.outcome}{f', {said}' if said else ''}"
    if tells_errors:
        for each in trace.of("error")[:ERRORS]:
            yield f"    on the way: {shortened(each.told['type'] + ': ' + each.told['message'])}"
