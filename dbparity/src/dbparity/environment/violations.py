"""What is not as the contract says: one variable, in one place."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What is wrong."""

    UNDECLARED = "undeclared"
    MISSING = "missing"
    ILL_TYPED = "ill-typed"
    OUT_OF_RANGE = "out-of-range"
    DIFFERS = "differs"
    TWICE = "twice"
    SECRET = "secret"  # noqa: S105 - a kind of violation
    BOTH_FORMS = "both-forms"
    OTHER_ENVIRONMENT = "other-environment"


REMEDIES = {
    Kind.UNDECLARED: "Declare it in the contract, or take it out.",
    Kind.MISSING: "Set it, or say in the contract that it is not required or may differ there, and why.",
    Kind.ILL_TYPED: "Mend the value, or the type in the contract.",
    Kind.OUT_OF_RANGE: "Mend the value, or what the contract allows.",
    Kind.DIFFERS: "Give it the value of the others, or state the reason in the contract, under `differs`.",
    Kind.TWICE: "Keep one of the lines.",
    Kind.SECRET: "Take it out and make another: what was committed is no secret any more.",
    Kind.BOTH_FORMS: "Unset one of the two.",
    Kind.OTHER_ENVIRONMENT: "Name the environment that it is.",
}


@dataclass(frozen=True)
class Violation:
    """One thing that is not as declared. Never holds the value of a secret."""

    kind: Kind
    variable: str
    environment: str
    where: str
    """The file, or "this process"."""
    message: str
    line: int = 0
    """In the file; 0 where there is none."""

    @property
    def remedy(self) -> str:
        """What to do."""
        return REMEDIES[self.kind]

    @property
    def place(self) -> str:
        """File and line, as editors know them."""
        return f"{self.where}:{self.line}" if self.line else self.where

    def render(self) -> str:
        """One line."""
        return f"{self.place}: {self.variable} {self.message}"

    def as_dict(self) -> dict[str, Any]:
        """The violation in types that JSON knows."""
        return asdict(self) | {"kind": str(self.kind), "remedy": self.remedy}
