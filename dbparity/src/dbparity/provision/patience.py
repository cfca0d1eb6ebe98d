"""How long is waited for what, and how it is told meanwhile: nothing here waits for ever, or in silence."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

Say = Callable[[str], None]
"""Takes a line for people: where it goes is the caller's business."""

TOLD_FIRST = 5.0
TOLD_LAST = 60.0
"""The pause between two lines grows from the one to the other."""


def silent(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Patience:
    """Deadlines, in seconds."""

    lock: float = 300.0
    """For another process that builds the same schema."""
    busy: float = 300.0
    """For a migration that runs elsewhere."""
    run: float = 1800.0
    """For another test run on the same database."""
    table: float = 10.0
    """For a lock on a table that a statement of ours needs."""
    build: float = 600.0
    """For all the migrations, or for `create_all`."""


class Deadline:
    """Waits in small steps until a point in time, and says from time to time what for."""

    def __init__(self, seconds: float, say: Say = silent, step: float = 0.1) -> None:
        self.seconds = seconds
        self._say = say
        self._step = step
        self._began = time.monotonic()
        self._due = self._began
        self._pause = TOLD_FIRST

    @property
    def waited(self) -> float:
        """How long it has been, in seconds."""
        return time.monotonic() - self._began

    @property
    def over(self) -> bool:
        """Whether there is no time left."""
        return self.waited >= self.seconds

    @property
    def due(self) -> bool:
        """Whether nothing has been said lately."""
        return time.monotonic() >= self._due

    def tell(self, what: str) -> None:
        """Say what is waited for, if it is due."""
        if self.due:
            self._due = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, TOLD_LAST)
            self._say(f"{what} ({self.waited:.0f} of at most {self.seconds:.0f} s)")

    def pause(self) -> None:
        """Let a moment pass."""
        time.sleep(max(0.0, min(self._step, self.seconds - self.waited)))
