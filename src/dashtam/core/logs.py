"""Logging: one event, one line of JSON, with the id of the request it belongs to, and no secret in it.

Every character outside printable ASCII is written as a JSON escape, so that nothing a client sends can start
a new line, move the cursor or turn the reading direction. Exceptions are logged as types, places and guarded
words: what a database driver or a validator says may quote the data it was given, so it is left out.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from pydantic import ValidationError
from sqlalchemy.exc import StatementError
from typing_extensions import override

from dashtam.settings import Settings

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request being served, if one is."""

_WORDS_LENGTH = 500
_SECRETS = re.compile(
    r"\b(?:dot1|dsr1)_[\w-]+"  # our one-time and refresh tokens
    r"|\beyJ[\w-]+(?:\.[\w-]*)*"  # JWTs
    r"|\$argon2\w*\$\S+"
    r"|(?i:\bbearer)\s+\S+"
    r"|(?<=://)[^/\s@]+(?=@)"  # user and password of a URL
    r"|[^\s@<>\"'(),;:=\[\]]+@[^\s@<>\"'(),;:=\[\]]+"  # addresses
)
# SQLSTATE classes whose messages name tables and limits, never values: connection exceptions, insufficient
# privileges and names (42), resources (53), operator intervention (57), system errors (58), internal (XX).
_SPEAKS_OF_NO_DATA = frozenset({"08", "28", "3D", "40", "42", "53", "55", "57", "58", "XX"})


class JsonLines(logging.Formatter):
    """A record as one line: time, level, logger, message, request id, fields given as `extra`, exception."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage()),
        }
        current = request_id.get()
        if current is not None:
            line["request_id"] = current
        fields = getattr(record, "fields", None)
        if fields:
            line.update(fields)
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = list(_told(record.exc_info[1]))
        return _encode(line).replace("\x7f", "\\u007f")


def configure(settings: Settings, stream: IO[str] | None = None) -> None:
    """Send every log of this process to `stream` (standard error by default) as JSON lines.

    LOG_LEVEL is for our own loggers. Libraries stay at WARNING whatever it is: some of them log statements
    with their parameters below that.
    """
    level = logging.DEBUG if settings.debug else logging.getLevelNamesMapping()[settings.log_level.upper()]
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("dashtam").setLevel(level)
    # Nobody asks which thread it was; finding out costs every line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        _hand_up(logging.getLogger(name))
    logging.getLogger("uvicorn.error").setLevel(max(logging.INFO, level))
    logging.getLogger("uvicorn.access").disabled = True  # it logs raw paths with their queries
    logging.captureWarnings(capture=True)


def redacted(words: str) -> str:
    """These words without tokens, password hashes, credentials and addresses in them."""
    return _SECRETS.sub("***", words)


def _hand_up(logger: logging.Logger) -> None:
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)
    logger.propagate = True


def _told(error: BaseException) -> Iterator[str]:
    """The chain of an exception, first cause first: its places, then its type and guarded words."""
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if earlier is not None:
        yield from _told(earlier)
    yield from _places(error.__traceback__)
    words = _words_of(error)
    yield f"{type(error).__module__}.{type(error).__qualname__}{': ' if words else ''}{words}"


def _places(trace: TracebackType | None) -> Iterator[str]:
    for frame in traceback.extract_tb(trace):
        path = Path(frame.filename)
        yield f"{'/'.join(path.parts[-3:])}:{frame.lineno} {frame.name}"


def _words_of(error: BaseException) -> str:
    if isinstance(error, ValidationError):
        return f"{error.error_count()} errors for {error.title}"
    cause = error.orig if isinstance(error, StatementError) else error
    sqlstate = getattr(cause, "sqlstate", None)
    if isinstance(sqlstate, str):
        words = _first_line(cause) if sqlstate[:2] in _SPEAKS_OF_NO_DATA else ""
        return f"SQLSTATE {sqlstate} {words}".rstrip()
    return _first_line(cause)


def _first_line(error: BaseException | None) -> str:
    lines = str(error or "").splitlines()
    return redacted(lines[0])[:_WORDS_LENGTH] if lines else ""


def _named(value: object) -> str:
    return f"<{type(value).__name__}>"


_encode = json.JSONEncoder(default=_named).encode
