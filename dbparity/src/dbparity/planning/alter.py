"""ALTER TABLE on PostgreSQL: what each of its actions locks, scans and rewrites, and what old code makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbparity.planning import alter_column, alter_constraint
from dbparity.planning.effect import UNKNOWN, Effect, Kind, Sum, Work, breaking, going_on, lock, strongest
from dbparity.planning.locks import Lock
from dbparity.planning.rules_tables import beside_partition
from dbparity.planning.tokens import Reader, parts

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbparity.planning.catalogue import Catalogue, Table

_COPIES = ("SET LOGGED", "SET UNLOGGED", "SET TABLESPACE", "SET ACCESS METHOD")
_BRIEF = (
    *("OWNER TO", "REPLICA IDENTITY", "OF", "NOT OF", "NO INHERIT", "DISABLE ROW LEVEL SECURITY"),
    *("NO FORCE ROW LEVEL SECURITY", "SET WITHOUT OIDS"),
)


def alter_table(words: Reader, at: Catalogue) -> Effect:
    """Read `ALTER TABLE [IF EXISTS] [ONLY] name action, ...`."""
    words.take("IF EXISTS")
    only = words.take("ONLY")
    table = at.table(words.name())
    words.take("*")
    whole = [table.name] if only else at.family(table.name)
    if words.at("RENAME") or words.at("SET SCHEMA"):
        return _renamed(words, table, at)
    for phrase, read in _PARTITIONS.items():
        if words.take(phrase):
            return read(words, table, at)
    total = Sum()
    for action in parts(words.rest):
        effect = _action(Reader(action), table, at)
        total.add(_for_all(effect, table.name, whole))
    return total.total()


def _action(words: Reader, table: Table, at: Catalogue) -> Effect:
    for phrase, read in _ACTIONS.items():
        if words.take(phrase):
            return read(words, table, at)
    return _quiet(words, table)


def _for_all(effect: Effect, name: str, whole: list[str]) -> Effect:
    """What an action does to a table it does to its partitions too."""
    if len(whole) == 1:
        return effect
    total = Sum([effect])
    for child in whole[1:]:
        own = [each.mode for each in effect.locks if each.table == name]
        locks = tuple(each for mode in own for each in lock(mode, child))
        work = tuple(Work(each.kind, child) for each in effect.work if each.table == name)
        total.add(Effect(locks, work, effect.old_code, effect.reason))
    return total.total()


def _add(words: Reader, table: Table, at: Catalogue) -> Effect:
    if alter_constraint.begins(words):
        return alter_constraint.add(words, table, at)
    words.take("COLUMN")
    return alter_column.add(words, table, at)


def _alter(words: Reader, table: Table, at: Catalogue) -> Effect:
    words.take("COLUMN")
    return alter_column.alter(words, table, at)


def _drop(words: Reader, table: Table, at: Catalogue) -> Effect:
    words.take("COLUMN")
    return alter_column.drop(words, table, at)


def _trigger(words: Reader, table: Table, _at: Catalogue) -> Effect:
    del words
    return breaking(
        f"What old code writes to {table.name} no longer goes through the same triggers.",
        *lock(Lock.SHARE_ROW_EXCLUSIVE, table.name),
    )


def _quiet(words: Reader, table: Table) -> Effect:
    """Actions that change nothing that code can see."""
    seen = f"Nothing that old code reads or writes in {table.name} changes."
    if words.at("SET (") or words.at("RESET (") or words.at("CLUSTER ON") or words.at("SET WITHOUT CLUSTER"):
        strong = any(token.identifier == "user_catalog_table" for token in words.rest)
        mode = Lock.ACCESS_EXCLUSIVE if strong else Lock.SHARE_UPDATE_EXCLUSIVE
        return going_on(seen, *lock(mode, table.name))
    exclusive = lock(Lock.ACCESS_EXCLUSIVE, table.name)
    if words.take(*_COPIES):
        return going_on(seen, *exclusive, work=[Work(Kind.REWRITE, table.name)])
    if words.take(*_BRIEF):
        return going_on(seen, *exclusive)
    if words.take("ENABLE ROW LEVEL SECURITY", "FORCE ROW LEVEL SECURITY"):
        return breaking("Old code sees and writes only the rows that a policy gives it.", *exclusive)
    if words.take("ENABLE RULE", "DISABLE RULE", "ENABLE REPLICA RULE", "ENABLE ALWAYS RULE"):
        return breaking("What old code writes goes through other rules.", *exclusive)
    return UNKNOWN


def _renamed(words: Reader, table: Table, at: Catalogue) -> Effect:
    locks = lock(Lock.ACCESS_EXCLUSIVE, table.name)
    if words.take("SET SCHEMA"):
        old, bare = table.name, table.name.rpartition(".")[2]
        at.rename(old, f"{words.name()}.{bare}")
        return breaking(f"Old code looks for {old} where it no longer is.", *locks, hint=_RENAME_TABLE)
    words.take("RENAME")
    if words.take("TO"):
        old, new = table.name, words.name()
        schema = old.rpartition(".")[0]
        at.rename(old, f"{schema}.{new}" if schema else new)
        return breaking(f"Old code asks for {old}, which has another name.", *locks, hint=_RENAME_TABLE)
    if words.take("CONSTRAINT"):
        old = words.name()
        words.take("TO")
        if old in table.constraints:
            table.constraints[words.name()] = table.constraints.pop(old)
        whole = lock(Lock.ACCESS_EXCLUSIVE, *at.family(table.name))
        return going_on("Only code that names the constraint (ON CONFLICT ON CONSTRAINT) notices.", *whole)
    words.take("COLUMN")
    old = words.name()
    words.take("TO")
    table.rename(old, words.name())
    whole = lock(Lock.ACCESS_EXCLUSIVE, *at.family(table.name))
    return breaking(
        f"Old code asks for {table.name}.{old}, which has another name.", *whole, hint=_RENAME_COLUMN
    )


_RENAME_TABLE = "Give the old name to a view on the new table until no old code runs."
_RENAME_COLUMN = (
    "Add a column of the new name, let the code write both and copy the rows, then drop the old column."
)


def _attach(words: Reader, table: Table, at: Catalogue) -> Effect:
    child = at.table(words.name()).name
    table.children.append(child)
    beside, work = beside_partition(table, at)
    if words.take("DEFAULT"):
        table.rest = child
    return going_on(
        f"Old code finds the rows of {child} in {table.name} too.",
        *lock(Lock.SHARE_UPDATE_EXCLUSIVE, table.name),
        *lock(Lock.ACCESS_EXCLUSIVE, child),
        *beside,
        work=[Work(Kind.SCAN, child), *work],
        hint="A valid CHECK on the table that says the same as the bound saves the scan.",
    )


def _detach(words: Reader, table: Table, at: Catalogue) -> Effect:
    child = at.table(words.name()).name
    quietly = words.take("CONCURRENTLY")
    mode = Lock.SHARE_UPDATE_EXCLUSIVE if quietly else Lock.ACCESS_EXCLUSIVE
    reason = f"Old code no longer finds the rows of {child} in {table.name}."
    referring = at.referring(table.name)
    locks = (
        *lock(mode, table.name),
        *lock(Lock.ACCESS_EXCLUSIVE, child, *[table.rest] * bool(table.rest), *referring),
        *lock(Lock.SHARE_ROW_EXCLUSIVE, *at.referred(table.name)),
    )
    table.children = [each for each in table.children if each != child]
    scanned = [child, *referring] if referring else []
    effect = breaking(reason, *strongest(locks), work=[Work(Kind.SCAN, each) for each in scanned])
    if not quietly:
        return effect
    return Effect(effect.locks, effect.work, effect.old_code, reason, outside=True)


def _inherit(words: Reader, table: Table, at: Catalogue) -> Effect:
    parent = at.table(words.name())
    parent.children.append(table.name)
    return going_on(
        f"Old code finds the rows of {table.name} in {parent.name} too.",
        *lock(Lock.ACCESS_EXCLUSIVE, table.name),
        *lock(Lock.SHARE_UPDATE_EXCLUSIVE, parent.name),
    )


_PARTITIONS: dict[str, Callable[[Reader, Table, Catalogue], Effect]] = {
    "ATTACH PARTITION": _attach,
    "DETACH PARTITION": _detach,
    "INHERIT": _inherit,
}
_ACTIONS: dict[str, Callable[[Reader, Table, Catalogue], Effect]] = {
    "ADD": _add,
    "VALIDATE CONSTRAINT": alter_constraint.validate,
    "ALTER CONSTRAINT": alter_constraint.alter,
    "DROP CONSTRAINT": alter_constraint.drop,
    "ALTER": _alter,
    "DROP": _drop,
    "ENABLE TRIGGER": _trigger,
    "DISABLE TRIGGER": _trigger,
    "ENABLE REPLICA TRIGGER": _trigger,
    "ENABLE ALWAYS TRIGGER": _trigger,
}
