"""The schema inspected on behalf of those who build it, and when it is good enough to run tests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from sqlalchemy.engine import URL

from dbparity.observer import Observer
from dbparity.provision.held import HeldConnection
from dbparity.provision.lock import KEY_SPACE, SCHEMA_KEY
from dbparity.schema import Report, Verdict, inspect

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from sqlalchemy import Connection, MetaData

    T = TypeVar("T")

BUILD_LOCK = (KEY_SPACE << 32) + SCHEMA_KEY
"""The schema lock as `pg_locks` spells it: who holds it is building."""


class Reach(Protocol):
    """A way into the database: a held connection, or an observer."""

    def call(self, work: Callable[[Connection], T]) -> T: ...

    def close(self) -> None: ...


def reach(url: URL, application: str) -> Reach:
    """A way in that costs one connection however often it is used."""
    if url.get_backend_name() == "sqlite":
        return Observer(url)
    return HeldConnection(url, application)


@dataclass(frozen=True)
class Looked:
    """What the live tables are measured by."""

    metadata: MetaData
    migrations: str | os.PathLike[str]
    """Empty where revisions are not to be judged."""
    url: URL

    def at(self, way_in: Reach, *, alone: bool) -> Report:
        """Inspect the database. Not `alone`: whoever holds the schema lock makes it busy."""
        return way_in.call(
            lambda connection: inspect(
                connection,
                self.metadata,
                self.migrations or None,
                # Where the migrations go by themselves does not matter: a build of ours leads them here.
                migrations_url=self.url.render_as_string(hide_password=False),
                build_locks=() if alone else (BUILD_LOCK,),
            )
        )


def usable(report: Report) -> bool:
    """Whether the application can work on it: ready, or with no more than what others have put beside it."""
    return report.true or (report.verdict is Verdict.DRIFT and not report.obstacles)
