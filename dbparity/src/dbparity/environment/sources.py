"""Where values come from: the files of environments, and processes. And which environment each of them is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from dbparity.environment.files import read_file
from dbparity.environment.trouble import BadEnvFileError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dbparity.environment.contract import Contract, EnvironmentFile

PROCESS = "this process"
_OF_KUBERNETES = re.compile(
    r"[A-Z0-9_]+_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_[A-Z]+(_[A-Z]+)?)"
)


@dataclass(frozen=True)
class Source:
    """Values of one environment."""

    label: str
    environment: str
    values: Mapping[str, str]
    lines: Mapping[str, int] = field(default_factory=dict)
    twice: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    committed: bool = False
    """Whether it is a file that the contract names: others may hold secrets."""
    example: bool = False

    @property
    def is_process(self) -> bool:
        """Whether other programs' variables are among them, and no value may be shown."""
        return self.label == PROCESS

    @classmethod
    def of_file(cls, contract: Contract, path: Path) -> Self:
        """What the file says; which environment it is, is known by its name, or by what it says."""
        read = read_file(path)
        declared = _declared(contract, path)
        environment = declared.name if declared else read.values.get(contract.variable, "")
        if environment not in contract.environments:
            raise BadEnvFileError(path, [f"{path}: {_unknown(contract)}"])
        return cls(
            str(path),
            environment,
            read.values,
            read.lines,
            read.twice,
            committed=declared is not None,
            example=declared is not None and declared.example,
        )

    @classmethod
    def of_process(cls, environment: str, values: Mapping[str, str]) -> Self:
        """The variables that a process runs with, without those that Kubernetes makes of every service's name."""
        ours = {name: value for name, value in values.items() if not _is_of_kubernetes(name, values)}
        return cls(PROCESS, environment, ours)


def _is_of_kubernetes(name: str, values: Mapping[str, str]) -> bool:
    """Whether the name tells a pod of a service beside it, which may be called like this project."""
    if "KUBERNETES_SERVICE_HOST" not in values:
        return False
    return bool(_OF_KUBERNETES.fullmatch(name)) or (name.endswith("_PORT") and "://" in values[name])


def _declared(contract: Contract, path: Path) -> EnvironmentFile | None:
    """The environment whose file this is, or a copy of it."""
    return next((each for each in contract.environments.values() if each.path.name == path.name), None)


def _unknown(contract: Contract) -> str:
    names = ", ".join(contract.environments)
    files = ", ".join(each.path.name for each in contract.environments.values())
    said = f", and sets {contract.variable} to none of {names}" if contract.variable else ""
    return f"which environment is this? It is named like none of {files}{said}."
