"""The request that a test is making of the application, known to whatever code runs on its behalf."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbparity.watch import RunningTest


@dataclass(eq=False)
class Request:
    """A request that the test makes of the application under test, in process."""

    number: int
    """Counted from 1 in each test."""
    label: str
    """As a log would have it: "POST /auth/login"."""
    test: RunningTest | None
    is_over: bool = False
    """Whether the application has answered or raised."""

    def __str__(self) -> str:
        """Fit for a sentence."""
        return f"request {self.number} ({self.label})"


_request: ContextVar[Request | None] = ContextVar("dbparity_request", default=None)


def current_request() -> Request | None:
    """The request whose code is running here; None in the test's own code."""
    return _request.get()


@contextmanager
def entered(request: Request) -> Iterator[None]:
    """Mark what runs in this block, and the tasks and threads it starts, as this request's."""
    token = _request.set(request)
    try:
        yield
    finally:
        request.is_over = True
        _request.reset(token)
