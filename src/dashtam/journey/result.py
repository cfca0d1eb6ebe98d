"""What a journey leaves behind for reports: outcomes as plain data, already redacted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from dashtam.journey.redact import visible

Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """How one step went."""

    number: int
    name: str
    status: Status
    ms: float
    budget_ms: int

    @property
    def slow(self) -> bool:
        """Whether a passed step took longer than its budget; this is a remark, not a failure."""
        return self.status == "passed" and self.ms > self.budget_ms


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and what came back; `status_line` and body say so when nothing did."""

    request_line: str
    request_headers: tuple[tuple[str, str], ...]
    request_body: str
    status_line: str
    response_headers: tuple[tuple[str, str], ...]
    response_body: str

    def text(self) -> str:
        """Lay it out as on the wire, `>` for what was sent and `<` for what came."""
        sent = _lines(">", self.request_line, self.request_headers, self.request_body)
        came = _lines("<", self.status_line, self.response_headers, self.response_body)
        return f"{sent}\n{came}"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the journey stopped."""

    number: int
    name: str
    sends: str
    expected: str
    saw: str
    hint: str
    diagnosis: str = ""
    unreachable: bool = False
    exchange: Exchange | None = None


@dataclass(frozen=True, slots=True)
class CleanUp:
    """What became of the synthetic account; `left_behind` is its address when it could not be removed."""

    detail: str
    ms: float
    left_behind: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """One journey, whole."""

    base_url: str
    prefix: str
    address: str
    steps: tuple[StepOutcome, ...]
    failure: Failure | None
    clean_up: CleanUp
    total_ms: float

    @property
    def passed(self) -> bool:
        """Whether every step passed and no account was left behind."""
        return self.failure is None and self.clean_up.left_behind is None

    @property
    def unreachable(self) -> bool:
        """Whether the server could not be asked at all, as opposed to answering wrongly."""
        return self.failure is not None and self.failure.unreachable

    @property
    def score(self) -> str:
        """Steps passed of all, as in 18/18."""
        return f"{sum(step.status == 'passed' for step in self.steps)}/{len(self.steps)}"

    def explain(self) -> str:
        """Say how it went in plain text: one line for a good journey, the whole story for a failed one."""
        lines = [f"{self.score} steps passed in {self.total_ms:.0f} ms against {self.base_url}"]
        if self.failure is not None:
            lines += explain_failure(self.failure)
        lines.append(f"Clean-up: {self.clean_up.detail}")
        return "\n".join(visible(line) for line in lines)


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A step begins."""

    number: int
    name: str


@dataclass(frozen=True, slots=True)
class StepEnded:
    """A step passed or failed; `failure` tells which."""

    outcome: StepOutcome
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class CleanedUp:
    """The clean-up is over, and with it the journey."""

    clean_up: CleanUp


Event = StepStarted | StepEnded | CleanedUp
Listener = Callable[[Event], None]


def explain_failure(failure: Failure) -> list[str]:
    """Tell a failure line by line: what was wanted, what came, what it means, what was on the wire."""
    lines = [
        f"Step {failure.number}, {failure.name}, failed.",
        f"  Sent:      {failure.sends}",
        f"  Expected:  {failure.expected}",
        f"  Saw:       {failure.saw}",
    ]
    if failure.diagnosis:
        lines.append(f"  Diagnosis: {failure.diagnosis}")
    if not failure.unreachable:
        lines.append(f"  Hint:      {failure.hint}")
    if failure.exchange is not None:
        lines += [f"  {line}" for line in failure.exchange.text().splitlines()]
    return [visible(line) for line in lines]


def _lines(mark: str, first: str, headers: tuple[tuple[str, str], ...], body: str) -> str:
    lines = [first, *(f"{name}: {value}" for name, value in headers)]
    if body:
        lines += ["", *body.splitlines()]
    return "\n".join(f"{mark} {line}".rstrip() for line in lines)
