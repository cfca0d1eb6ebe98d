"""The report of `dbparity env`: for people, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbparity.environment.contract import Contract
    from dbparity.environment.violations import Violation

FORMAT = 1


class Checked(NamedTuple):
    """What was compared, and what was found."""

    contract: Contract
    labels: Sequence[str]
    """The files, and "this process"."""
    violations: Sequence[Violation]


def rendered(checked: Checked) -> str:
    """A line for each violation, what to do about each kind, and the sum."""
    lines = [each.render() for each in checked.violations]
    for kind in dict.fromkeys(each.kind for each in checked.violations):
        remedy = next(each.remedy for each in checked.violations if each.kind == kind)
        lines.append(f"  -> {kind}: {remedy}")
    return "\n".join([*lines, _sum(checked)]) + "\n"


def as_dict(checked: Checked) -> dict[str, Any]:
    """The same in types that JSON knows."""
    return {
        "format": FORMAT,
        "contract": str(checked.contract.path),
        "compared": list(checked.labels),
        "violations": [each.as_dict() for each in checked.violations],
    }


def _sum(checked: Checked) -> str:
    compared = f"{', '.join(checked.labels)} against {checked.contract.path}"
    count = len(checked.violations)
    if not count:
        return f"As declared: {compared} ({len(checked.contract.variables)} variables)."
    return f"{count} {'violation' if count == 1 else 'violations'}: {compared}."
