"""Two runs of the same tests, side by side: only what differs is kept, and explained where that can be."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dbparity.crosscheck.causes import Cause, causes
from dbparity.crosscheck.trace import Trace, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

VARYING = re.compile(r"0x[0-9a-f]+|\d+")
UNSTABLE = "unstable"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Difference:
    """A test that ends otherwise, or meets other errors, under the one isolation than under the other."""

    nodeid: str
    rolled_back: Trace | None
    """None where it ran under commits only, for example because the other run stopped before it."""
    committed: Trace | None
    causes: tuple[Cause, ...] = ()
    unstable: str = ""
    """Which isolation gave another result when the test was run again under it: then isolation is no cause."""

    @property
    def kind(self) -> str:
        """The most certain cause; "unstable" or "unknown" where none is claimed."""
        if self.unstable:
            return UNSTABLE
        return self.causes[0].kind if self.causes else UNKNOWN


@dataclass(frozen=True)
class Comparison:
    """What came of it."""

    modes: tuple[str, str]
    """savepoint, and the one that commits."""
    compared: int
    """How many tests really ran under both."""
    alike: tuple[str, ...] = ()
    """Tests that their markers keep under one isolation in both runs: they show nothing here."""
    differences: tuple[Difference, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """In types that JSON knows."""
        return {
            "format": 1,
            "isolations": list(self.modes),
            "compared": self.compared,
            "not_compared": list(self.alike),
            "differences": [_as_dict(each, self.modes) for each in self.differences],
        }


def compared(modes: tuple[str, str], first: Mapping[str, Any], second: Mapping[str, Any]) -> Comparison:
    """Pair the tests of two reports by their node ids."""
    rolled_back, committed = _traces(first), _traces(second)
    nodeids = list(dict.fromkeys([*rolled_back, *committed]))
    both = [each for each in nodeids if each in rolled_back and each in committed]
    alike = {each for each in both if not _isolated_apart(rolled_back[each], committed[each])}
    differences = []
    for nodeid in nodeids:
        one, other = rolled_back.get(nodeid), committed.get(nodeid)
        if nodeid not in alike and differ(one, other):
            found = causes(one, other) if one is not None and other is not None else []
            differences.append(Difference(nodeid, one, other, tuple(found)))
    return Comparison(modes, len(both) - len(alike), tuple(sorted(alike)), tuple(differences))


def differ(one: Trace | None, other: Trace | None) -> bool:
    """Whether there is something to tell: another outcome, another failure, or another error met on the way."""
    if one is None or other is None:
        return True
    return _seen(one) != _seen(other)


def repeated(found: Comparison, first: Mapping[str, Any], second: Mapping[str, Any]) -> Comparison:
    """The same comparison, knowing of a second pair of runs which differences come and go."""
    again = _traces(first), _traces(second)
    differences = []
    for each in found.differences:
        before = each.rolled_back, each.committed
        unstable = [
            mode
            for mode, trace, traces in zip(found.modes, before, again, strict=True)
            if _outcome(trace) != _outcome(traces.get(each.nodeid))
        ]
        differences.append(replace(each, unstable=", ".join(unstable)))
    return replace(found, differences=tuple(differences))


def _outcome(trace: Trace | None) -> str:
    return trace.outcome if trace is not None else ""


def _seen(trace: Trace) -> tuple[object, ...]:
    errors = {(each.told["type"], bool(each.told.get("at_commit"))) for each in trace.of("error")}
    return trace.outcome, _normal(trace.last_line()), frozenset(errors)


def _normal(line: str) -> str:
    return VARYING.sub("N", line)


def _isolated_apart(one: Trace, other: Trace) -> bool:
    return one.isolation != other.isolation


def _traces(document: Mapping[str, Any]) -> dict[str, Trace]:
    tests: Iterable[Mapping[str, Any]] = document["tests"]
    return {str(each["nodeid"]): Trace(each) for each in tests}


def _as_dict(difference: Difference, modes: tuple[str, str]) -> dict[str, Any]:
    sides = zip(modes, (difference.rolled_back, difference.committed), strict=True)
    return {
        "nodeid": difference.nodeid,
        "kind": difference.kind,
        **{mode: _side(trace) for mode, trace in sides},
        "causes": [
            {
                "kind": each.kind,
                "sentence": each.sentence,
                "evidence": list(each.evidence),
                "remedy": each.remedy,
            }
            for each in difference.causes
        ],
        "unstable": difference.unstable,
    }


def _side(trace: Trace | None) -> dict[str, Any] | None:
    if trace is None:
        return None
    return {
        "outcome": trace.outcome,
        "message": trace.last_line(),
        "at": trace.failures[0]["at"] if trace.failures else "",
        "errors": [shortened(f"{each.told['type']}: {each.told['message']}") for each in trace.of("error")],
    }
