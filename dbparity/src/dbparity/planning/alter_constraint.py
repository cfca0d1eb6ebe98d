"""ALTER TABLE's actions on a constraint, on PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbparity.planning import definitions
from dbparity.planning.effect import Effect, Kind, Work, breaking, going_on, lock
from dbparity.planning.locks import Lock, TableLock

if TYPE_CHECKING:
    from dbparity.planning.catalogue import Catalogue, Constraint, Table
    from dbparity.planning.tokens import Reader

_USING = "using index "


def begins(words: Reader) -> bool:
    """Whether a constraint is added, not a column."""
    return definitions.is_constraint(words.rest)


def add(words: Reader, table: Table, at: Catalogue) -> Effect:
    """ADD CONSTRAINT."""
    name, read = definitions.constraint(words.rest, table.name)
    table.constraints[name] = read
    if read.kind == "foreign key":
        return _foreign_key(read, table, at)
    if read.kind in {"unique", "primary key", "exclude"}:
        return _unique(read, table)
    return _check(name, read, table)


def _foreign_key(read: Constraint, table: Table, at: Catalogue) -> Effect:
    read.refers = at.table(read.refers).name
    both = dict.fromkeys((table.name, *at.family(read.refers)))
    locks = lock(Lock.SHARE_ROW_EXCLUSIVE, *both)
    return breaking(
        f"Old code that writes to {table.name} what is not in {read.refers} fails.",
        *locks,
        work=[Work(Kind.SCAN, each) for each in both] if read.valid else [],
        hint="Add it NOT VALID, and VALIDATE it in a later transaction: writers wait only for an instant."
        if read.valid
        else "VALIDATE it in a later transaction.",
    )


def _unique(read: Constraint, table: Table) -> Effect:
    own = _full(table)
    if read.text.startswith(_USING):
        index = table.indexes.get(read.text.removeprefix(_USING).rpartition(".")[2])
        read.columns = index.columns if index else ()
        nullable = [table.columns[each] for each in read.columns if each in table.columns]
        key = read.kind == "primary key"
        scanned = key and (not nullable or any(each.nullable for each in nullable))
        work = [Work(Kind.SCAN, table.name)] if scanned else []
        return going_on("The unique index has refused duplicates before.", own, work=work)
    listed = ", ".join(read.columns)
    key = read.kind == "primary key"
    for each in read.columns if key else ():
        if each in table.columns:
            table.columns[each].nullable = False
    return breaking(
        f"Old code that writes the same {listed or 'values'} to {table.name} twice fails.",
        own,
        work=[Work(Kind.INDEX, table.name)],
        hint=""
        if read.kind == "exclude"
        else f"CREATE UNIQUE INDEX CONCURRENTLY first, then ADD {read.kind.upper()} USING INDEX.",
    )


def _check(name: str, read: Constraint, table: Table) -> Effect:
    what = f"what {name} forbids" if " " not in name else "what the new check forbids"
    return breaking(
        f"Old code that writes {what} to {table.name} fails.",
        _full(table),
        work=[Work(Kind.SCAN, table.name)] if read.valid else [],
        hint="Add it NOT VALID, and VALIDATE it in a later transaction: nobody waits for the scan."
        if read.valid
        else "VALIDATE it in a later transaction.",
    )


def validate(words: Reader, table: Table, at: Catalogue) -> Effect:
    """VALIDATE CONSTRAINT."""
    constraint = table.constraints.get(words.name())
    referred: tuple[TableLock, ...] = ()
    if constraint is not None:
        constraint.valid = True
        if constraint.kind == "foreign key" and constraint.refers != table.name:
            referred = lock(Lock.ROW_SHARE, at.table(constraint.refers).name)
    return going_on(
        "New rows have had to obey it since it was added.",
        *lock(Lock.SHARE_UPDATE_EXCLUSIVE, table.name),
        *referred,
        work=[Work(Kind.SCAN, each) for each in (table.name, *(held.table for held in referred))],
    )


def alter(words: Reader, table: Table, at: Catalogue) -> Effect:
    """ALTER CONSTRAINT: when it is checked."""
    del words, at
    return breaking(
        f"Old code meets violations in {table.name} at another moment: at once, or at COMMIT.", _full(table)
    )


def drop(words: Reader, table: Table, at: Catalogue) -> Effect:
    """DROP CONSTRAINT."""
    words.take("IF EXISTS")
    name = words.name()
    constraint = table.constraints.pop(name, None)
    others: list[str] = []
    if constraint is None:
        others = at.referred(table.name)
    elif constraint.kind == "foreign key":
        others = at.family(constraint.refers)
    elif words.take("CASCADE"):
        others = at.referring(table.name)
    locks = (_full(table), *lock(Lock.ACCESS_EXCLUSIVE, *(each for each in others if each != table.name)))
    if constraint is not None and constraint.kind in {"check", "foreign key", "not null"}:
        return going_on(f"What {name} refused is taken now; old code writes what it has written.", *locks)
    return breaking(
        f"Old code whose ON CONFLICT or whose logic rests on {name} fails, or writes duplicates.", *locks
    )


def _full(table: Table) -> TableLock:
    return TableLock(table.name, Lock.ACCESS_EXCLUSIVE)
