"""Everything that was found out about one database, before anything is concluded from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from dbparity.schema.environment import Environment
from dbparity.schema.report import Kind
from dbparity.schema.traces import Traces

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dbparity.schema.address import Destination
    from dbparity.schema.busy import Holder
    from dbparity.schema.check import Tables
    from dbparity.schema.graph import Graph, Revision
    from dbparity.schema.version import VersionTable


@dataclass(frozen=True)
class Facts:
    """Tables, revisions, traces, and what the migrations' files say."""

    here: Destination
    tables: Tables
    version: VersionTable
    revisions: tuple[str, ...] | None
    """What the version table says; None where there is none."""

    graph: Graph | None = None
    environment: Environment = field(default_factory=Environment)
    other_database: str = ""
    """That the migrations go to another database than this connection, as a sentence."""

    unset: str = ""
    """That env.py takes the database from a variable which is not set here, as a sentence."""

    traces: Traces = field(default_factory=Traces)
    holders: tuple[Holder, ...] = ()
    scripts: tuple[str, ...] = ()
    """SQL files beside the migrations that `upgrade --sql` has written."""

    @property
    def sqlite(self) -> bool:
        """Whether it is SQLite, whose Alembic commits each migration by itself."""
        return self.here.url.get_backend_name() == "sqlite"

    @property
    def stamps(self) -> tuple[str, ...]:
        """The revisions that are noted."""
        return self.revisions or ()

    @cached_property
    def applied(self) -> tuple[Revision, ...]:
        """The revisions that should have run, by the version table's word, oldest first."""
        return self.graph.applied(self.stamps) if self.graph else ()

    @cached_property
    def pending(self) -> tuple[Revision, ...]:
        """The revisions that should still come, oldest first."""
        return self.graph.pending(self.stamps) if self.graph and not self.unknown else ()

    @property
    def unknown(self) -> tuple[str, ...]:
        """Noted revisions that are none of the migrations'."""
        known = self.graph.revisions if self.graph else {}
        return tuple(each for each in self.stamps if each not in known)

    @property
    def at_head(self) -> bool:
        """Whether every newest revision is noted, and nothing else."""
        return self.graph is not None and set(self.stamps) == set(self.graph.heads)

    @cached_property
    def overlapping(self) -> tuple[str, ...]:
        """Noted revisions that another noted one follows; Alembic refuses to work on such a table."""
        graph = self.graph
        if graph is None or len(self.stamps) < 2:  # noqa: PLR2004 - two make a pair
            return ()
        behind = {each: graph.closure([each]) - {each} for each in self.stamps}
        return tuple(each for each in self.stamps if any(each in before for before in behind.values()))

    @cached_property
    def made_before(self) -> frozenset[str]:
        """Tables that the applied revisions surely have made and not removed."""
        made: set[str] = set()
        for revision in self.applied:
            made = (made | self._plain(revision.body.makes)) - self._plain(revision.body.removes)
        return frozenset(made)

    @cached_property
    def lost(self) -> frozenset[str]:
        """Missing tables that the applied revisions surely have made."""
        return self.made_before & self._plain(self.tables.missing)

    def _plain(self, names: Iterable[str]) -> set[str]:
        """The same names without the schema that needs no naming here."""
        return {name.removeprefix(f"{self.here.schema}.") if self.here.schema else name for name in names}

    @cached_property
    def ahead(self) -> tuple[tuple[str, Revision], ...]:
        """Tables that are there although the revision that makes them is still to come."""
        coming = [(name, revision) for revision in self.pending for name in revision.body.makes]
        there = self._plain(self.tables.live) - self.made_before
        return tuple((name, by) for name, by in coming if self._plain([name]) & there)

    @cached_property
    def unwritten(self) -> tuple[str, ...]:
        """What is missing and in no revision at all: tables, and columns as "table.column"."""
        bodies = [revision.body for revision in (self.graph.revisions.values() if self.graph else ())]
        wanted = [
            (each.table, each.name)
            for each in self.tables.differences
            if each.kind in {Kind.TABLE_MISSING, Kind.COLUMN_MISSING}
        ]
        found = [(table, name) for table, name in wanted if not any(body.mentions(name) for body in bodies)]
        return tuple(name if name == table else f"{table}.{name}" for table, name in found)

    @cached_property
    def idle(self) -> tuple[Revision, ...]:
        """Applied revisions that do nothing."""
        return tuple(revision for revision in self.applied if revision.idle)

    @cached_property
    def guarded(self) -> tuple[str, ...]:
        """Conditions in applied revisions on which something missing depends, a sentence each."""
        missing = {name.rpartition(".")[2] for name in self.tables.missing}
        return tuple(
            f"{revision.at(guard.line)} makes it depend: {guard.text}"
            for revision in self.applied
            for guard in revision.body.guards
            if missing & guard.words
        )

    @property
    def broken_off(self) -> bool:
        """Whether an upgrade that commits each migration was rolled back in the next one."""
        apart = self.environment.commits_each or any(each.body.alone for each in self.pending)
        making = len(self.pending[0].body.makes) if self.pending else 0
        return bool(apart and making) and self.traces.known and self.traces.vanished >= making
