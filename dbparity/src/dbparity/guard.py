"""A detector's own mistake must not become the user's: it is told once, and the detector is off from there on.

Detectors work inside the application: in SQLAlchemy's events, in a session's `__init__`, in a dict of FastAPI's.
What they raise there would fail a statement or a test that is sound. So all that is called from outside goes
through a guard.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError

from dbparity.config import Strictness
from dbparity.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

T = TypeVar("T")

NAME = "dbparity"
FRAMES = 3
"""How much of the traceback is told: its end."""
REMEDY = "This is a fault of dbparity, not of the test: please report it."


class Off:
    """The names of the detectors that are off in this process, and whom to tell when one more is."""

    def __init__(self, tell: Callable[[Finding], None]) -> None:
        self.names: set[str] = set()
        self._tell = tell

    def add(self, names: Collection[str], error: Exception) -> None:
        """Switch detectors off for what one of them has raised."""
        fresh = sorted(set(names) - self.names)
        self.names.update(fresh)
        if fresh:
            self._tell(failure(fresh, error))


class Guard:
    """What is called through it cannot raise, and is not called any more once one of its detectors is off."""

    def __init__(self, off: Off, names: Collection[str]) -> None:
        self._off = off
        self._names = frozenset(names)

    def over(self, listener: Callable[..., T]) -> Callable[..., T | None]:
        """The same listener behind this guard; it answers None where it fails or may not be asked any more."""
        off, names = self._off, self._names

        def guarded(*arguments: Any) -> T | None:  # noqa: ANN401 - handed through
            if off.names and not off.names.isdisjoint(names):
                return None
            try:
                return listener(*arguments)
            except DisconnectionError:  # no mistake: it tells the pool to connect anew
                raise
            except Exception as error:  # noqa: BLE001 - that is what it is for
                off.add(names, error)
                return None

        return guarded

    def run(self, work: Callable[..., T], *arguments: Any) -> T | None:  # noqa: ANN401 - handed through
        """The answer of `work`, once."""
        return self.over(work)(*arguments)


class Listeners:
    """Guarded listeners on SQLAlchemy's events, put in and taken out together."""

    def __init__(self, guard: Guard, *wanted: tuple[Any, str, Callable[..., Any]]) -> None:
        self._wanted = [(target, name, guard.over(listener)) for target, name, listener in wanted]

    def add(self) -> None:
        """Listen from now on."""
        for target, name, listener in self._wanted:
            event.listen(target, name, listener)

    def remove(self) -> None:
        """Listen no more; also where not all could be put in."""
        for target, name, listener in self._wanted:
            if event.contains(target, name, listener):
                event.remove(target, name, listener)


def failure(names: Collection[str], error: Exception) -> Finding:
    """That detectors have failed; its first line only, for the others of a database's error quote values."""
    first = (str(error).splitlines() or [""])[0]
    one = len(names) == 1
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    return Finding(
        NAME,
        f"dbparity's detector{'' if one else 's'} {' and '.join(names)} failed: {type(error).__name__}"
        f"{f': {first}' if first else ''}; {'it is' if one else 'they are'} off from here on",
        tuple(f"at {Path(each.filename).name}:{each.lineno} in {each.name}" for each in frames),
        REMEDY,
        Strictness.WARN,
    )
