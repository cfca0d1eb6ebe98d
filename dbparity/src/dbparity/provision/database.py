"""The database under test, as the plugin hands it to isolation, detectors and assertions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbparity.targets import Identity, identity_of

if TYPE_CHECKING:
    from sqlalchemy import MetaData
    from sqlalchemy.engine import URL

    from dbparity.config import Config
    from dbparity.observer import Observer


@dataclass(eq=False)
class TestDatabase:
    """A database whose schema was proven before the first test."""

    __test__ = False  # no test class, whatever pytest makes of its name

    base: URL
    """What the project configured: the database that the application's engines mean."""
    url: URL
    """The database that this process really works on: the base, or a worker's own."""
    metadata: MetaData
    config: Config
    observer: Observer
    """Independent connections to `url`."""
    run: str
    """A short id of this test run, the same in all its workers."""
    worker: str
    """"gw0" and so on; "main" without xdist."""
    built: str = ""
    """What was built and from where, in one line for pytest's header."""

    @property
    def identity(self) -> Identity:
        """The database that the application's engines mean."""
        return identity_of(self.base)
