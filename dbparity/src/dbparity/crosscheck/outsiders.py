"""Notices who reaches the database past SQLAlchemy during a test: a driver's own `connect`, a process started."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbparity.origin import is_users

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

DOORS = (
    ("psycopg", "Connection", "connect"),
    ("psycopg", "AsyncConnection", "connect"),
    ("psycopg", "", "connect"),
    ("psycopg2", "", "connect"),
    ("asyncpg", "", "connect"),
    ("asyncpg", "", "create_pool"),
    ("sqlite3", "", "connect"),
    ("aiosqlite", "", "connect"),
)
PROCESS = "subprocess.Popen"


class Outsiders:
    """Tells `note` of each direct connection and each process, while it is started."""

    def __init__(self, note: Callable[..., None]) -> None:
        self._note = note
        self._opened: list[tuple[Any, str, Any]] = []
        self._listening = False
        self._hooked = False

    def start(self) -> None:
        """Watch the doors of the drivers that are imported by now."""
        self._listening = True
        if not self._hooked:
            self._hooked = True  # an audit hook cannot be taken out again
            sys.addaudithook(self._audit)
        for module, owner, name in DOORS:
            target = sys.modules.get(module)
            target = getattr(target, owner, None) if owner else target
            if target is not None and name in vars(target):
                self._watch(target, name, f"{module}.{owner + '.' if owner else ''}{name}")

    def stop(self) -> None:
        """Leave the drivers as they were."""
        self._listening = False
        while self._opened:
            target, name, original = self._opened.pop()
            setattr(target, name, original)

    def _watch(self, target: Any, name: str, what: str) -> None:  # noqa: ANN401 - a module or a class
        original = vars(target)[name]
        plain = original.__func__ if isinstance(original, classmethod) else original

        @functools.wraps(plain)
        def connect(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - handed through
            self._tell(what)
            return plain(*arguments, **options)

        setattr(target, name, classmethod(connect) if isinstance(original, classmethod) else connect)
        self._opened.append((target, name, original))

    def _tell(self, what: str) -> None:
        if self._listening and _is_users():
            self._note("outside", what=what)

    def _audit(self, name: str, arguments: tuple[Any, ...]) -> None:
        if self._listening and name == PROCESS and _is_users():
            self._note("outside", what=f"the process {Path(str(arguments[0])).name}")


def _is_users() -> bool:
    """Whether the user's own code is at the door; SQLAlchemy's connections are led to the test's database."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the documented door to the stack
    while frame is not None:
        if is_users(frame.f_code.co_filename):
            return True
        if str(frame.f_globals.get("__name__", "")).startswith("sqlalchemy."):
            return False
        frame = frame.f_back
    return False
