"""What a database is, as its *tables* say, whatever its version table says; and what to do about it."""

from dataclasses import dataclass
from typing import Literal

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from dashtam.core.tables import Table
from dbparity.schema import Kind, Report, compare
from dbparity.schema import Verdict as Found

Verdict = Literal[
    "ready",  # at the newest revision, and the tables are what the models say
    "empty",  # nothing of ours is there
    "pending",  # an older revision of ours
    "stamped-but-empty",  # a revision is noted, and no table is there
    "partly-applied",  # the newest revision is noted, and some tables are missing
    "drift",  # all tables are there, and some are not as they should be
    "unversioned",  # tables are there, and no revision is noted
    "unknown-revision",  # the noted revision is none of this version's
    "wrong-schema",  # our tables are there, where search_path does not lead
]

# Nothing can be built on these; each needs a person, who is told what to do.
UNSOUND: frozenset[Verdict] = frozenset(
    {"stamped-but-empty", "partly-applied", "drift", "unversioned", "unknown-revision", "wrong-schema"}
)

_WORDS: dict[Verdict, str] = {
    "ready": "The schema is at revision {current}, and the tables are as they should be.",
    "empty": "The database holds no tables of Dashtam yet.",
    "pending": "The schema is at revision {current}; revision {head} is the newest.",
    "stamped-but-empty": "The database says it is at revision {current}, but not one table is there.",
    "partly-applied": "The database says it is at revision {current}, but tables are missing.",
    "drift": "The database says it is at revision {current}, but its tables are not what that makes.",
    "unversioned": "Tables of Dashtam are there, but no revision is noted for them.",
    "unknown-revision": "The database is at revision {current}, which this version of Dashtam does not know.",
    "wrong-schema": "Dashtam's tables are in another schema than the one this connection works in.",
}

_ADVICE: dict[Verdict, str] = {
    "ready": "",
    "empty": "Run `dashtam migrate up`.",
    "pending": "Run `dashtam migrate up`.",
    "stamped-but-empty": (
        "The tables were dropped, or never made. If no data is meant to be there, run the SQL statement "
        "DROP TABLE alembic_version and then `dashtam migrate up`. Otherwise restore a backup."
    ),
    "partly-applied": "Tables were dropped, or a restore was cut short: restore a whole backup.",
    "drift": (
        "Somebody changed the tables by hand, or another version of Dashtam did: undo that change, "
        "or restore a backup."
    ),
    "unversioned": (
        "They were not made by `dashtam migrate`, or a restore left alembic_version out: restore a whole "
        "backup, or point DATABASE_URL at an empty database."
    ),
    "unknown-revision": (
        "Another version of Dashtam migrated it: run that version or a newer one, or restore a backup "
        "from before."
    ),
    "wrong-schema": "Set the search_path of this database role to the schema that holds the tables.",
}


@dataclass(frozen=True, slots=True)
class Status:
    """A database's verdict and the evidence for it."""

    verdict: Verdict
    current: str | None
    head: str
    pending: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The verdict in a sentence."""
        return _WORDS[self.verdict].format(current=self.current, head=self.head)

    @property
    def advice(self) -> str:
        """What to do about it; empty when there is nothing to do."""
        return _ADVICE[self.verdict]

    def explain(self) -> str:
        """The whole story: verdict, differences, advice."""
        listed = [f"  - {difference}" for difference in self.differences]
        return "\n".join(line for line in (self.words, *listed, self.advice) if line)


def read(connection: Connection, scripts: ScriptDirectory) -> Status:
    """Look at the version table and at the tables, and believe the tables."""
    noted = MigrationContext.configure(connection).get_current_heads()
    known = revisions(scripts)
    current, head = ", ".join(sorted(noted)) or None, known[-1]
    if current is not None and current not in known:
        return Status("unknown-revision", current, head)
    report = compare(connection, Table.metadata)
    if report.verdict is Found.WRONG_SCHEMA:
        return Status("wrong-schema", current, head, differences=(report.hint,))
    if current is None:
        return _without_revision(report, known)
    if report.verdict is Found.STAMPED_BUT_EMPTY:
        return Status("stamped-but-empty", current, head)
    if current != head:
        return Status("pending", current, head, known[known.index(current) + 1 :])
    return _at_head(report, head)


def revisions(scripts: ScriptDirectory) -> tuple[str, ...]:
    """Every revision of this version, oldest first."""
    return tuple(script.revision for script in scripts.walk_revisions())[::-1]


def _without_revision(report: Report, known: tuple[str, ...]) -> Status:
    if report.verdict in {Found.EMPTY, Found.VERSION_EMPTY}:
        return Status("empty", None, known[-1], known)
    missing = {found.table for found in report.differences if found.kind is Kind.TABLE_MISSING}
    there = tuple(f"table {name} is there" for name in sorted(set(Table.metadata.tables) - missing))
    return Status("unversioned", None, known[-1], known, there)


def _at_head(report: Report, head: str) -> Status:
    harmful = report.obstacles
    if not harmful:
        return Status("ready", head, head)
    verdict: Verdict = "partly-applied" if report.verdict is Found.PARTLY_APPLIED else "drift"
    return Status(verdict, head, head, differences=tuple(found.sentence for found in harmful))
