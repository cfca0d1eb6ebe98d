"""A contract: the environments there are, and every variable that a process or a file may set."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dbparity.environment.values import NEVER_EMPTY, WRITTEN, Type, Value, parsed, shown

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Variable:
    """What is declared of one variable."""

    name: str
    type: Type
    about: str
    default: Value | None = None
    """What the program takes where the variable is not set; None: there is no such value."""
    choices: tuple[Value, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    pattern: re.Pattern[str] | None = None
    secret: bool = False
    """Its value is never shown and never committed; every environment has one of its own."""
    required: frozenset[str] = frozenset()
    """The environments that cannot do without it."""
    differs: Mapping[str, str] = field(default_factory=dict)
    """The environments that may deviate from the others, and why."""
    local: str = ""
    """Why it is a matter of the machine: a process may deviate from its environment's file."""
    file_of: str = ""
    """The variable whose value stands in the file that this one names."""

    @property
    def compared(self) -> bool:
        """Whether its value is anybody else's business."""
        return not self.secret and not self.file_of

    def may_deviate(self, environment: str, *, committed: bool) -> bool:
        """Whether a reason is stated for a deviation there."""
        return environment in self.differs or (bool(self.local) and not committed)

    def means_unset(self, text: str | None) -> bool:
        """Whether this is as good as not to set it."""
        return text is None or (not text and self.type not in NEVER_EMPTY and not self.default)

    def effective(self, text: str | None) -> Value | None:
        """What the program makes of it. Raises ValueError where it is ill-typed."""
        if self.means_unset(text):
            return self.default
        return parsed(self.type, text or "")

    def type_fault(self, text: str) -> str:
        """What it should be, where it is something else."""
        try:
            self.effective(text)
        except ValueError:
            return f"must be {WRITTEN[self.type]}"
        return ""

    def range_fault(self, text: str) -> str:
        """Which value it could have, where it has another one of its type."""
        value = self.effective(text)
        if value is None or self.means_unset(text):
            return ""
        if self.choices and value not in self.choices:
            return f"must be one of {', '.join(map(shown, self.choices))}"
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._outside(value)
        if self.pattern and not self.pattern.fullmatch(text or ""):
            return f"must match {self.pattern.pattern}"
        return ""

    def _outside(self, value: float) -> str:
        if self.minimum is not None and value < self.minimum:
            return f"must be at least {self.minimum:g}"
        if self.maximum is not None and value > self.maximum:
            return f"must be at most {self.maximum:g}"
        return ""


@dataclass(frozen=True)
class EnvironmentFile:
    """The committed file of an environment."""

    name: str
    path: Path
    example: bool = False
    """To be copied and filled in: what is required stands in it, and is empty."""


@dataclass(frozen=True)
class Contract:
    """All that is declared."""

    path: Path
    environments: Mapping[str, EnvironmentFile]
    variables: Mapping[str, Variable]
    variable: str = ""
    """The variable by which a process says which environment it is."""
    prefixes: tuple[str, ...] = ()
    """Names that begin so are of this project: in a process, too, each must be declared."""

    def claimed(self, values: Mapping[str, str]) -> str:
        """The environment that these values say they are; the default, or nothing, where they do not say."""
        variable = self.variables.get(self.variable)
        if variable is None:
            return ""
        return values.get(self.variable, "") or str(variable.default or "")

    def file_form(self, name: str) -> str:
        """The variable that can name a file with the value of this one; empty where there is none."""
        return next((each.name for each in self.variables.values() if each.file_of == name), "")
