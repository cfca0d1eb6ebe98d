"""A comparison as text that fits a screen."""

from __future__ import annotations

import json
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from dbparity.fingerprint.rating import Effect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbparity.fingerprint.comparing import Comparison, Difference
    from dbparity.fingerprint.file import Facts

WIDTH = 100
HARMLESS = 8
"""How many differences without an effect are shown in full."""


def rendered(comparison: Comparison, a: tuple[str, Facts], b: tuple[str, Facts]) -> str:
    """Both sides, then the differences, the worst first."""
    lines = [_side("A", *a), _side("B", *b), _count(comparison)]
    for effect, found in comparison.by_effect():
        shown = found[:HARMLESS] if effect is Effect.NONE else found
        lines += ["", f"{effect}:"]
        lines += [line for each in shown for line in _difference(each)]
        if rest := found[len(shown) :]:
            lines += _wrapped(f"and {len(rest)} more (--json has all): {_names(rest)}", "  ")
    if comparison.one_sided:
        lines += ["", f"not compared: {'; '.join(comparison.one_sided)}"]
    return "\n".join(lines)


def _side(letter: str, name: str, facts: Facts) -> str:
    about, order = facts.get("about", {}), facts.get("run", {}).get("order", {})
    tests = sum(map(len, order.values()))
    ran = f", {tests} tests in {len(order)} {'process' if len(order) == 1 else 'processes'}" if order else ""
    return (
        f"{letter}  {name}: made {about.get('made', 'some time ago')} by {about.get('by', 'somebody')}{ran}"
    )


def _count(comparison: Comparison) -> str:
    number = len(comparison.differences)
    if not number:
        return "no difference"
    worst = sum(each.effect is Effect.RESULTS for each in comparison.differences)
    return f"{number} {'difference' if number == 1 else 'differences'}, {worst} of which can change results"


def _difference(each: Difference) -> Iterator[str]:
    a, b = f"A {_value(each.a)}", f"B {_value(each.b)}"
    line = f"  {each.fact}: {a}, {b}"
    yield from [line] if len(line) <= WIDTH else [f"  {each.fact}", f"    {a}", f"    {b}"]
    yield from _wrapped(each.why, "    ")


def _value(value: Any) -> str:  # noqa: ANN401 - whatever JSON can say
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= WIDTH else f"{text[:WIDTH]}…"


def _names(differences: list[Difference]) -> str:
    return ", ".join(each.fact.rpartition("/")[2] for each in differences)


def _wrapped(text: str, margin: str) -> list[str]:
    return wrap(text, WIDTH, initial_indent=margin, subsequent_indent=margin, break_on_hyphens=False)
