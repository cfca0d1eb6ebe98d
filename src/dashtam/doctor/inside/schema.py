"""The schema: whether the tables are what this version needs, and enforce what they promise."""

import asyncio

from sqlalchemy import text

from dashtam import migrations
from dashtam.doctor.check import Answer, Check, failure, ok, skipped, warning
from dashtam.doctor.inside import postgresql, sqlite
from dashtam.doctor.inside.postgresql import Server
from dashtam.doctor.local import Local
from dashtam.migrations import MigrationError, Planned, Status
from dashtam.migrations.connection import looking
from dashtam.migrations.state import UNSOUND

_NO_TABLES = "there are no tables yet"
_SHOWN = 5
_PLANNING_SECONDS = 1.5


async def status(local: Local) -> Status:
    """What the database is. A check asks for it by `local.once(status)`."""
    return await migrations.status(local.settings.database)


async def _truth(local: Local) -> Answer:
    found = await local.once(status)
    if found.verdict == "empty" or found.verdict in UNSOUND:
        return failure(" ".join((found.words, *_some(found.differences))), found.advice)
    return ok(found.words)


def _some(differences: tuple[str, ...]) -> list[str]:
    more = len(differences) - _SHOWN
    listed = [f"{difference.rstrip('.')}." for difference in differences[:_SHOWN]]
    return [*listed, f"And {more} more."] if more > 0 else listed


async def _pending(local: Local) -> Answer:
    found = await local.once(status)
    if not found.pending:
        return ok(f"no revision waits: {found.head} is the newest of this version")
    remedy = "Read what they do: dashtam migrate plan; and run them: dashtam migrate up"
    waiting = f"not run yet: {', '.join(found.pending)}"
    try:
        async with asyncio.timeout(_PLANNING_SECONDS):
            planned = await migrations.plan(local.settings.database)
    except (MigrationError, TimeoutError) as error:
        return failure(f"{waiting}; what they do cannot be said here: {str(error) or 'no time'}", remedy)
    return failure(f"{waiting}; {_effects(planned)}", remedy)


def _effects(planned: Planned) -> str:
    """What the migration does to those who work meanwhile."""
    if planned.obstacles:
        return " ".join(planned.obstacles)
    plan = planned.plan
    held = ", ".join(f"{held.lock.table} ({held.lock.mode})" for held in plan.held)
    alone = any(each.write_lock for each in plan.statements)
    said = [
        f"locks {held}" if held else "",
        "holds the file's one write lock" if alone else "",
        f"rewrites {', '.join(plan.rewrites)}" if plan.rewrites else "",
        f"code from before {plan.old_code.value}",
    ]
    return "; ".join(part for part in said if part)


async def _enforced(local: Local) -> Answer:
    server = await local.once(postgresql.server)
    return _kept_promises(server) if server.tables else skipped(_NO_TABLES)


def _kept_promises(server: Server) -> Answer:
    off = [f"{name} of {table.name}" for table in server.tables for name in table.switched_off]
    if off:
        return failure(
            f"switched off: {', '.join(off)}; rows may refer to rows that are not there",
            "As the tables' owner: ALTER TABLE … ENABLE TRIGGER ALL; it was left so by a restore, or by hand.",
        )
    if (role := server.settings["session_replication_role"]) != "origin":
        return failure(
            f"session_replication_role is {role}: foreign keys are not enforced",
            "ALTER ROLE, DATABASE or SYSTEM … RESET session_replication_role, wherever it is set.",
        )
    unproven = [f"{name} of {table.name}" for table in server.tables for name in table.unproven]
    unfit = [f"{name} of {table.name}" for table in server.tables for name in table.unfit_indexes]
    if unproven or unfit:
        return warning(
            f"never finished: {', '.join(unproven + unfit)}",
            "ALTER TABLE … VALIDATE CONSTRAINT …; DROP INDEX CONCURRENTLY … and make it again if it is Dashtam's.",
        )
    return ok(f"every constraint, trigger and index of {len(server.tables)} tables is in force")


async def _logged(local: Local) -> Answer:
    server = await local.once(postgresql.server)
    if not server.tables:
        return skipped(_NO_TABLES)
    unlogged = [table.name for table in server.tables if table.unlogged]
    if unlogged:
        return failure(
            f"unlogged: {', '.join(unlogged)}; a crash of the server empties them",
            "As the tables' owner: " + "; ".join(f"ALTER TABLE {name} SET LOGGED" for name in unlogged),
        )
    return ok(f"all {len(server.tables)} tables are logged")


async def _references(local: Local) -> Answer:
    found = await local.once(sqlite.file)
    if found.size > sqlite.MOST_READ:
        return skipped(f"{found.size / sqlite.MB:.0f} MB take too long to read here")
    async with looking(local.settings.database) as connection:
        broken = await connection.execute(
            text('SELECT "table", count(*) FROM pragma_foreign_key_check GROUP BY 1')
        )
        counts = [f"{count} of {table}" for table, count in broken]
    if not counts:
        return ok("PRAGMA foreign_key_check finds nothing")
    return failure(
        f"rows refer to rows that are not there: {', '.join(counts)}",
        f"Keep a copy of the file, and delete those that this lists: sqlite3 {sqlite.path(local)} "
        "'PRAGMA foreign_key_check'",
    )


_NEEDS = ("database.answers",)
CHECKS = (
    Check("schema.truth", "The tables are what the version table and the models say", _truth, _NEEDS),
    Check("schema.pending", "Every migration is run", _pending, ("schema.truth",)),
    Check("schema.enforced", "Every constraint is in force", _enforced, _NEEDS, postgresql.here),
    Check("schema.logged", "No table is emptied by a crash", _logged, _NEEDS, postgresql.here),
    Check(
        "schema.references",
        "Every row refers to rows that are there",
        _references,
        ("schema.truth",),
        sqlite.here,
    ),
)
