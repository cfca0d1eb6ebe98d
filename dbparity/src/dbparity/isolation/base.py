"""What the three ways of isolating a test have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from dbparity.watch import RunningTest


class Isolation(Protocol):
    """One way of isolating, over one database; begun and ended once a test.

    While it is begun, every engine of the process that means the database under test is led to where this
    test works (`dbparity.isolation.routing`), whoever made it and when.
    """

    name: str

    def begin(self, test: RunningTest) -> URL:
        """Prepare the database for a test; return the URL that leads to it, for the application to be given."""

    def end(self, test: RunningTest) -> None:
        """Undo what the test did; `test.failed` tells whether there is something worth keeping."""

    def close(self) -> None:
        """The last test is through."""
