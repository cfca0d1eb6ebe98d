"""A report laid out for people: one screen, the verdict first and the mending command last."""

from __future__ import annotations

import textwrap
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dbparity.schema.report import Report

WIDTH = 100
LABEL = 11
DIFFERENCES = 4
EVIDENCE = 3
CANDIDATES = 3
IDS = 4


def rendered(report: Report) -> str:
    """Lay the report out under labels, each text wrapped beside its label."""
    return "\n".join(chain([f"{report.verdict}: {_first_line(report)}"], *_sections(report)))


def _first_line(report: Report) -> str:
    return report.summary() if report.true else report.hint or report.summary()


def _sections(report: Report) -> Iterator[Iterator[str]]:
    if report.place:
        yield _labelled("database", [report.place])
    if report.available is not None:
        yield _labelled("applied", [_listed(report.revisions) or "nothing"])
        yield _labelled("newest", [_newest(report)])
    yield _labelled("differs", _some([each.sentence for each in report.differences], DIFFERENCES))
    yield _labelled("seen", _some(report.evidence, EVIDENCE))
    yield _labelled("how", _ways(report))
    yield _labelled("mend", _mending(report))


def _newest(report: Report) -> str:
    waiting = f"; {len(report.pending)} not applied: {_listed(report.pending)}" if report.pending else ""
    return (_listed(report.available or ()) or "there is no revision") + waiting


def _listed(revisions: tuple[str, ...]) -> str:
    shown = ", ".join(revisions[:IDS])
    return shown if len(revisions) <= IDS else f"{shown} and {len(revisions) - IDS} more"


def _ways(report: Report) -> Iterator[str]:
    shown = report.ways[:CANDIDATES]
    for place, way in enumerate(shown):
        yield f"{'or ' if place else ''}{way}"
        yield from (f"  - {sentence}" for sentence in _some(way.evidence, EVIDENCE))
    if len(report.ways) > len(shown):
        rest = ", ".join(str(way.number) for way in report.ways[len(shown) :])
        yield f"or less likely: way {rest}"


def _mending(report: Report) -> Iterator[str]:
    remedy = report.remedy
    if remedy is None:
        return
    if remedy.first:
        yield remedy.first
    yield from (f"  {command}" for command in remedy.commands)
    yield f"This loses {remedy.loses}." if remedy.loses else "This loses nothing."


def _some(sentences: Iterable[str], limit: int) -> list[str]:
    found = list(sentences)
    more = len(found) - limit
    return [*found[:limit], f"and {more} more"] if more > 0 else found


def _labelled(label: str, texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        indent = " " * (len(text) - len(text.lstrip()))
        # A command is copied: it stays on one line, however long.
        lines = [text] if indent and not text.lstrip().startswith("- ") else _wrapped(text)
        for line in lines:
            yield f"  {label:<{LABEL}}{line}".rstrip()
            label = ""


def _wrapped(text: str) -> list[str]:
    hanging = " " * (len(text) - len(text.lstrip(" -")))
    return textwrap.wrap(
        text, WIDTH - LABEL - 2, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
    )
