"""Indexes, statistics and triggers: what hangs on a table, on PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbparity.planning.catalogue import Index
from dbparity.planning.effect import Effect, Kind, Sum, Work, breaking, going_on, lock
from dbparity.planning.locks import Lock
from dbparity.planning.tokens import columns

if TYPE_CHECKING:
    from dbparity.planning.catalogue import Catalogue, Table
    from dbparity.planning.tokens import Reader

_NO_WAITING = "CONCURRENTLY, outside of a transaction (autocommit_block), lets writers go on."


def create_index(words: Reader, at: Catalogue, *, unique: bool) -> Effect:
    """CREATE [UNIQUE] INDEX."""
    quietly = bool(words.take("CONCURRENTLY"))
    kept = words.take("IF NOT EXISTS")
    name = words.name() if not words.at("ON") else ""
    words.take("ON")
    only = words.take("ONLY")
    table = at.table(words.name())
    if words.take("USING"):
        words.name()
    inner = words.group()
    listed = columns(inner)
    said = {token.identifier for token in (*inner, *words.rest)} & set(table.columns)
    free = words.has("WHERE") or any(token.text == "(" for token in inner)
    name = name or "_".join((table.name.rpartition(".")[2], *listed, "idx"))
    if kept and name in table.indexes:
        return going_on("The index is there already.", *lock(Lock.SHARE, table.name))
    table.indexes[name] = Index(listed, unique, tuple(sorted(said)) if free else ())
    whole = [table.name] if only or table.kind != "partitioned" else at.family(table.name)
    locks = lock(Lock.SHARE_UPDATE_EXCLUSIVE if quietly else Lock.SHARE, *whole)
    work = tuple(Work(Kind.INDEX, each, times=2 if quietly else 1) for each in whole)
    hint = "" if quietly else _NO_WAITING
    if unique:
        reason = f"Old code that writes the same {', '.join(listed) or 'values'} to {table.name} twice fails."
        return _outside(breaking(reason, *locks, work=work, hint=hint), outside=quietly)
    return _outside(
        going_on("Old code's queries stay the same.", *locks, work=work, hint=hint), outside=quietly
    )


def _outside(effect: Effect, *, outside: bool) -> Effect:
    return Effect(effect.locks, effect.work, effect.old_code, effect.reason, effect.hint, outside=outside)


def drop_index(words: Reader, at: Catalogue) -> Effect:
    """DROP INDEX."""
    quietly = bool(words.take("CONCURRENTLY"))
    words.take("IF EXISTS")
    total = Sum()
    for name in words.names():
        total.add(_dropped(name.rpartition(".")[2], at.owner_of_index(name), at, quietly=quietly))
    return total.total()


def _dropped(name: str, table: Table | None, at: Catalogue, *, quietly: bool) -> Effect:
    mode = Lock.SHARE_UPDATE_EXCLUSIVE if quietly else Lock.ACCESS_EXCLUSIVE
    hint = "" if quietly else _NO_WAITING
    if table is None:
        return _outside(going_on(f"No table is known to have {name}.", hint=hint), outside=quietly)
    locks = lock(mode, *at.family(table.name))
    index = table.indexes.pop(name)
    if index.unique:
        reason = f"Old code whose ON CONFLICT or whose logic rests on {name} fails, or writes duplicates."
        return _outside(breaking(reason, *locks, hint=hint), outside=quietly)
    return _outside(
        going_on(f"Old code's queries on {table.name} may be slower.", *locks, hint=hint), outside=quietly
    )


def alter_index(words: Reader, at: Catalogue) -> Effect:
    """ALTER INDEX: on the index alone, not on its table."""
    words.take("IF EXISTS")
    name = words.name()
    table = at.owner_of_index(name)
    if words.take("RENAME TO"):
        if table is not None:
            table.indexes[words.name()] = table.indexes.pop(name.rpartition(".")[2])
        return going_on("No code names an index.")
    if words.take("SET TABLESPACE"):
        work = [Work(Kind.INDEX, table.name)] if table else []
        waiting = "No code names an index; but whoever reads or writes its table waits for it."
        return going_on(waiting, *lock(Lock.ACCESS_EXCLUSIVE, name), work=work)
    return going_on("No code names an index.")


def reindex(words: Reader, at: Catalogue) -> Effect:
    """REINDEX TABLE and REINDEX INDEX."""
    words.group()
    kind = words.take("TABLE", "INDEX", "SCHEMA", "DATABASE", "SYSTEM")
    quietly = bool(words.take("CONCURRENTLY"))
    name = words.name()
    table = at.table(name) if kind == "TABLE" else at.owner_of_index(name)
    names = at.family(table.name) if table else []
    mode = Lock.SHARE_UPDATE_EXCLUSIVE if quietly else Lock.SHARE
    work = [Work(Kind.INDEX, each) for each in names]
    # Whoever plans a query opens all indexes of its tables.
    closed = () if quietly else tuple(i for each in names for i in at.tables[each].indexes)
    if kind == "INDEX" and closed:
        closed = (name,)
    effect = going_on(
        "Old code's queries stay the same; but none is planned on the table before the index is there.",
        *lock(mode, *names),
        *lock(Lock.ACCESS_EXCLUSIVE, *closed),
        work=work,
        hint="" if quietly else "REINDEX ... CONCURRENTLY, outside of a transaction, lets others go on.",
    )
    return _outside(effect, outside=quietly)


def create_trigger(words: Reader, at: Catalogue) -> Effect:
    """CREATE TRIGGER."""
    words.seek("ON")
    table = at.table(words.name()).name
    others = lock(Lock.ROW_SHARE, at.table(words.name()).name) if words.take("FROM") else ()
    return breaking(
        f"What old code does to {table} now goes through this trigger.",
        *lock(Lock.SHARE_ROW_EXCLUSIVE, *at.family(table)),
        *others,
    )


def on_table(words: Reader, at: Catalogue) -> Effect:
    """DROP TRIGGER, ALTER TRIGGER, policies and rules: nobody else is at the table."""
    is_new_rule = words.found[words.place - 1].upper == "RULE" and words.found[0].upper != "DROP"
    words.seek("TO" if is_new_rule else "ON")
    names = at.family(words.name())
    return breaking(
        f"What old code does to {names[0]} has another result.", *lock(Lock.ACCESS_EXCLUSIVE, *names)
    )


def statistics(words: Reader, at: Catalogue) -> Effect:
    """CREATE STATISTICS."""
    words.seek("FROM")
    return going_on(
        "Only the planner notices.", *lock(Lock.SHARE_UPDATE_EXCLUSIVE, at.table(words.name()).name)
    )
