"""From a live connection and the migrations to a plan; nothing is changed on the way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from dbparity.planning import guarded, live_postgresql, live_sqlite, postgresql, rates, sqlite
from dbparity.planning.rehearsal import Heard, Record, Steps, on_copy
from dbparity.planning.report import Plan, PlannedRevision, PlannedStatement, Size
from dbparity.planning.tokens import tokens
from dbparity.schema import environment, graph, version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, MetaData

    from dbparity.planning.catalogue import Catalogue
    from dbparity.planning.effect import Effect
    from dbparity.planning.rehearsal import Said
    from dbparity.schema.graph import Migrations

    Rules = Callable[[str, Catalogue, int], Effect]

DIALECTS = frozenset({"postgresql", "sqlite"})
_STATES = {
    "25P01": "the connection is in AUTOCOMMIT, and a plan needs a transaction",
    "55P03": "{} is locked, as by a migration that is running",
}


class PlanError(ValueError):
    """There can be no plan: what is asked for is not there, or cannot be read."""


def plan(
    connection: Connection,
    script_location: Migrations,
    target: str = "head",
    *,
    metadata: MetaData | None = None,
    version_table: str = "alembic_version",
) -> Plan:
    """Say what an upgrade to `target` would do to this database.

    The connection is read from only, and is left in the transaction in which it was; it must not be in AUTOCOMMIT.
    `metadata` is asked for its naming convention. Each pending revision's `upgrade()` is called, with a connection
    that changes nothing. Raises PlanError, and MigrationsError where the migrations cannot be read.
    """
    if connection.dialect.name not in DIALECTS:
        msg = f"Plans are made for PostgreSQL and SQLite, not for {connection.dialect.name}."
        raise PlanError(msg)
    began = connection.in_transaction()
    try:
        config, scripts = graph.opened(script_location)
        heads = _heads(connection, version_table)
        steps = Steps(config, scripts, _pending(scripts, target, heads), metadata)
        if not steps.pending:
            return Plan(connection.dialect.name, heads, target, ())
        make = _on_sqlite if connection.dialect.name == "sqlite" else _on_postgresql
        return make(connection, steps, target, heads, version_table)
    finally:
        if not began and connection.in_transaction():
            connection.rollback()


def _heads(connection: Connection, version_table: str) -> tuple[str, ...]:
    if connection.dialect.name == "sqlite":
        return version.revisions(connection, version.find(connection, version_table)) or ()
    try:
        with live_postgresql.read_only(connection):
            return version.revisions(connection, version.find(connection, version_table)) or ()
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
        if state not in _STATES:
            raise
        msg = f"There can be no plan now: {_STATES[state].format(version_table)}."
        raise PlanError(msg) from error


def _pending(scripts: Any, target: str, heads: Sequence[str]) -> list[Any]:  # noqa: ANN401 - Alembic's directory
    from alembic.util import CommandError  # noqa: PLC0415 - when it is needed

    try:
        return list(scripts._upgrade_revs(target, tuple(heads)))  # noqa: SLF001 - as Alembic's own command does
    except CommandError as error:
        msg = f"There is no way to {target} from {', '.join(heads) or 'nothing'}: {error}."
        raise PlanError(msg) from error


def _on_postgresql(
    connection: Connection, steps: Steps, target: str, heads: tuple[str, ...], _version_table: str
) -> Plan:
    record = Record()
    with live_postgresql.read_only(connection):
        at = live_postgresql.read(connection)
    with live_postgresql.read_only(connection):
        engine = guarded.engine(connection, record)
        with engine.connect() as rehearsing:
            steps.run(rehearsing, record)
    with live_postgresql.read_only(connection):
        notes = live_postgresql.look_closer(connection, at, _mentioned(record, at))
    each = bool(environment.read(Path(steps.scripts.dir) / "env.py").commits_each)
    return _planned(
        record, at, postgresql.effect_of, Plan("postgresql", heads, target, (), (), each, tuple(notes))
    )


def _on_sqlite(
    connection: Connection, steps: Steps, target: str, heads: tuple[str, ...], version_table: str
) -> Plan:
    record = Record()
    at = live_sqlite.read(connection)
    copy = live_sqlite.copy_of(connection, version_table, heads)
    try:
        on_copy(copy, steps, record)
    finally:
        copy.dispose()
    live_sqlite.look_closer(connection, at, _mentioned(record, at))
    notes = (live_sqlite.who_waits(connection),) if at.tables else ()
    return _planned(record, at, sqlite.effect_of, Plan("sqlite", heads, target, (), (), False, notes))


def _mentioned(record: Record, at: Catalogue) -> set[str]:
    """The tables that the statements name, and those that foreign keys tie to them."""
    words = {
        token.identifier for heard in record.heard for said in heard.said for token in tokens(said.sql)
    } - {""}
    words |= {word.lower() for word in words}
    named = {
        name
        for name, table in at.tables.items()
        if name.rpartition(".")[2] in words
        or any(column.type.rpartition(".")[2] in words & at.domains for column in table.columns.values())
    }
    named |= {each for name in named for each in at.whole(name)}
    tied = {each for name in named for each in (*at.referring(name), *at.referred(name))}
    return named | {each for name in tied for each in at.whole(name)}


def _planned(record: Record, at: Catalogue, rules: Rules, frame: Plan) -> Plan:
    touched: dict[str, Size] = {}
    revisions = tuple(_revision(heard, at, rules, frame.dialect, touched) for heard in record.heard)
    return Plan(
        frame.dialect,
        frame.current,
        frame.target,
        revisions,
        tuple(touched.values()),
        frame.each_commits,
        frame.notes,
    )


def _revision(
    heard: Heard, at: Catalogue, rules: Rules, dialect: str, touched: dict[str, Size]
) -> PlannedRevision:
    statements = tuple(_statement(said, at, rules, dialect, touched) for said in heard.said)
    notes = tuple(
        f"It reads rows ({sql}), and was planned on tables without rows: what it does with them is not in here."
        for sql in dict.fromkeys(heard.reads)
    )
    return PlannedRevision(heard.revision, heard.title, heard.path.name, statements, heard.obstacle, notes)


def _statement(
    said: Said, at: Catalogue, rules: Rules, dialect: str, touched: dict[str, Size]
) -> PlannedStatement:
    sizes = {name: Size(name, table.rows, table.estimated) for name, table in at.tables.items()}
    effect = rules(said.sql, at, said.sets)
    for name in [*(lock.table for lock in effect.locks), *(work.table for work in effect.work)]:
        if name in sizes and sizes[name].rows is not None:
            touched.setdefault(name, sizes[name])
    return PlannedStatement(
        sql=said.sql,
        sets=said.sets,
        locks=effect.locks,
        write_lock=dialect == "sqlite",
        rewrites=effect.rewrites,
        scans=effect.scans,
        estimate=rates.estimate(effect.work, at, dialect) if effect.known else rates.Estimate(None, None),
        old_code=effect.old_code,
        reason=effect.reason,
        hint=effect.hint,
        known=effect.known,
        outside=effect.outside,
        alone=said.alone,
        fails=effect.fails,
    )
