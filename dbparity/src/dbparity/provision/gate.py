"""The gate before the first test: behind it the schema is true, or nothing is run.

What is missing is built, under a lock that every other builder respects. What is false is mended on a disposable
database, and reported on any other. A database that somebody else is changing is waited for, with a deadline.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy.engine import URL, make_url

from dbparity.config import Config, Schema
from dbparity.provision.build import Building
from dbparity.provision.errors import ProvisionError
from dbparity.provision.guarded import guarded
from dbparity.provision.held import UnreachableError, on_own_connection
from dbparity.provision.lock import schema_lock
from dbparity.provision.mending import Disposable, HoldsRowsError, disposable, emptied
from dbparity.provision.migrating import MigrationFailedError
from dbparity.provision.party import Party
from dbparity.provision.patience import Deadline, Patience, Say, silent
from dbparity.provision.server import MissingDatabaseError, make_database, reached
from dbparity.provision.truth import Reach, usable
from dbparity.schema import Kind, Report, Verdict
from dbparity.schema.graph import MigrationsError
from dbparity.targets import identity_of

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData

_TO_BUILD = {
    Schema.MIGRATE: frozenset({Verdict.EMPTY, Verdict.VERSION_EMPTY, Verdict.PENDING}),
    # create_all asks no version table, and adds what is missing.
    Schema.CREATE: frozenset({Verdict.EMPTY, Verdict.VERSION_EMPTY, Verdict.STAMPED_BUT_EMPTY}),
}
_TO_MEND = frozenset(
    {
        Verdict.STAMPED_BUT_EMPTY,
        Verdict.UNVERSIONED,
        Verdict.PARTLY_APPLIED,
        Verdict.DRIFT,
        Verdict.UNKNOWN_REVISION,
    }
)


class GateError(ProvisionError):
    """The database is not what the tests need; the message is the whole report."""

    def __init__(self, message: str, report: Report | None = None) -> None:
        super().__init__(message)
        self.report = report
        """What was found last, where the database could be read."""


class Did(StrEnum):
    """What the gate has done."""

    FOUND = "found"
    BUILT = "built"
    MENDED = "mended"


@dataclass(frozen=True)
class GateResult:
    """A database that tests can run on, and how it came to be so."""

    did: Did
    line: str
    """What was found or built and from where, for pytest's header."""
    report: Report
    seconds: float


def open_gate(
    url: URL | str,
    metadata: MetaData,
    config: Config,
    *,
    say: Say = silent,
    party: Party | None = None,
    patience: Patience | None = None,
) -> GateResult:
    """Prove the schema of the database at `url`, after building or mending it; GateError where that cannot be.

    `say` takes lines for people while something is waited for.
    """
    building = Building(
        make_url(url),
        metadata,
        str(config.root / config.migrations) if config.migrations else "",
        config.schema,
        config,
        party or Party(checkout=str(config.root)),
        patience or Patience(),
        say,
    )
    _check(building)
    try:
        return _Gate(building).open()
    except GateError:
        raise
    except (ProvisionError, MigrationsError) as error:
        raise GateError(str(error)) from error


def ensure_database(
    url: URL | str,
    config: Config,
    *,
    party: Party | None = None,
    say: Say = silent,
) -> bool:
    """Make the database where it is missing and may be made; return whether it was. GateError where it cannot be.

    The gate does this too. It is for those who need the database before: to mark it as in use, say.
    """
    url, how = make_url(url), config.schema
    party = party or Party(checkout=str(config.root))
    if identity_of(url).is_memory:
        return False
    try:
        reached(url, party).close()
    except MissingDatabaseError as error:
        judged = disposable(url, config)
        file = url.get_backend_name() == "sqlite"
        if how is Schema.VERIFY or not (judged.yes or file):
            why = 'schema = "verify" makes none' if how is Schema.VERIFY else judged.reason
            msg = f"{error} It was not made: {why}."
            raise GateError(msg) from error
        _make(url, party, say)
        return True
    except UnreachableError as error:
        raise GateError(str(error)) from error
    return False


def _make(url: URL, party: Party, say: Say) -> None:
    try:
        make_database(url, party, say=say)
    except ProvisionError as error:
        raise GateError(str(error)) from error


def _check(building: Building) -> None:
    if identity_of(building.url).is_memory:
        msg = "A SQLite database in memory ends with its connection: tests need a file, say in a temporary folder."
        raise GateError(msg)
    if building.how is Schema.MIGRATE and not building.migrations:
        msg = 'schema = "migrate" needs migrations: say where alembic.ini is, as migrations = "…" in [tool.dbparity].'
        raise GateError(msg)


