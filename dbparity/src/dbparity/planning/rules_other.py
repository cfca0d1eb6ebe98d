"""Statements on PostgreSQL that are about no table's rows: types, functions, rights, comments, settings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dbparity.planning.effect import UNKNOWN, Effect, Kind, Work, breaking, going_on, lock
from dbparity.planning.locks import Lock, TableLock
from dbparity.planning.tokens import Reader

if TYPE_CHECKING:
    from dbparity.planning.catalogue import Catalogue

RIGHTS_LOCK_SINCE = 18
_NEW = "Old code does not know it."
_COMMENTED = ("TABLE", "VIEW", "MATERIALIZED VIEW", "SEQUENCE", "FOREIGN TABLE")
_ON_TABLE = ("CONSTRAINT", "TRIGGER", "RULE", "POLICY")


def new(words: Reader, at: Catalogue) -> Effect:
    """Anything that old code cannot know, and that locks no table."""
    del words, at
    return going_on(_NEW)


def create_domain(words: Reader, at: Catalogue) -> Effect:
    """CREATE DOMAIN: a column of one that is checked has to be filled."""
    name = words.name().rpartition(".")[2]
    if words.has("CHECK", "NOT NULL"):
        at.domains |= {name}
    return going_on(_NEW)


def create_function(words: Reader, at: Catalogue) -> Effect:
    """CREATE FUNCTION or PROCEDURE: volatile, if nothing else is said."""
    name = words.name().rpartition(".")[2]
    if not words.has("IMMUTABLE", "STABLE"):
        at.volatile |= {name}
    return going_on(_NEW)


def replaced(words: Reader, at: Catalogue) -> Effect:
    """CREATE OR REPLACE FUNCTION or PROCEDURE."""
    name = Reader(words.rest).name()
    create_function(words, at)
    return breaking(f"Old code that calls {name} gets what the new one does.")


def create_sequence(words: Reader, at: Catalogue) -> Effect:
    """CREATE SEQUENCE."""
    words.take("IF NOT EXISTS")
    name = words.name()
    table = at.table(name)
    table.new, table.known, table.kind, table.rows = True, True, "sequence", 1
    return going_on(_NEW, *lock(Lock.ACCESS_EXCLUSIVE, name))


def alter_type(words: Reader, at: Catalogue) -> Effect:
    """ALTER TYPE: of an enum, mostly."""
    del at
    name = words.name()
    if words.take("ADD VALUE"):
        return going_on(
            f"Old code works until a row with the new value of {name} is read by it; deploy code that knows it first."
        )
    if words.take("OWNER TO"):
        return going_on(f"Old code uses {name} as before.")
    if words.at("RENAME") or words.at("SET SCHEMA"):
        return breaking(f"Old code writes what {name} no longer has.")
    return UNKNOWN


def alter_domain(words: Reader, at: Catalogue) -> Effect:
    """ALTER DOMAIN: what it narrows is looked for in every table that has a column of it."""
    name = words.name()
    users = [
        table.name
        for table in at.tables.values()
        if any(each.type.partition("(")[0] == name for each in table.columns.values())
    ]
    if words.at("ADD") or words.at("SET NOT NULL") or words.at("VALIDATE"):
        scanned = [] if words.has("NOT VALID") else users
        return breaking(
            f"Old code that writes what {name} no longer takes fails.",
            *lock(Lock.SHARE, *scanned),
            work=[Work(Kind.SCAN, each) for each in scanned],
        )
    if words.at("RENAME TO") or words.at("SET SCHEMA"):
        return breaking(f"Old code that names {name} fails.")
    return going_on(f"Every value that old code writes to columns of {name} still fits.")


def gone(words: Reader, at: Catalogue) -> Effect:
    """DROP of a type, function, extension, schema: with CASCADE nobody knows what goes with it."""
    del at
    words.take("IF EXISTS")
    if words.has("CASCADE"):
        return UNKNOWN
    return breaking(f"Old code that uses {words.name()} fails.")


def comment(words: Reader, at: Catalogue) -> Effect:
    """COMMENT ON."""
    quiet, mode = "A comment changes nothing.", Lock.SHARE_UPDATE_EXCLUSIVE
    words.take("ON")
    if words.take(*_COMMENTED):
        return going_on(quiet, *lock(mode, at.table(words.name()).name))
    if words.take("COLUMN"):
        return going_on(quiet, *lock(mode, at.table(words.name().rpartition(".")[0]).name))
    if words.take(*_ON_TABLE):
        words.seek("ON")
        return going_on(quiet, *lock(Lock.ACCESS_SHARE, at.table(words.name()).name))
    return going_on(quiet)


def grant(words: Reader, at: Catalogue) -> Effect:
    """GRANT."""
    return going_on("Old code may do what it may do now.", *_looked_at(words, "TO", at))


def revoke(words: Reader, at: Catalogue) -> Effect:
    """REVOKE."""
    return breaking("Old code may no longer do what it did.", *_looked_at(words, "FROM", at))


def _looked_at(words: Reader, end: str, at: Catalogue) -> tuple[TableLock, ...]:
    """The tables whose rights are changed: PostgreSQL keeps them from being dropped since version 18."""
    if at.version < RIGHTS_LOCK_SINCE or not words.seek("ON"):
        return ()
    words.take("TABLE")
    names = [at.schemas.get(name, name) for name in words.names() if words.has(end)]
    return lock(Lock.ACCESS_SHARE, *(name for name in names if name in at.tables))


def setting(words: Reader, at: Catalogue) -> Effect:
    """SET, RESET, SHOW, DISCARD."""
    words.take("LOCAL", "SESSION")
    if words.take("SEARCH_PATH", "ROLE", "SCHEMA"):
        return replace(
            UNKNOWN, reason="What follows may mean other tables than are told here: read it yourself."
        )
    if words.take("TIME ZONE", "TIMEZONE"):
        at.utc = any(token.text.strip("'").upper() == "UTC" for token in words.rest)
    return going_on("It is about this session alone.")


def analyze(words: Reader, at: Catalogue) -> Effect:
    """ANALYZE."""
    words.group()
    words.take("VERBOSE")
    names = [each for name in words.names() for each in at.family(name)]
    return going_on("Only the planner notices.", *lock(Lock.SHARE_UPDATE_EXCLUSIVE, *names))


def vacuum(words: Reader, at: Catalogue) -> Effect:
    """VACUUM."""
    listed = {token.upper for token in words.group()}
    full = bool(words.take("FULL")) or "FULL" in listed
    words.take("FREEZE")
    words.take("VERBOSE")
    words.take("ANALYZE")
    names = [each for name in words.names() for each in at.family(name)]
    mode = Lock.ACCESS_EXCLUSIVE if full else Lock.SHARE_UPDATE_EXCLUSIVE
    work = tuple(Work(Kind.REWRITE if full else Kind.SCAN, each) for each in names)
    said = going_on("The rows stay the same.", *lock(mode, *names), work=work)
    return Effect(said.locks, said.work, said.old_code, said.reason, outside=True)


def cluster(words: Reader, at: Catalogue) -> Effect:
    """CLUSTER."""
    words.group()
    words.take("VERBOSE")
    name = at.table(words.name()).name
    return going_on(
        "The rows stay the same.",
        *lock(Lock.ACCESS_EXCLUSIVE, name),
        work=[Work(Kind.REWRITE, name)],
    )


def nothing(words: Reader, at: Catalogue) -> Effect:
    """NOTIFY, LISTEN and the like."""
    del words, at
    return going_on("Nothing that old code reads or writes changes.")
