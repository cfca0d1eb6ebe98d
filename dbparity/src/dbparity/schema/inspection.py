"""The whole inspection: the live tables, the models and the revision graph, put together into one report.

The verdict never rests on env.py's word, nor on the presence of a version table. env.py and the revisions are
read as text for evidence of how a false state came about.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from dbparity.schema import busy, environment, graph, traces, version
from dbparity.schema.address import Address, Destination, elsewhere
from dbparity.schema.check import Tables, check_filled, tables, unchanged
from dbparity.schema.environment import Environment
from dbparity.schema.facts import Facts
from dbparity.schema.remedies import remedy_for
from dbparity.schema.report import Report, Verdict, Way
from dbparity.schema.sentences import evidence_of, hint_of
from dbparity.schema.verdicts import verdict_of
from dbparity.schema.ways import ways_to
from dbparity.sqlstate import is_locked_out

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from sqlalchemy import Connection, MetaData

    from dbparity.schema.graph import Graph, Migrations
    from dbparity.schema.version import VersionTable


LOOKS = 3
"""How often a false schema is looked at again before it is believed."""

READ_BYTES = 200_000


@dataclass(frozen=True)
class Options:
    """What the caller knows beside the models."""

    version_table: str
    ignored: frozenset[str]
    migrations_url: str | None = field(repr=False)
    build_locks: Collection[int]
    own_backends: Collection[int]


def inspect(  # noqa: PLR0913 - named options
    connection: Connection,
    metadata: MetaData,
    migrations: Migrations | None = None,
    *,
    version_table: str = "alembic_version",
    ignore_tables: Collection[str] = (),
    migrations_url: str | None = None,
    build_locks: Collection[int] = (),
    own_backends: Collection[int] = (),
) -> Report:
    """Find out whether the database is what models and migrations say; if not, how that came about.

    Only reads, waits for no lock longer than half a second, and leaves no transaction behind where there was
    none. `migrations` is alembic.ini, a script location or an Alembic Config; without it, revisions are not
    judged. `migrations_url` says which database the migrations go to, where that is not in alembic.ini or
    env.py. `build_locks` are advisory locks that builders of the schema hold, and `own_backends` the server
    processes of the caller, whose doings do not make the database busy.
    """
    check_filled(metadata)
    loaded = graph.read(migrations) if migrations is not None else None
    ignored = frozenset(ignore_tables) | {version_table, version_table.rpartition(".")[2]}
    options = Options(version_table, ignored, migrations_url, build_locks, own_backends)
    with unchanged(connection) as borrowed:
        return _Inspection(connection, metadata, loaded, options, borrowed=borrowed).report()


class _Inspection:
    """One look at one database."""

    def __init__(
        self,
        connection: Connection,
        metadata: MetaData,
        loaded: Graph | None,
        options: Options,
        *,
        borrowed: bool,
    ) -> None:
        self.connection, self.metadata, self.graph, self.options = connection, metadata, loaded, options
        self.borrowed = borrowed

    def report(self) -> Report:
        try:
            with busy.hurried(self.connection):
                return self._judged(self._facts())
        except DBAPIError as error:
            if not is_locked_out(error):
                raise
            return self._locked(error)

    def _facts(self) -> Facts:
        """Look until two looks agree: what is seen while somebody commits in between is nobody's state."""
        facts = self._look()
        for _ in range(LOOKS):
            if facts.holders or not facts.tables.differences:
                break
            before, facts = facts, self._look()
            if (before.tables, before.version, before.revisions) == (
                facts.tables,
                facts.version,
                facts.revisions,
            ):
                break
        return facts

    def _look(self) -> Facts:
        found = version.find(self.connection, self.options.version_table)
        seen = tables(self.connection, self.metadata, self.options.ignored)
        holders = self._holders(seen, found, sound=not seen.differences)
        revisions = None if holders else self._revisions(found)  # it may be locked
        return Facts(self._here(), seen, found, revisions, self.graph, holders=holders)

    def _holders(self, seen: Tables, found: VersionTable, *, sound: bool) -> tuple[busy.Holder, ...]:
        options = self.options
        watched = busy.Watched(seen.models, found.number, options.build_locks, options.own_backends)
        return busy.holders(self.connection, watched, sound=sound)

    def _revisions(self, found: VersionTable) -> tuple[str, ...] | None:
        with busy.unharmed(self.connection, borrowed=self.borrowed):
            return version.revisions(self.connection, found)

    def _here(self) -> Destination:
        url = self.connection.engine.url
        if self.connection.dialect.name == "sqlite":
            return Destination(url, url.database or "")
        row = self.connection.execute(sa.text("SELECT current_database(), current_schema()")).one()
        return Destination(url, row[0], row[1] or "")

    def _judged(self, facts: Facts) -> Report:
        if facts.holders:
            return self._report(Verdict.BUSY, facts)
        verdict = verdict_of(facts)
        if verdict is Verdict.READY:
            return self._report(verdict, facts)
        facts = self._investigated(facts)
        return self._report(verdict_of(facts), facts)

    def _investigated(self, facts: Facts) -> Facts:
        """Add what only matters where something is wrong: traces, env.py, where the migrations go."""
        found = replace(facts, traces=traces.read(self.connection, facts.version.number))
        if self.graph is None:
            return found
        script = environment.read(self.graph.environment)
        address = self._address(self.graph, script)
        return replace(
            found,
            environment=script,
            other_database=elsewhere(address, facts.here),
            unset=address.unset and f"{address.source} finds no database: {address.unset} is not set here",
            scripts=_written(self.graph, facts.version.name),
        )

    def _address(self, loaded: Graph, script: Environment) -> Address:
        if self.options.migrations_url is not None:
            return Address("the migrations' own URL", self.options.migrations_url)
        return script.address or Address(loaded.ini.name if loaded.ini else "the configuration", loaded.url)

    def _report(self, verdict: Verdict, facts: Facts) -> Report:
        ways: tuple[Way, ...] = () if verdict is Verdict.READY else ways_to(verdict, facts)
        return Report(
            verdict,
            facts.tables.differences,
            facts.stamps,
            hint_of(verdict, facts),
            available=self.graph.heads if self.graph else None,
            pending=tuple(each.id for each in facts.pending),
            evidence=() if verdict is Verdict.READY else evidence_of(verdict, facts),
            ways=ways,
            remedy=None if verdict is Verdict.READY else remedy_for(verdict, facts, ways),
            place=str(facts.here),
        )

    def _locked(self, error: DBAPIError) -> Report:
        """What can be said of a database that could not be read in time."""
        path = self.connection.engine.url.database or ""
        sqlite = self.connection.dialect.name == "sqlite"
        holder = busy.locked(path) if sqlite else busy.Holder(None, f"a lock was waited for: {error.orig}")
        here = Destination(self.connection.engine.url, path)
        nothing = Tables(frozenset(self.metadata.tables), frozenset(), ())
        facts = Facts(
            here, nothing, version.VersionTable(self.options.version_table), None, holders=(holder,)
        )
        return self._report(Verdict.BUSY, facts)


def _written(loaded: Graph, version_table: str) -> tuple[str, ...]:
    """Find files that `alembic upgrade --sql` has written: they fill the version table."""
    folders = {loaded.location, loaded.location.parent, *([loaded.ini.parent] if loaded.ini else [])}
    files = sorted({path.resolve() for folder in folders for path in folder.glob("*.sql")})
    return tuple(path.name for path in files if f"INTO {version_table}" in _beginning(path))


def _beginning(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(READ_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
