"""ALTER TABLE's actions on a column, on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dbparity.planning import definitions, types
from dbparity.planning.catalogue import Column
from dbparity.planning.effect import UNKNOWN, Effect, Kind, Sum, Work, breaking, going_on, lock
from dbparity.planning.locks import Lock, TableLock
from dbparity.planning.tokens import Reader, spelled

if TYPE_CHECKING:
    from dbparity.planning.catalogue import Catalogue, Table

VIRTUAL_SINCE = 18
"""The version of PostgreSQL since which generated columns are computed when read, unless STORED."""


def add(words: Reader, table: Table, at: Catalogue) -> Effect:
    """ADD COLUMN."""
    words.take("IF NOT EXISTS")
    read = definitions.column(words.rest)
    own = _full(table)
    total = Sum()
    if _fills(read, at):
        hint = "Add the column without a default, set the default, and fill the rows in batches."
        total.add(
            going_on(
                f"Old code does not know {table.name}.{read.name}.",
                own,
                work=[Work(Kind.REWRITE, table.name)],
                hint="" if read.generated else hint,
            )
        )
    elif read.column.nullable or read.column.default or read.identity:
        total.add(going_on(f"Old code does not know {table.name}.{read.name}, and need not.", own))
    if not (read.column.nullable or read.column.default or read.identity or read.serial or read.generated):
        total.add(_must_be_given(table, read.name, own))
    for name, constraint in read.constraints.items():
        total.add(_beside(name, constraint.kind, read, table, at))
    table.columns[read.name] = read.column
    table.constraints.update(read.constraints)
    return total.total()


def _must_be_given(table: Table, name: str, own: TableLock) -> Effect:
    effect = breaking(
        f"Old code adds rows to {table.name} without {name}, which has no default and may not be NULL.",
        own,
        hint="Give it a default first, or add it without NOT NULL and fill it.",
    )
    return replace(effect, fails="" if table.rows == 0 else f"It fails if {table.name} has rows.")


def _fills(read: definitions.Definition, at: Catalogue) -> bool:
    """Whether a value has to be written into every row."""
    if read.generated == "AS":
        return at.version < VIRTUAL_SINCE
    if read.serial or read.identity or read.generated == "STORED":
        return True
    base = read.column.type.partition("(")[0].rpartition(".")[2]
    return base in at.domains or (bool(read.column.default) and at.is_volatile(read.column.default))


def _beside(name: str, kind: str, read: definitions.Definition, table: Table, at: Catalogue) -> Effect:
    own = _full(table)
    if kind == "foreign key":
        refers = at.table(read.constraints[name].refers).name
        read.constraints[name].refers = refers
        filled = bool(read.column.default)
        return going_on(
            f"Old code does not write {table.name}.{read.name}, so no reference of its can be wrong.",
            own,
            *lock(Lock.SHARE_ROW_EXCLUSIVE, *at.family(refers)),
            work=[Work(Kind.SCAN, each) for each in (table.name, *at.family(refers))] if filled else [],
        )
    if kind in {"unique", "primary key"}:
        return going_on(
            f"Old code does not write {table.name}.{read.name}.", own, work=[Work(Kind.INDEX, table.name)]
        )
    return going_on(
        f"Old code does not write {table.name}.{read.name}.", own, work=[Work(Kind.SCAN, table.name)]
    )


def drop(words: Reader, table: Table, at: Catalogue) -> Effect:
    """DROP COLUMN."""
    words.take("IF EXISTS")
    name = words.name()
    others = lock(Lock.ACCESS_EXCLUSIVE, *at.referred(table.name, (name,)))
    if words.take("CASCADE"):
        gone = [*at.referring(table.name, name), *at.views(table.name)]
        others += lock(Lock.ACCESS_EXCLUSIVE, *dict.fromkeys(gone))
    table.forget(name)
    return breaking(
        f"Old code that reads or writes {table.name}.{name} fails.",
        _full(table),
        *others,
        hint="Deploy code that no longer uses it first; drop it in a later release.",
    )


def alter(words: Reader, table: Table, at: Catalogue) -> Effect:
    """ALTER COLUMN."""
    name = words.name()
    if words.take("SET DATA TYPE", "TYPE"):
        return _type(words, name, table, at)
    if words.take("SET NOT NULL"):
        return _not_null(name, table)
    if words.take("DROP NOT NULL"):
        _of(table, name).nullable = True
        return going_on(
            f"Old code may meet NULL in {table.name}.{name} once new code writes it.", _full(table)
        )
    if words.take("SET DEFAULT"):
        _of(table, name).default = spelled(words.rest)
        return going_on("Rows that are there stay as they are; old code's values are taken.", _full(table))
    if words.take("DROP DEFAULT"):
        return _no_default(name, table)
    return _storage(words, name, table)


def _storage(words: Reader, name: str, table: Table) -> Effect:
    unseen = f"What old code reads and writes in {table.name}.{name} stays the same."
    if words.at("SET STATISTICS") or words.at("SET (") or words.at("RESET ("):
        return going_on(unseen, *lock(Lock.SHARE_UPDATE_EXCLUSIVE, table.name))
    if words.take("SET STORAGE", "SET COMPRESSION", "DROP EXPRESSION"):
        return going_on(unseen, _full(table))
    if words.take("ADD GENERATED", "SET GENERATED", "DROP IDENTITY", "RESTART", "SET START"):
        return breaking(f"What {table.name}.{name} gets without being given a value changes.", _full(table))
    return UNKNOWN


def _type(words: Reader, name: str, table: Table, at: Catalogue) -> Effect:
    start = words.place
    using = words.seek("USING", "COLLATE")
    written = words.found[start : words.place - 1] if using else words.found[start:]
    old, new = _of(table, name).type, types.normal(list(written))
    plain = not using or (using == "USING" and spelled(words.rest).split(" :: ")[0].split(" ") == [name])
    in_place = plain and types.stays_in_place(old, new, utc=at.utc)
    others = {*at.referred(table.name, (name,)), *at.referring(table.name, name)}
    locks = (_full(table), *lock(Lock.ACCESS_EXCLUSIVE, *sorted(others)))
    table.columns[name].type = new
    work = [Work(Kind.SCAN, table.name)] if in_place and _is_checked(table, name) else []
    if in_place and old != new:
        work += _indexes_again(table, name, other_order=bool({old, new} & types.STAMPS))
    if not in_place:
        work = [Work(Kind.REWRITE, table.name), *(Work(Kind.SCAN, other) for other in sorted(others))]
    hint = "" if in_place else _ANOTHER_COLUMN
    if plain and types.holds_all(old, new, utc=at.utc):
        return going_on(
            f"Every value that old code writes to {table.name}.{name} still fits.",
            *locks,
            work=work,
            hint=hint,
        )
    return breaking(
        f"Old code still reads and writes {table.name}.{name} as {old or 'another type'}.",
        *locks,
        work=work,
        hint=hint,
    )


def _indexes_again(table: Table, name: str, *, other_order: bool) -> list[Work]:
    """Indexes that are made anew although the table is not: those with expressions or a condition on the column."""
    again = [
        index
        for index in table.indexes.values()
        if name in index.rests_on or (name in index.columns and (index.rests_on or other_order))
    ]
    return [Work(Kind.INDEX, table.name, times=len(again))] if again else []


def _is_checked(table: Table, name: str) -> bool:
    return any(each.kind == "check" and name in each.columns for each in table.constraints.values())


_ANOTHER_COLUMN = (
    "Add a column of the new type, write both, fill it in batches, and let the code change over to it."
)


def _not_null(name: str, table: Table) -> Effect:
    column = _of(table, name)
    done = not column.nullable and not any(
        each.kind == "not null" and name in each.columns and not each.valid
        for each in table.constraints.values()
    )
    proven = done or any(
        each.valid and each.kind == "check" and each.text in {f"{name} is not null", f"{name} IS NOT NULL"}
        for each in table.constraints.values()
    )
    column.nullable = False
    if done:
        return going_on(f"{table.name}.{name} is NOT NULL already.", _full(table))
    return breaking(
        f"Old code that leaves {table.name}.{name} empty fails.",
        _full(table),
        work=[] if proven else [Work(Kind.SCAN, table.name)],
        hint=""
        if proven
        else f"Add CHECK ({name} IS NOT NULL) NOT VALID, VALIDATE it, and then SET NOT NULL: that scans nothing.",
    )


def _no_default(name: str, table: Table) -> Effect:
    column = _of(table, name)
    column.default = ""
    if column.nullable:
        return going_on(
            f"Rows that old code adds without {name} get NULL in {table.name}.{name}.", _full(table)
        )
    return breaking(f"Old code that adds rows to {table.name} without {name} fails.", _full(table))


def _of(table: Table, name: str) -> Column:
    return table.columns.setdefault(name, Column(""))


def _full(table: Table) -> TableLock:
    return TableLock(table.name, Lock.ACCESS_EXCLUSIVE)