class _Gate:
    """One way through the gate."""

    def __init__(self, building: Building) -> None:
        self.building = building
        self.began = time.perf_counter()
        self.notes: list[str] = []

    def open(self) -> GateResult:
        way_in = self._reached()
        try:
            report = self._look(way_in, alone=False, patiently=self.building.how is Schema.VERIFY)
            if usable(report):
                return self._result(Did.FOUND, "", report)
            if self.building.how is Schema.VERIFY:
                raise GateError(_failed(report, 'Nothing was built: schema = "verify".'), report)
            return self._locked(way_in)
        finally:
            way_in.close()

    def _reached(self) -> Reach:
        building = self.building
        try:
            return reached(building.url, building.party)
        except MissingDatabaseError:
            ensure_database(building.url, building.config, party=building.party, say=building.say)
            self.notes.append("made the database")
            return reached(building.url, building.party)

    def _look(self, way_in: Reach, *, alone: bool, patiently: bool = True) -> Report:
        """Inspect it; while somebody else changes it, wait."""
        building = self.building
        deadline = Deadline(building.patience.busy, building.say, step=0.25)
        while True:
            report = building.looked_at.at(way_in, alone=alone)
            if report.verdict is not Verdict.BUSY or not patiently:
                return report
            if deadline.over:
                raise GateError(_failed(report, f"It was waited for {deadline.seconds:g} s."), report)
            deadline.tell(f"the schema is being changed elsewhere: {report.hint}")
            deadline.pause()

    def _locked(self, way_in: Reach) -> GateResult:
        """Alone with the database: look again, because the last builder may have done it."""
        building = self.building
        patience = building.patience
        with schema_lock(
            building.url, party=building.party, wait_seconds=patience.lock, on_wait=building.say
        ):
            report = self._look(way_in, alone=True)
            if usable(report):
                return self._result(Did.FOUND, "built by another process: ", report)
            if _can_build(building.how, report):
                return self._build(way_in, report)
            if report.verdict in _TO_MEND:
                return self._mend(way_in, report)
            raise GateError(_failed(report, "Building does not mend this."), report)

    def _build(self, way_in: Reach, before: Report) -> GateResult:
        try:
            line = self.building.construct()
        except MigrationFailedError as error:
            return self._again(way_in, before, error)
        return self._proven(way_in, Did.BUILT, line)

    def _again(self, way_in: Reach, before: Report, error: MigrationFailedError) -> GateResult:
        """A build that fails where no table of the models was may have met leftovers: types, other tables."""
        judged = disposable(self.building.url, self.building.config, way_in)
        nothing = before.verdict in {Verdict.EMPTY, Verdict.VERSION_EMPTY}
        if nothing and judged.yes and "already exists" in str(error):
            with suppress(HoldsRowsError):  # then the first error says enough
                return self._rebuilt(way_in, judged, "something was left of an earlier schema")
        after = self._look(way_in, alone=True)
        raise GateError(f"{error}\n\nThat left the database so:\n{after.render()}", after) from error

    def _mend(self, way_in: Reach, report: Report) -> GateResult:
        judged = disposable(self.building.url, self.building.config, way_in)
        if not judged.yes:
            hint = (
                ""
                if self.building.config.disposable is False
                else " (disposable = true in [tool.dbparity] would say so)"
            )
            why = f"It was not mended by building it anew: {judged.reason}{hint}."
            raise GateError(_failed(report, why), report)
        try:
            return self._rebuilt(way_in, judged, f"was {report.verdict} ({report.hint or report.summary()})")
        except HoldsRowsError as error:
            why = (
                f"It was not mended by building it anew: tables hold rows ({error})."
                " With disposable = true in [tool.dbparity] they would be lost."
            )
            raise GateError(_failed(report, why), report) from error

    def _rebuilt(self, way_in: Reach, judged: Disposable, why: str) -> GateResult:
        building = self.building

        def empty(connection: Connection) -> int:
            building.lead.introduce(connection)
            return emptied(connection, building.metadata, rows_too=judged.rows_too)

        dropped = guarded(
            lambda: on_own_connection(building.url, empty),
            building.url,
            building.party,
            patience=building.patience,
            say=building.say,
        )
        line = building.construct()
        tables = f"dropped {dropped} table{'' if dropped == 1 else 's'}"
        return self._proven(
            way_in, Did.MENDED, f"mended: {why}; {tables} because {judged.reason}, then {line}"
        )

    def _proven(self, way_in: Reach, did: Did, line: str) -> GateResult:
        report = self._look(way_in, alone=True)
        if not usable(report):
            raise GateError(
                _failed(report, f"This was found after the build, which reported success: {line}."), report
            )
        return self._result(did, line, report)

    def _result(self, did: Did, line: str, report: Report) -> GateResult:
        place = str(identity_of(self.building.url))
        if did is Did.FOUND:
            at = f", at {', '.join(report.revisions)}" if report.revisions and report.available else ""
            number = len(self.building.metadata.tables)
            line = f"{line}{number} table{'' if number == 1 else 's'} as the models say{at}"
        line = "; ".join([*self.notes, line])
        return GateResult(did, f"{place}: {line}", report, time.perf_counter() - self.began)


def _can_build(how: Schema, report: Report) -> bool:
    if report.verdict in _TO_BUILD[how]:
        return True
    only_missing = all(each.kind is Kind.TABLE_MISSING for each in report.obstacles)
    return how is Schema.CREATE and report.verdict is Verdict.PARTLY_APPLIED and only_missing


def _failed(report: Report, why: str) -> str:
    return f"{report.render()}\n{why}"
