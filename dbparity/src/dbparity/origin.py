"""Which line of the user's own code is at work: for a session, a statement, a change that a detector met."""

from __future__ import annotations

import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_LIBRARIES = tuple(
    {sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")}
    | {str(Path(__file__).parent), "<"}
)
DEPTH = 200


@dataclass(frozen=True, slots=True)
class Origin:
    """A line of code."""

    file: str
    line: int
    function: str

    def __str__(self) -> str:
        """As a traceback would name it, relative to the current directory where that is shorter."""
        path = Path(self.file)
        shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
        return f"{shown}:{self.line} in {self.function}"


def caller() -> Origin | None:
    """The innermost line that belongs neither to a library nor to dbparity; None where there is none.

    SQLAlchemy's async work runs in greenlets whose stack ends at the library: the search goes on in the
    greenlet that waits for it.
    """
    for frame in _frames(sys._getframe(1)):  # noqa: SLF001 - the documented door to the stack
        name = frame.f_code.co_filename
        if is_users(name):
            return Origin(name, frame.f_lineno, frame.f_code.co_name)
    return None


def module_here(*behind: str) -> str:
    """The name of the module that is at work here, other than dbparity's own and those named."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the documented door to the stack
    while frame is not None:
        name: str = frame.f_globals.get("__name__", "")
        if not name.startswith(("dbparity.", *behind)):
            return name
        frame = frame.f_back
    return ""


def is_users(file: str) -> bool:
    """Whether a file of code belongs neither to a library nor to dbparity."""
    return not file.startswith(_LIBRARIES)


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    greenlet = _current_greenlet()
    for _ in range(DEPTH):
        if frame is None:
            greenlet = greenlet.parent if greenlet is not None else None
            frame = greenlet.gr_frame if greenlet is not None else None
            if frame is None:
                return
        yield frame
        frame = frame.f_back


def _current_greenlet() -> Any:  # noqa: ANN401 - greenlet is optional
    library = sys.modules.get("greenlet")
    return library.getcurrent() if library is not None else None
