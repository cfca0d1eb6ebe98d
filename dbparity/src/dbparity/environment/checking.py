"""One source against the contract, and then all of them with each other."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from dbparity.environment.comparing import compare_files, compare_process
from dbparity.environment.sources import Source
from dbparity.environment.violations import Kind, Violation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from dbparity.environment.contract import Contract, Variable


def check(contract: Contract, environment: str, values: Mapping[str, str]) -> tuple[Violation, ...]:
    """What a process of this environment that runs with these variables has that is not as declared.

    No violation shows a value. Raises BadEnvFileError where the environment's own file cannot be read.
    """
    source = Source.of_process(environment, values)
    if environment not in contract.environments:
        return (_unknown(contract, source),)
    return (*_own(contract, source), *compare_process(contract, source))


def check_files(contract: Contract, paths: Sequence[Path]) -> tuple[Violation, ...]:
    """What these files have that is not as declared, and where they differ without a stated reason.

    Raises BadEnvFileError for one that cannot be read, or of which it is not known what environment it is.
    """
    sources = [Source.of_file(contract, path) for path in paths]
    found = [violation for each in sources for violation in _own(contract, each)]
    return (*found, *compare_files(contract, sources))


def _unknown(contract: Contract, source: Source) -> Violation:
    names = ", ".join(contract.environments)
    if source.environment:
        kind, message = Kind.OTHER_ENVIRONMENT, f"is none of {names}"
    else:
        kind, message = Kind.MISSING, f"is not set: which of {names} is this?"
    return Violation(kind, contract.variable, "", source.label, message)


def _own(contract: Contract, source: Source) -> Iterator[Violation]:
    """What is wrong with this source, whatever the others say."""
    yield from _name(contract, source)
    for name, lines in source.twice.items():
        also = " and ".join(map(str, lines[:-1]))
        yield _violation(source, Kind.TWICE, name, f"is set in line {also}, too")
    for name in sorted(source.values.keys() - contract.variables.keys()):
        if guess := _undeclared(contract, source, name):
            yield _violation(source, Kind.UNDECLARED, name, guess)
    for variable in contract.variables.values():
        yield from _missing(contract, source, variable)
        if variable.name in source.values:
            yield from _value(source, variable, source.values[variable.name])


def _violation(source: Source, kind: Kind, name: str, message: str) -> Violation:
    line = source.lines.get(name, 0)
    return Violation(kind, name, source.environment, source.label, message, line)


def _name(contract: Contract, source: Source) -> Iterator[Violation]:
    """Values that say they are another environment than this is."""
    claimed = contract.claimed(source.values)
    if not contract.variable or claimed == source.environment:
        return
    if source.values.get(contract.variable):
        message = f"says {claimed}, and this is {source.environment}"
        yield _violation(source, Kind.OTHER_ENVIRONMENT, contract.variable, message)
    else:
        means = f", which means {claimed}," if claimed else ""
        message = f"is not set{means} and this is {source.environment}"
        yield _violation(source, Kind.MISSING, contract.variable, message)


def _undeclared(contract: Contract, source: Source, name: str) -> str:
    """What to say of a name that the contract does not know; nothing, if it is another program's."""
    if source.is_process and name.upper() in contract.variables:
        return f"is not declared; {name.upper()} is"
    if source.is_process and not name.startswith(contract.prefixes or ("\0",)):
        return ""
    close = get_close_matches(name, contract.variables, 1)
    return f"is not declared; {close[0]} is" if close else "is not declared"


def _missing(contract: Contract, source: Source, variable: Variable) -> Iterator[Violation]:
    if source.environment not in variable.required:
        return
    file_form = contract.file_form(variable.name)
    if source.example and not source.values.keys().isdisjoint((variable.name, file_form)):
        return  # to be filled in
    if variable.means_unset(source.values.get(variable.name)) and not source.values.get(file_form):
        other = f", and so is {file_form}" if file_form else ""
        empty = "is empty" if variable.name in source.values else "is not set"
        yield _violation(
            source, Kind.MISSING, variable.name, f"{empty}{other}; {source.environment} requires it"
        )


def _value(source: Source, variable: Variable, text: str) -> Iterator[Violation]:
    name = variable.name
    if variable.means_unset(text) or (source.example and not text):
        return
    if variable.secret and source.committed:
        yield _violation(source, Kind.SECRET, name, "is a secret, and has a value in a committed file")
    if variable.file_of and source.values.get(variable.file_of):
        yield _violation(source, Kind.BOTH_FORMS, name, f"is set, and so is {variable.file_of}")
    if fault := variable.type_fault(text):
        yield _violation(source, Kind.ILL_TYPED, name, fault)
    elif fault := variable.range_fault(text):
        yield _violation(source, Kind.OUT_OF_RANGE, name, fault)
