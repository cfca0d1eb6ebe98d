"""Building a schema: the user's migrations up to head, or `metadata.create_all`, and then a look at what came of it.

Whoever builds a database that others may build too holds its `schema_lock` meanwhile.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.engine import URL, make_url

from dbparity.config import Config, Schema
from dbparity.provision.errors import ProvisionError
from dbparity.provision.guarded import application_of, guarded
from dbparity.provision.held import on_own_connection
from dbparity.provision.leading import Lead
from dbparity.provision.party import Party
from dbparity.provision.patience import Patience, Say, silent
from dbparity.provision.truth import Looked, reach, usable
from dbparity.schema import Report
from dbparity.schema import graph as revisions
from dbparity.targets import identity_of

if TYPE_CHECKING:
    import os

    from sqlalchemy import Connection, MetaData


class NotBuiltError(ProvisionError):
    """The build reported success, and the tables are not what the models say; the message is the report."""


@dataclass(frozen=True)
class Building:
    """What is built, from what, for whom."""

    url: URL
    metadata: MetaData
    migrations: str | os.PathLike[str]
    how: Schema
    config: Config = field(default_factory=Config)
    party: Party = field(default_factory=Party)
    patience: Patience = field(default_factory=Patience)
    say: Say = silent

    @property
    def lead(self) -> Lead:
        """Where connections of the build go."""
        base = {identity_of(self.config.url)} if self.config.url else set()
        return Lead(self.url, frozenset(base), application_of(self.party), self.patience.table)

    @property
    def looked_at(self) -> Looked:
        """What the result is measured by."""
        return Looked(self.metadata, self.migrations if self.how is not Schema.CREATE else "", self.url)

    def look(self) -> Report:
        """Inspect it from a connection of its own."""
        way_in = reach(self.url, self.party.application("looks"))
        try:
            return self.looked_at.at(way_in, alone=True)
        finally:
            way_in.close()

    def construct(self) -> str:
        """Build; return what was built and from where, in one line."""
        if self.how is Schema.VERIFY:
            msg = 'schema = "verify" builds nothing.'
            raise ValueError(msg)
        began = time.perf_counter()
        line = self._migrated() if self.how is Schema.MIGRATE else self._created()
        return f"{line} in {time.perf_counter() - began:.2f} s"

    def _migrated(self) -> str:
        from dbparity.provision.migrating import upgrade  # noqa: PLC0415 - who creates tables needs no Alembic

        graph = revisions.read(self.migrations)
        guarded(
            lambda: upgrade(graph, self.lead, self.config.variable),
            self.url,
            self.party,
            patience=self.patience,
            say=self.say,
        )
        number = _counted(len(graph.revisions), "revision")
        return f"migrated to {', '.join(graph.heads)} ({number} in {self._shown()})"

    def _created(self) -> str:
        guarded(
            lambda: on_own_connection(self.url, self._create),
            self.url,
            self.party,
            patience=self.patience,
            say=self.say,
        )
        return f"created {_counted(len(self.metadata.tables), 'table')} from the models"

    def _create(self, connection: Connection) -> None:
        self.lead.introduce(connection)
        self.metadata.create_all(connection)
        connection.commit()

    def _shown(self) -> str:
        path = Path(self.migrations)
        return str(path.relative_to(self.config.root) if path.is_relative_to(self.config.root) else path)


def build(  # noqa: PLR0913 - named options
    url: URL | str,
    metadata: MetaData,
    migrations: str | os.PathLike[str],
    how: Schema,
    *,
    config: Config | None = None,
    party: Party | None = None,
    patience: Patience | None = None,
    say: Say = silent,
) -> str:
    """Build the schema of an empty database, or bring it up to date; say in one line what was built.

    The live tables are inspected afterwards, whatever Alembic reports: NotBuiltError carries what was found.
    `config` tells which database the application means and in which variable it looks for it.
    """
    building = Building(
        make_url(url),
        metadata,
        migrations,
        how,
        config or Config(),
        party or Party(),
        patience or Patience(),
        say,
    )
    line = building.construct()
    report = building.look()
    if not usable(report):
        raise NotBuiltError(report.render())
    return line


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
