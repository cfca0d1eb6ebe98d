"""The databases of one pytest process: proven once, lent to its tests, and gone when it ends."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy.engine import URL, make_url

from dbparity.config import BadConfigError, Config, IsolationMode, Schema
from dbparity.isolation.clone import CloneIsolation, Scope
from dbparity.isolation.delete import RESET, DeleteIsolation
from dbparity.isolation.routing import RedirectTo
from dbparity.isolation.savepoint import SavepointIsolation
from dbparity.observer import Observer
from dbparity.provision import orphans
from dbparity.provision.build import build
from dbparity.provision.database import TestDatabase
from dbparity.provision.errors import DatabaseRefusedError
from dbparity.provision.fingerprint import fingerprint
from dbparity.provision.gate import ensure_database, open_gate
from dbparity.provision.held import first_line
from dbparity.provision.kinds import databases_of
from dbparity.provision.party import Party
from dbparity.provision.presence import Presence
from dbparity.provision.templates import Templates
from dbparity.provision.truth import Looked, usable
from dbparity.targets import identity_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pytest
    from sqlalchemy import MetaData

    from dbparity.isolation.base import Isolation
    from dbparity.plugin.run import Run
    from dbparity.schema import Report

COLLECTORS = frozenset({"main", "gw0"})
"""The processes that clear away what earlier runs have left: one is enough."""
VERDICTS_MOST = 20
"""How many failing tests have the schema proven again: a suite in which everything fails shall still end."""


@dataclass(frozen=True)
class Wanted:
    """How a test is to be isolated."""

    mode: IsolationMode
    scope: Scope = "test"
    notes: Mapping[str, Any] = field(default_factory=dict)
    """What the isolation finds in `RunningTest.notes`."""

    @classmethod
    def of(cls, marker: pytest.Mark | None, default: str) -> Self:
        """What `@pytest.mark.dbparity(...)` says, and the configuration where it does not."""
        said = dict(marker.kwargs) if marker else {}
        if marker and marker.args:
            msg = f"@pytest.mark.dbparity takes names: isolation={marker.args[0]!r}."
            raise BadConfigError(msg)
        mode = _mode(said.pop("isolation", default))
        scope: Scope = said.pop("scope", "test") if mode is IsolationMode.CLONE else "test"
        notes = {RESET: said.pop(RESET)} if mode is IsolationMode.DELETE and RESET in said else {}
        if said or scope not in ("test", "module"):
            strange = ", ".join(f"{key}={value!r}" for key, value in (said or {"scope": scope}).items())
            msg = f"@pytest.mark.dbparity does not know {strange} with {mode} isolation."
            raise BadConfigError(msg)
        return cls(mode, scope, notes)


@dataclass(eq=False)
class _Open:
    """A database in use, and what belongs to it."""

    database: TestDatabase
    templates: Templates
    idle: RedirectTo
    """Where engines lead while no test is isolated: for fixtures of a wider scope."""


class Databases:
    """What `Run` knows of databases."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._open: dict[tuple[str, int], _Open] = {}
        self._isolations: dict[tuple[int, IsolationMode, Scope], Isolation] = {}
        self._kept = ExitStack()
        self._verdicts = 0
        self.when_opened: list[Callable[[TestDatabase], None]] = []
        """Who is told of each database once it is proven."""

    def get(self, url: str, metadata: MetaData, migrations: str, schema: Schema) -> TestDatabase:
        """The database at `url`, proven on first use; GateError where it is not what the tests need."""
        key = (url, id(metadata))
        if key not in self._open:
            config = replace(self._run.config, migrations=migrations, schema=schema)
            self._open[key] = self._opened(make_url(url), metadata, config)
        opened = self._open[key]
        test = self._run.watch.test
        if test is None or test.isolation is None:
            self.rest(opened.database)
        return opened.database

    def isolation(self, database: TestDatabase, wanted: Wanted) -> Isolation:
        """The isolation of this kind over this database; each is made once."""
        key = (id(database), wanted.mode, wanted.scope)
        if key not in self._isolations:
            self._isolations[key] = self._made(database, wanted)
        return self._isolations[key]

    def rest(self, database: TestDatabase) -> None:
        """No test is isolated for the moment."""
        opened = self._of(database)
        self._run.router.lead(opened.database.identity, opened.idle)

    @contextmanager
    def lent(self, database: TestDatabase) -> Iterator[str]:
        """A copy of the proven database for as long as the block lasts, for processes of its own."""
        templates = self._of(database).templates
        name, url = templates.clone()
        self._run.router.knows(identity_of(url))
        try:
            yield url.render_as_string(hide_password=False)
        finally:
            templates.databases.drop(name)

    def verdict(self, database: TestDatabase) -> str:
        """What the schema is at this moment, in some lines; empty once it was asked for often enough."""
        self._verdicts += 1
        if self._verdicts > VERDICTS_MOST:
            return ""
        try:
            return _looked(database).render()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test has a failure of its own to tell
            return f"unknown: {first_line(error)}"

    def finish(self) -> list[str]:
        """Close the isolations; return what is to be said of databases that are kept, or false by now."""
        notices: list[str] = []
        for each in self._isolations.values():
            each.close()
            notices += getattr(each, "kept", [])
        self._isolations.clear()
        return notices + [line for opened in self._open.values() for line in _false_by_now(opened.database)]

    def close(self) -> None:
        """Let go of everything."""
        self._kept.close()
        self._open.clear()

    def _of(self, database: TestDatabase) -> _Open:
        return next(each for each in self._open.values() if each.database.base == database.base)

    def _made(self, database: TestDatabase, wanted: Wanted) -> Isolation:
        run = self._run
        if wanted.mode is IsolationMode.CLONE:
            templates = self._of(database).templates
            return CloneIsolation(database, run.router, run.watch, templates, scope=wanted.scope)
        made = DeleteIsolation if wanted.mode is IsolationMode.DELETE else SavepointIsolation
        return made(database, run.router, run.watch)

    def _opened(self, base: URL, metadata: MetaData, config: Config) -> _Open:
        run = self._run
        party = Party(run=run.id, checkout=str(config.root))
        made = ensure_database(base, config, party=party, say=run.say)
        presence = Presence(base, party, config.in_use, say=run.say)
        entered = presence.enter().entered
        self._kept.callback(presence.leave)
        # Where another run is at work, its database is left alone: mending would be under its tests.
        line = (
            open_gate(base, metadata, config, say=run.say, party=party).line
            if entered
            else "a copy of our own"
        )
        if made:
            line += ", in a database that was made for it"
        templates = self._templates(base, metadata, config, party)
        self._collect(templates)
        # A run beside us, or workers of our own, have the database: theirs and ours would meet in it.
        own = not entered or (run.worker != "main" and config.schema is not Schema.VERIFY)
        url = self._cloned(templates) if own else base
        observer = Observer(url)
        self._kept.callback(observer.close)
        database = TestDatabase(base, url, metadata, config, observer, run.id, run.worker, line)
        for tell in self.when_opened:
            tell(database)
        return _Open(database, templates, RedirectTo(url))

    def _templates(self, base: URL, metadata: MetaData, config: Config, party: Party) -> Templates:
        how = Schema.MIGRATE if _migrates(config) else Schema.CREATE
        migrations = str(config.root / config.migrations) if how is Schema.MIGRATE else ""
        databases = databases_of(base)
        templates = Templates(
            databases,
            lambda url: build(url, metadata, migrations, how, config=config, party=party, say=self._run.say),
            lambda: fingerprint(metadata, migrations, how, dialect=base.get_backend_name()),
            root=config.root,
            run=self._run.id,
            worker=self._run.worker,
        )
        self._kept.callback(databases.close)
        self._kept.callback(templates.close)
        return templates

    def _cloned(self, templates: Templates) -> URL:
        name, url = templates.clone()
        self._kept.callback(templates.databases.drop, name)
        return url

    def _collect(self, templates: Templates) -> None:
        if self._run.worker not in COLLECTORS:
            return
        with suppress(DatabaseRefusedError):  # who may not list databases has made none either
            gone = orphans.collect(templates.databases, templates.checkout)
            if gone:
                noun = "database" if len(gone) == 1 else "databases"
                self._run.say(f"dropped {len(gone)} {noun} that earlier runs had left")


def _mode(said: object) -> IsolationMode:
    try:
        return IsolationMode(str(said))
    except ValueError as error:
        msg = f"There is no isolation {said!r} for a test: it can be {', '.join(IsolationMode)}."
        raise BadConfigError(msg) from error


def _looked(database: TestDatabase) -> Report:
    config = database.config
    migrations = str(config.root / config.migrations) if _migrates(config) else ""
    return Looked(database.metadata, migrations, database.url).at(database.observer, alone=True)


def _false_by_now(database: TestDatabase) -> list[str]:
    """Say so where the schema, true before the first test, is false after the last."""
    try:
        report = _looked(database)
    except Exception:  # noqa: BLE001 - a server of the suite's own is gone by now
        return []
    if usable(report):
        return []
    place = identity_of(database.url)
    return [
        f"after the last test the schema of {place} is {report.verdict}: {report.hint or report.summary()}"
    ]


def _migrates(config: Config) -> bool:
    return bool(config.migrations) and config.schema is not Schema.CREATE
