"""Running the pending revisions without running them: every statement is written down.

On PostgreSQL the revisions get a connection whose cursors let the first questions through to the live database,
which is read-only for them, and keep everything else. A revision that asks after something has been kept would
get an answer from before it, so it is not believed: that revision cannot be planned. On SQLite they run for
real, on a copy of the tables without their rows.

env.py is never run: what it adds to the project (a naming convention) is handed in as metadata.
"""

from __future__ import annotations

import re
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import MetaData, event
from sqlalchemy.exc import DBAPIError

from dbparity.isolation import statements
from dbparity.planning.tokens import Reader, split, tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from sqlalchemy import Connection, Engine

_QUESTIONS = frozenset({"SELECT", "SHOW", "VALUES", "WITH", "TABLE", "EXPLAIN", "PRAGMA"})
_CHANGES = re.compile(r"\b(INSERT|UPDATE|DELETE|MERGE|INTO)\b", re.IGNORECASE)
_TIMEOUT = re.compile(r"SET\s+(?:LOCAL\s+|SESSION\s+)?(?:lock|statement)_timeout\b", re.IGNORECASE)
_ACTS = re.compile(
    r"\b(?:pg_(?:terminate|cancel|notify|(?:try_)?advisory|reload|rotate|switch|create|drop|promote|log|backup|start"
    r"|stop|wal_replay|stat_reset|stat_statements_reset|replication|export|logical|file)\w*"
    r"|lo_\w+|dblink\w*|set_config)\W*\(",
    re.IGNORECASE,
)
"""Functions that act where a read-only transaction does not hinder them."""
_PASSWORD = re.compile(r"(\bPASSWORD\s+)'(?:[^']|'')*'", re.IGNORECASE)
_CONTROL = frozenset({"SAVEPOINT", "RELEASE", "ROLLBACK", "BEGIN", "COMMIT"})


class NeedsDatabaseError(Exception):
    """A revision asks the database about what this plan has not done."""


@dataclass(frozen=True)
class Said:
    """A statement that a revision makes."""

    sql: str
    sets: int = 1
    """How many sets of values it is run with."""
    alone: bool = False
    """Whether it runs outside of the transaction (autocommit_block)."""


@dataclass
class Heard:
    """What one revision said, and why it could not go on if it could not."""

    revision: str
    title: str
    path: Path
    said: list[Said] = field(default_factory=list)
    obstacle: str = ""
    reads: list[str] = field(default_factory=list)
    """Questions about rows, which an empty copy cannot answer as the real table does."""


@dataclass
class Record:
    """Where statements are written down."""

    heard: list[Heard] = field(default_factory=list)
    alone: bool = False

    @property
    def begun(self) -> bool:
        """Whether anything was said that the live database does not have; a timeout is no such thing."""
        return any(
            each.obstacle or not all(_TIMEOUT.match(said.sql) for said in each.said) for each in self.heard
        )

    def note(self, sql: str, sets: int = 1, *, apart: bool = True) -> None:
        """Write down a statement, or several with semicolons between them."""
        pieces = split(sql) if apart else [sql.strip().rstrip(";")]
        self.heard[-1].said += [Said(_PASSWORD.sub(r"\1'***'", piece), sets, self.alone) for piece in pieces]


def is_question(sql: str) -> bool:
    """Whether a statement only asks; `SELECT setval(...)` and the like do something.

    Several in one text are no question: a COMMIT among them would end the read-only transaction.
    """
    if len(split(sql)) != 1 or _ACTS.search(sql):
        return False
    words = Reader(tokens(sql))
    if words.word == "(":
        words.skip()
    if words.word not in _QUESTIONS or _CHANGES.search(sql) or words.has("FOR UPDATE"):
        return False
    return words.word != "SELECT" or statements.read(sql).weight is statements.Weight.NONE


@dataclass(frozen=True)
class Steps:
    """What is to be run: the revisions from where the database is to where it shall be."""

    config: Config
    scripts: ScriptDirectory
    pending: Sequence[Any]
    metadata: MetaData | None = None

    def run(self, connection: Connection, record: Record) -> None:
        """Call upgrade() of one revision after the other, with this connection."""
        from alembic.operations import Operations  # noqa: PLC0415 - when it is needed
        from alembic.runtime.environment import EnvironmentContext  # noqa: PLC0415 - the same

        with EnvironmentContext(self.config, self.scripts) as environment:
            environment.configure(connection=connection, target_metadata=self.metadata or MetaData())
            context = environment.get_context()
            vars(context)["autocommit_block"] = lambda: _alone(record)
            with Operations.context(context):
                for step in self.pending:
                    script = step.revision
                    heard = Heard(script.revision, script.doc, Path(script.path))
                    record.heard.append(heard)
                    heard.obstacle = _tried(step.migration_fn, Path(script.path))


@contextmanager
def _alone(record: Record) -> Iterator[None]:
    record.alone = True
    try:
        yield
    finally:
        record.alone = False


def _tried(upgrade: Callable[[], None], path: Path) -> str:
    """Run it; the obstacle in a sentence if there is one."""
    try:
        upgrade()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - revisions are the project's own code: anything can come
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename) == path]
        where = f"{path.name}:{lines[-1]}" if lines else path.name
        if (asked := _asked(error)) is not None:
            return f"{where} {asked}"
        said = str(error.orig if isinstance(error, DBAPIError) and error.orig else error)
        return f"{where} does not run here: {type(error).__name__}: {(said.splitlines() or [''])[0]}"
    return ""


def _asked(error: BaseException) -> NeedsDatabaseError | None:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, NeedsDatabaseError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


# ---------------------------------------------------------------------------------- SQLite: on a copy


def on_copy(copy: Engine, steps: Steps, record: Record) -> None:
    """Run the revisions for real in a copy without rows, and write down what is executed."""

    def hear(_connection: Connection, _cursor: object, sql: str, values: Any, *rest: object) -> None:  # noqa: ANN401 - each driver's own
        many = bool(rest[-1])
        word = Reader(tokens(sql)).word
        if word in _CONTROL or word == "PRAGMA":
            return
        if is_question(sql):
            if "sqlite_" not in sql:
                record.heard[-1].reads.append(" ".join(sql.split()))
            return
        record.note(sql, len(values) if many else 1, apart=False)

    event.listen(copy, "before_cursor_execute", hear)
    try:
        with copy.connect() as connection:
            steps.run(connection, record)
    finally:
        event.remove(copy, "before_cursor_execute", hear)
