"""What a statement does to others on SQLite: one writer at a time, for the whole database.

Alembic's batch mode changes a table by filling a new one and putting it in the old one's place. Those statements
are read together: what counts for old code is how the new table differs from the old one.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from dbparity.planning import postgresql
from dbparity.planning.catalogue import Index
from dbparity.planning.effect import Effect, Kind, Work, breaking, going_on
from dbparity.planning.tokens import Reader, columns, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbparity.planning.catalogue import Catalogue, Table

BATCH = "_alembic_tmp_"
_ONLY_POSTGRESQL = ("CONCURRENTLY", "VALID", "COMMIT", "LIKE")
_QUOTED = re.compile(r'"[^"]+"|`[^`]+`')


def effect_of(sql: str, at: Catalogue, sets: int = 1) -> Effect:
    """What a statement does, run with so many sets of values; the catalogue follows it."""
    sql = lowered(sql)
    words = Reader(tokens(sql))
    if words.take("CREATE VIRTUAL TABLE"):
        return going_on("Old code does not know it.")
    if (batch := _in_batch(Reader(tokens(sql)), sql, at)) is not None:
        return batch
    there = dict(at.tables)
    effect = postgresql.effect_of(sql.replace(" OR REPLACE INTO", " INTO"), at, sets)
    if Reader(tokens(sql)).word == "PRAGMA":
        effect = going_on("It is about this connection alone.")
    hint = "" if any(word in effect.hint for word in _ONLY_POSTGRESQL) else effect.hint
    reason = effect.reason if effect.known else "Unknown statement: read it yourself."
    return replace(effect, locks=(), work=_work(sql, effect, there), hint=hint, reason=reason, outside=False)


def lowered(sql: str) -> str:
    """The same with quoted names in lower case: SQLite takes names for the same that differ in case alone."""
    return _QUOTED.sub(lambda name: name[0].lower(), sql)


def _work(sql: str, effect: Effect, there: dict[str, Table]) -> tuple[Work, ...]:
    words = Reader(tokens(sql))
    if not words.take("ALTER TABLE"):
        return effect.work
    name = words.name()
    if name not in there or there[name].new:
        return ()
    if words.take("DROP"):
        return (Work(Kind.REWRITE, name),)
    if words.take("ADD") and words.has("CHECK", "NOT NULL"):  # which SQLite looks for in every row
        return (Work(Kind.SCAN, name),)
    return ()


def _in_batch(words: Reader, sql: str, at: Catalogue) -> Effect | None:
    """The effect of one of the statements of a batch."""
    if (again := _index_again(Reader(words.found), at)) is not None:
        return again
    if words.take("INSERT INTO"):
        name = words.name()
        if name.startswith(BATCH):
            return going_on("Old code sees the old table until the COMMIT.", work=_copied(name, at))
    if words.take("DROP TABLE"):
        name = words.name()
        if f"{BATCH}{name}" in at.tables:
            at.drop(name)
            return going_on(f"The copy takes the place of {name}.")
    if words.take("ALTER TABLE"):
        name = words.name()
        if name.startswith(BATCH) and words.take("RENAME TO"):
            postgresql.effect_of(sql, at)
            made = at.table(words.name())
            old = at.gone.get(made.name)
            return compared(old, made) if old is not None else None
    return None


def _index_again(words: Reader, at: Catalogue) -> Effect | None:
    """An index that the old table had too; its making is part of the rewriting."""
    unique = bool(words.take("CREATE UNIQUE INDEX"))
    if not unique and not words.take("CREATE INDEX"):
        return None
    name = words.name()
    words.take("ON")
    table = at.table(words.name())
    index = Index(columns(words.group()), unique)
    old = at.gone.get(table.name)
    if old is None or old.indexes.get(name) != index:
        return None
    table.indexes[name] = index
    return going_on(f"{table.name} had this index before.")


def _copied(name: str, at: Catalogue) -> list[Work]:
    original = name.removeprefix(BATCH)
    return [Work(Kind.REWRITE, original)] if original in at.tables and not at.tables[original].new else []


def compared(old: Table, new: Table) -> Effect:
    """What code for the old table makes of the new one."""
    new.rows, new.new = old.rows, old.new
    if old.new:
        return going_on("Nobody uses yet what this plan makes.")
    found = list(_differences(old, new))
    if found:
        return breaking(" ".join(found), hint=_EXPAND)
    return going_on(f"Everything that old code reads and writes in {old.name} is there.")


_EXPAND = "Deploy code that works with both forms first."


def _differences(old: Table, new: Table) -> Iterator[str]:
    for name, column in old.columns.items():
        now = new.columns.get(name)
        if now is None:
            yield f"Old code that reads or writes {old.name}.{name} fails."
        elif column.nullable and not now.nullable:
            yield f"Old code that leaves {old.name}.{name} empty fails."
        elif affinity(column.type) != affinity(now.type):
            yield f"Old code still reads and writes {old.name}.{name} as {column.type}."
        elif column.default and not now.default and not now.nullable:
            yield f"Old code that adds rows to {old.name} without {name} fails."
    for name, column in new.columns.items():
        if name not in old.columns and not column.nullable and not column.default:
            yield f"Old code adds rows to {old.name} without {name}, which has no default and may not be NULL."
    yield from _narrowed(old, new)


def _narrowed(old: Table, new: Table) -> Iterator[str]:
    had = {(each.kind, each.columns, each.refers, each.text) for each in old.constraints.values()}
    for each in new.constraints.values():
        if (each.kind, each.columns, each.refers, each.text) not in had:
            what = f"a {each.kind} on {', '.join(each.columns)}" if each.columns else f"a {each.kind}"
            yield f"Old code that writes to {old.name} what the new constraint forbids ({what}) fails."


def affinity(type_: str) -> str:
    """How SQLite keeps values of a column of this type, which is all that it makes of it."""
    upper = type_.upper()
    for sign, kind in _AFFINITIES:
        if sign in upper:
            return kind
    return "BLOB" if not upper else "NUMERIC"


# https://www.sqlite.org/datatype3.html#determination_of_column_affinity, in this order.
_AFFINITIES = (
    *(("INT", "INTEGER"), ("CHAR", "TEXT"), ("CLOB", "TEXT"), ("TEXT", "TEXT"), ("BLOB", "BLOB")),
    *(("REAL", "REAL"), ("FLOA", "REAL"), ("DOUB", "REAL")),
)
