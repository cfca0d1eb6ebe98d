"""The shape of a step of the journey: data for people and reports, and the function that plays it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dashtam.journey.trip import Trip

Play = Callable[[Trip], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `sends` and `sees` are told to people; `play` does and demands exactly that."""

    number: int
    name: str
    sends: str
    sees: str
    budget_ms: int
    hint: str
    play: Play


def step(
    number: int, name: str, *, sends: str, sees: str, budget_ms: int, hint: str
) -> Callable[[Play], Step]:
    """Make a step of the function below it."""
    return lambda play: Step(number, name, sends, sees, budget_ms, hint, play)
