"""Migrations: run, undone and looked at from code, with Alembic and every revision inside the wheel.

A run is one transaction under a lock. Before it commits, the tables are compared with the models: neither
Alembic's exit nor its version table proves that a table is there.
"""

import asyncio
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationInfo
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.engine import Connection

from dashtam.migrations.connection import MigrationBusyError, exclusive, looking
from dashtam.migrations.plan import Planned, plan_from, plan_from_nothing
from dashtam.migrations.state import UNSOUND, Status, Verdict, read, revisions
from dbparity.planning import PlanError

__all__ = [
    "MigrationBusyError",
    "MigrationError",
    "Outcome",
    "Planned",
    "SchemaNotTrueError",
    "Status",
    "Verdict",
    "downgrade",
    "new_revision",
    "plan",
    "status",
    "upgrade",
]

PATIENCE_SECONDS = 60.0

T = TypeVar("T")


class MigrationError(Exception):
    """What was asked cannot be done; the text says why."""


class SchemaNotTrueError(MigrationError):
    """The tables are not what the version table or the models say. `status` holds the evidence."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.explain())
        self.status = status


@dataclass(frozen=True, slots=True)
class Outcome:
    """The revisions that were run, in order, and what the database is now."""

    revisions: tuple[str, ...]
    status: Status


def _silence() -> None:
    pass


async def upgrade(
    database_url: str,
    revision: str = "head",
    *,
    patience: float = PATIENCE_SECONDS,
    waiting: Callable[[], None] = _silence,
) -> Outcome:
    """Run what is missing up to `revision`, and believe only the tables.

    Raises SchemaNotTrueError, and changes nothing, when they are not true before or would not be after.
    Waits for another migration at most `patience` seconds; `waiting` is called once if there is one.
    """
    return await _alone(database_url, _upgrade, revision, patience, waiting)


async def downgrade(
    database_url: str,
    revision: str,
    *,
    patience: float = PATIENCE_SECONDS,
    waiting: Callable[[], None] = _silence,
) -> Outcome:
    """Undo the revisions after `revision`: an id, `-1` for the last one, `base` for all. Data is lost."""
    return await _alone(database_url, _downgrade, revision, patience, waiting)


async def status(database_url: str) -> Status:
    """What the database is now. Looks only: a SQLite file that is not there is not made."""
    try:
        async with looking(database_url) as connection:
            return await connection.run_sync(lambda sync: read(sync, _scripts()))
    except FileNotFoundError:
        return await asyncio.to_thread(_nothing_yet)


async def plan(database_url: str, revision: str = "head") -> Planned:
    """What `upgrade` to this revision would do. Looks only, as `status` does; raises as `upgrade` does."""
    try:
        async with looking(database_url) as connection:
            return await connection.run_sync(_plan, revision)
    except FileNotFoundError:
        return await asyncio.to_thread(_plan_from_nothing, revision)


def new_revision(database_url: str, message: str) -> str:
    """Write the revision that would bring this database to the models; returns its path. For developers."""
    number = f"{len(revisions(_scripts())) + 1:04d}"

    def write(connection: Connection, _target: str) -> str:
        made = command.revision(_config(connection), message, autogenerate=True, rev_id=number)
        return str(getattr(made, "path", ""))

    return asyncio.run(_alone(database_url, write, "", PATIENCE_SECONDS, _silence))


async def _alone(
    database_url: str,
    work: Callable[[Connection, str], T],
    revision: str,
    patience: float,
    waiting: Callable[[], None],
) -> T:
    async with exclusive(database_url, patience=patience, waiting=waiting) as connection:
        return await connection.run_sync(work, revision)


def _upgrade(connection: Connection, revision: str) -> Outcome:
    before = read(connection, _scripts())
    if before.verdict in UNSOUND:
        raise SchemaNotTrueError(before)
    outcome = _run(connection, command.upgrade, revision)
    if outcome.status.verdict in UNSOUND:
        raise SchemaNotTrueError(outcome.status)
    return outcome


def _plan(connection: Connection, revision: str) -> Planned:
    status = read(connection, _scripts())
    if status.verdict in UNSOUND:
        raise SchemaNotTrueError(status)
    try:
        return plan_from(connection, _config(), revision, status)
    except PlanError as error:
        raise MigrationError(str(error)) from None


def _plan_from_nothing(revision: str) -> Planned:
    try:
        return plan_from_nothing(_config(), revision, _nothing_yet())
    except PlanError as error:
        raise MigrationError(str(error)) from None


def _downgrade(connection: Connection, revision: str) -> Outcome:
    before = read(connection, _scripts())
    if before.verdict in {"unknown-revision", "stamped-but-empty", "unversioned"}:
        raise SchemaNotTrueError(before)
    return _run(connection, command.downgrade, revision)


def _run(connection: Connection, verb: Callable[[Config, str], None], revision: str) -> Outcome:
    ran: list[str] = []

    def note(*, step: MigrationInfo, **_: object) -> None:
        ran.append(str(step.up_revision_id))

    try:
        verb(_config(connection, {"on_version_apply": note}), revision)
    except CommandError as error:
        raise MigrationError(f"Cannot migrate to {revision}: {error}.") from None
    _foreign_keys_hold(connection)
    return Outcome(tuple(ran), read(connection, _scripts()))


def _foreign_keys_hold(connection: Connection) -> None:
    """SQLite does not watch foreign keys while tables are rebuilt, so they are checked before the commit."""
    if connection.dialect.name != "sqlite":
        return
    if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").all():
        tables = ", ".join(sorted({str(row[0]) for row in broken}))
        raise MigrationError(
            f"Rows refer to rows that are not there, in: {tables}. Nothing was changed; remove them first."
        )


def _config(connection: Connection | None = None, attributes: Mapping[str, Any] | None = None) -> Config:
    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", "dashtam:migrations")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes.update(attributes or {}, connection=connection)
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _nothing_yet() -> Status:
    known = revisions(_scripts())
    return Status("empty", None, known[-1], known)
