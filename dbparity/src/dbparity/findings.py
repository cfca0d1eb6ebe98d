"""What a detector has found: one sentence, the evidence for it, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from dbparity.config import Strictness

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Finding:
    """Something that makes a test's result say less than it seems to."""

    detector: str
    """The detector's stable name, as `[tool.dbparity.detectors]` knows it: "stale-read"."""
    message: str
    """One sentence that names the test, the object and the line."""
    evidence: tuple[str, ...] = ()
    remedy: str = ""
    strictness: Strictness = Strictness.WARN
    """What the detector proposes; the configuration has the last word."""
    test: str = ""
    """The test during which it was found."""

    def render(self) -> str:
        """Some lines for people."""
        lines = [f"{self.detector}: {self.message}", *(f"    {line}" for line in self.evidence)]
        if self.remedy:
            lines.append(f"    -> {self.remedy}")
        return "\n".join(lines)

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Self:
        """The finding that `as_dict` described."""
        told = {**told, "evidence": tuple(told["evidence"]), "strictness": Strictness(told["strictness"])}
        return cls(**told)

    def as_dict(self) -> dict[str, Any]:
        """The finding in types that JSON knows."""
        return {
            "detector": self.detector,
            "message": self.message,
            "evidence": list(self.evidence),
            "remedy": self.remedy,
            "strictness": str(self.strictness),
            "test": self.test,
        }
