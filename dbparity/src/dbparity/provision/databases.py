"""Making, copying and dropping whole databases, the same on a server and in files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sqlalchemy.engine import URL


@dataclass(frozen=True)
class Note:
    """What is written on a database of ours: a proven template, or a clone that is kept."""

    dbparity: str
    """"template" or "kept"."""
    about: str = ""
    """The fingerprint, or the test."""
    at: float = 0.0

    def __str__(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str | None) -> Note | None:
        """Read a note back; None for a comment that somebody else wrote."""
        try:
            return cls(**json.loads(text or ""))
        except (ValueError, TypeError):
            return None


@dataclass(frozen=True)
class Stored:
    """A database that is there, by a name of ours."""

    name: str
    note: Note | None
    size: int
    """In bytes; 0 where nobody has asked."""
    connected: int
    """How many are connected to it right now, as far as can be known."""


class Held(Protocol):
    """Something held until it is closed, or until the process ends."""

    def close(self) -> None:
        """Let go."""


class Databases(Protocol):
    """The databases beside a configured one: on its server, or in files."""

    base: URL

    def url_of(self, name: str) -> URL:
        """The URL that leads to a database, through the base's driver."""

    def create(self, name: str) -> URL:
        """Make an empty database that is like the base in encoding, collation and settings."""

    def clone(self, template: str, name: str) -> URL:
        """Copy a proven template."""

    def is_proven(self, template: str) -> bool:
        """Whether this template is whole: built to the end, and sealed."""

    def seal(self, building: str, template: str, note: Note) -> None:
        """Make a template of a finished database: only now does it have the template's name."""

    def keep(self, name: str, note: Note) -> None:
        """Let a database outlive its run."""

    def is_untouched(self, name: str) -> bool:
        """Whether it is certain that nobody has connected to it since it was made."""

    def drop(self, name: str, *, force: bool = True) -> bool:
        """Drop a database; without `force` only one that nobody is connected to. False when it is still there."""

    def stored(self, *, sizes: bool = False) -> list[Stored]:
        """Every database with a name of ours; their sizes where that is asked for."""

    def hold(self, key: str) -> Held:
        """Take a shared hold on a name, which `is_held` sees from every process and which ends with this one."""

    def is_held(self, key: str) -> bool:
        """Whether a living process holds this name."""

    def way_in(self, name: str) -> str:
        """A command line that leads a person to it, without a password."""

    def building(self, key: str) -> AbstractContextManager[None]:
        """Exclude every other process that builds the same thing."""

    def close(self) -> None:
        """Close connections to the server."""
