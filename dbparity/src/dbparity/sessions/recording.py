"""What happened to the database during one test: a bounded list of small tuples, put into words only on demand."""

from __future__ import annotations

from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

from dbparity.request import Request, current_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbparity.watch import RunningTest

NAME = "timeline"
KEPT = 2000
"""How many entries of a test are kept: the last ones."""


class Entry(NamedTuple):
    """One thing that happened."""

    at: float
    """Seconds since the test began."""
    kind: str
    phase: str
    """"setup", "call" or "teardown"."""
    request: Request | None
    session: int | None
    detail: Any
    """What `timeline_text` makes words of: a Statement, a size of an identity map, lines."""


class Statement(NamedTuple):
    """A statement that was executed, or failed."""

    text: str
    parameters: Any
    """Of its first execution."""
    executions: int
    seconds: float
    rows: int
    """Negative where the driver does not know."""
    engine: int
    error: str


class Recording:
    """The timeline of one test."""

    def __init__(self) -> None:
        self._began = perf_counter()
        self.entries: deque[Entry] = deque(maxlen=KEPT)
        self.total = 0
        self.engines: dict[int, str] = {}
        """The databases behind the engines that were used, by the engines' numbers."""
        self.phase = "setup"
        """"setup", "call" or "teardown"."""

    def add(self, kind: str, session: int | None, detail: Any) -> None:  # noqa: ANN401 - see Entry
        """Note what happens now."""
        self.total += 1
        self.entries.append(
            Entry(perf_counter() - self._began, kind, self.phase, current_request(), session, detail)
        )

    @property
    def lost(self) -> int:
        """How many entries, the first ones, were dropped."""
        return self.total - len(self.entries)


def recording_of(test: RunningTest) -> Recording | None:
    """The recording of a test; None where nobody kept one."""
    found: Recording | None = test.notes.get(NAME)
    return found


def sizes(counts: Sequence[int], words: Sequence[str]) -> str:
    """What of several counts is not zero: "2 new, 1 deleted"."""
    return ", ".join(f"{count} {word}" for count, word in zip(counts, words, strict=True) if count)
