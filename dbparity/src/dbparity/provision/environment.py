"""What surrounds a run of the user's env.py: the variables it reads, the logging it changes, the words it says.

Whatever it does to this process is undone afterwards: `fileConfig` in env.py would otherwise switch off every
logger of the application and take pytest's handlers away.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

LINES_KEPT = 40

_heard: ContextVar[io.StringIO | None] = ContextVar("dbparity_heard", default=None)


class _Ear(io.TextIOBase):
    """Standard output that keeps what the build says, and passes on what everybody else says."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, said: str) -> int:
        return (_heard.get() or self._stream).write(said)

    def flush(self) -> None:
        if not getattr(self._stream, "closed", False):  # the garbage collector flushes too, after everybody
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self._stream, name)


class _Hearing(logging.Handler):
    """Keeps what the build logs."""

    def emit(self, record: logging.LogRecord) -> None:
        kept = _heard.get()
        if kept is not None:
            kept.write(f"{record.levelname} [{record.name}] {record.getMessage()}\n")


@contextmanager
def listening() -> Iterator[io.StringIO]:
    """Keep what this block prints and logs, in this thread and the tasks it starts."""
    kept = io.StringIO()
    token = _heard.set(kept)
    before = sys.stdout, sys.stderr
    ears = _Ear(sys.stdout), _Ear(sys.stderr)
    sys.stdout, sys.stderr = ears
    alembic, hearing = logging.getLogger("alembic"), _Hearing(logging.INFO)
    level, propagate = alembic.level, alembic.propagate
    alembic.addHandler(hearing)
    alembic.setLevel(logging.INFO)
    alembic.propagate = False
    try:
        yield kept
    finally:
        alembic.removeHandler(hearing)
        alembic.setLevel(level)
        alembic.propagate = propagate
        if (
            sys.stdout is ears[0]
        ):  # else somebody has put another in its place: pytest's capture, as it reports
            sys.stdout = before[0]
        if sys.stderr is ears[1]:
            sys.stderr = before[1]
        _heard.reset(token)


def tail(said: str) -> str:
    """The last lines of it, indented for a message."""
    lines = said.strip().splitlines()
    return "\n".join(f"    {line}" for line in lines[-LINES_KEPT:])


@contextmanager
def logging_kept() -> Iterator[None]:
    """Undo what env.py does to this process's logging."""
    root = logging.getLogger()
    loggers = [root, *(each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger))]
    before = [(each, each.handlers[:], each.level, each.propagate, each.disabled) for each in loggers]
    # fileConfig forgets every handler there is: those are the ones that are flushed when the process ends.
    known, listed = dict(getattr(logging, "_handlers", {})), list(getattr(logging, "_handlerList", []))
    try:
        yield
    finally:
        for each, handlers, level, propagate, disabled in before:
            each.handlers[:], each.propagate, each.disabled = handlers, propagate, disabled
            each.setLevel(level)
        getattr(logging, "_handlers", {}).update(known)
        now = getattr(logging, "_handlerList", [])
        now[:] = listed + [each for each in now if each not in listed]


@contextmanager
def variable_set(name: str, value: str) -> Iterator[None]:
    """Set an environment variable for this block; an empty name sets none."""
    if not name:
        yield
        return
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before


@contextmanager
def imports_kept() -> Iterator[None]:
    """Undo what Alembic does to the import path, and keep its warnings of old settings from being errors here."""
    path = sys.path.copy()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="alembic")
            warnings.filterwarnings("ignore", message=".*path_separator.*", category=DeprecationWarning)
            yield
    finally:
        sys.path[:] = path
