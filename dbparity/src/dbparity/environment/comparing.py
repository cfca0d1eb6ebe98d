"""Sources with each other: what differs, or stands in one file only, must be stated in the contract with a reason.

Of each variable the environments that the contract lets differ are left out. The others must agree: on whether
their files name it, and on what it means. Where they do not, the fewer deviate from the more.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from dbparity.environment.sources import Source
from dbparity.environment.values import shown
from dbparity.environment.violations import Kind, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbparity.environment.contract import Contract, Variable
    from dbparity.environment.values import Value


class _State(NamedTuple):
    """What a file makes of a variable."""

    named: bool
    value: Value | None


def compare_files(contract: Contract, sources: Sequence[Source]) -> Iterator[Violation]:
    """The variables in which files deviate from the others without a stated reason."""
    for variable in contract.variables.values():
        if not variable.compared or variable.name == contract.variable:
            continue
        states: dict[_State, list[Source]] = defaultdict(list)
        for each in sources:
            state = _state(variable, each)
            free = variable.may_deviate(each.environment, committed=each.committed)
            if state is not None and not free:
                states[state].append(each)
        if len(states) > 1:
            yield from _deviations(variable, states)


def compare_process(contract: Contract, process: Source) -> Iterator[Violation]:
    """The variables in which a process deviates from its environment's file; from the defaults, where there is none."""
    file = contract.environments[process.environment].path
    there_is = file.is_file()
    reference = Source.of_file(contract, file) if there_is else Source(file.name, "", {})
    says = f"what {file.name} says" if there_is else "the default"
    for variable in contract.variables.values():
        if not variable.compared or variable.name == contract.variable:
            continue
        if variable.may_deviate(process.environment, committed=False):
            continue
        here, there = _state(variable, process), _state(variable, reference)
        if here is not None and there is not None and here.value != there.value:
            message = f"is not {says}; no reason is stated for {process.environment}"
            yield Violation(Kind.DIFFERS, variable.name, process.environment, process.label, message)


def _state(variable: Variable, source: Source) -> _State | None:
    """None where there is nothing to compare: the value is wrong in itself, or to be filled in."""
    text = source.values.get(variable.name)
    if text is None:
        return _State(named=False, value=variable.default)
    if (source.example and not text) or variable.type_fault(text) or variable.range_fault(text):
        return None
    return _State(named=True, value=variable.effective(text))


def _deviations(variable: Variable, states: dict[_State, list[Source]]) -> Iterator[Violation]:
    # Where they are even, those that name it, and the first.
    most = max(states, key=lambda state: (len(states[state]), state.named))
    others = ", ".join(each.label for each in states[most])
    for state, sources in states.items():
        if state == most:
            continue
        for source in sources:
            kind, said = _told(state, most, others)
            message = f"{said}; no reason is stated for {source.environment}"
            line = source.lines.get(variable.name, 0)
            yield Violation(kind, variable.name, source.environment, source.label, message, line)


def _told(state: _State, most: _State, others: str) -> tuple[Kind, str]:
    if state.named and most.named:
        return Kind.DIFFERS, f"is {shown(state.value)}, and {shown(most.value)} in {others}"
    values = "" if state.value == most.value else f" ({shown(most.value)}; here {shown(state.value)})"
    if state.named:
        return Kind.DIFFERS, f"is set here, and not in {others}{values}"
    return Kind.MISSING, f"is not set here, and is in {others}{values}"
