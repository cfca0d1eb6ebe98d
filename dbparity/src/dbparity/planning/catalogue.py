"""What is known of the tables while a plan is read: the live ones, changed in step with the statements."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Column:
    """A column; its type in normal spelling (`dbparity.planning.types`)."""

    type: str
    nullable: bool = True
    default: str = ""
    generated: bool = False


@dataclass
class Constraint:
    """A constraint of a table; `text` is a check's condition in normal spelling."""

    kind: str
    columns: tuple[str, ...] = ()
    refers: str = ""
    there: tuple[str, ...] = ()
    """The columns that a foreign key refers to; empty where that is the primary key, or not known."""
    text: str = ""
    valid: bool = True


@dataclass
class Index:
    """An index: on which columns, and whether it keeps them unique."""

    columns: tuple[str, ...] = ()
    unique: bool = False
    rests_on: tuple[str, ...] = ()
    """The columns that its expressions and its condition read; another type of theirs makes it anew."""


@dataclass
class Table:
    """A table, as far as it is known: what has no number was not to be learned."""

    name: str
    rows: int | None = None
    size: int | None = None
    """Bytes, without indexes."""
    index_size: int = 0
    estimated: bool = False
    """Whether the number of rows is from statistics."""
    new: bool = False
    """Made in this plan: nobody else knows it."""
    kind: str = "table"
    """Or "partitioned", "view", "stored view", "sequence"."""
    columns: dict[str, Column] = field(default_factory=dict)
    constraints: dict[str, Constraint] = field(default_factory=dict)
    indexes: dict[str, Index] = field(default_factory=dict)
    children: list[str] = field(default_factory=list)
    """Its partitions, or the tables that inherit from it."""
    rest: str = ""
    """Its DEFAULT partition: where rows go that no other takes."""
    sources: list[str] = field(default_factory=list)
    """What a view reads."""
    oid: int = 0
    known: bool = False
    """Whether it was found."""

    def foreign_keys(self) -> Iterator[Constraint]:
        """Its foreign keys."""
        return (each for each in self.constraints.values() if each.kind == "foreign key")

    def forget(self, column: str) -> None:
        """Drop a column with what cannot be without it."""
        self.columns.pop(column, None)
        for name, constraint in list(self.constraints.items()):
            if column in constraint.columns:
                del self.constraints[name]
        for name, index in list(self.indexes.items()):
            if column in index.columns:
                del self.indexes[name]

    def rename(self, old: str, new: str) -> None:
        """Call a column by another name, also where constraints and indexes name it."""
        if old in self.columns:
            self.columns[new] = self.columns.pop(old)
        for constraint in self.constraints.values():
            constraint.columns = tuple(new if name == old else name for name in constraint.columns)
            constraint.text = " ".join(new if word == old else word for word in constraint.text.split())
        for index in self.indexes.values():
            index.columns = tuple(new if name == old else name for name in index.columns)


@dataclass
class Catalogue:
    """All tables by the name that a statement reaches them by, and what else the rules ask."""

    tables: dict[str, Table] = field(default_factory=dict)
    schemas: dict[str, str] = field(default_factory=dict)
    """`schema.table` for each table that is reached without naming its schema."""
    volatile: frozenset[str] = frozenset({"random", "nextval", "clock_timestamp", "gen_random_uuid"})
    """Functions that may answer differently in each row."""
    domains: frozenset[str] = frozenset()
    utc: bool = False
    """Whether the session's time zone is UTC."""
    version: int = 0
    """The server's major version."""
    gone: dict[str, Table] = field(default_factory=dict)
    """Tables that the plan has dropped."""

    def table(self, name: str) -> Table:
        """The table of this name; one that nobody knows is made up, and nothing is known of it."""
        name = self.schemas.get(name, name)
        if name not in self.tables:
            self.tables[name] = Table(name)
        return self.tables[name]

    def referring(self, name: str, column: str = "") -> list[str]:
        """The tables with foreign keys to this one, or to this column of it, without itself."""
        return [
            table.name
            for table in self.tables.values()
            if table.name != name
            and any(
                key.refers == name and (not column or not key.there or column in key.there)
                for key in table.foreign_keys()
            )
        ]

    def referred(self, name: str, columns: tuple[str, ...] | None = None) -> list[str]:
        """The tables that this one refers to, by any of these columns, without itself."""
        keys = (
            key
            for key in self.table(name).foreign_keys()
            if columns is None or set(key.columns) & set(columns)
        )
        return sorted({key.refers for key in keys} - {name})

    def views(self, name: str) -> list[str]:
        """The views that read a table, and those that read them."""
        found = [each.name for each in self.tables.values() if name in each.sources]
        return found + [above for view in found for above in self.views(view)]

    def family(self, name: str) -> list[str]:
        """The table and all its partitions and heirs."""
        found = [self.table(name).name]
        for child in self.table(name).children:
            found += self.family(child)
        return found

    def whole(self, name: str) -> list[str]:
        """What is read and written with it: partitions and heirs, and for a view what it reads."""
        table = self.table(name)
        if table.kind != "view":
            return self.family(table.name)
        return [table.name, *(each for source in table.sources for each in self.whole(source))]

    def parent(self, name: str) -> Table | None:
        """The partitioned table that this one is a partition of."""
        above = (table for table in self.tables.values() if name in table.children)
        return next((table for table in above if table.kind == "partitioned"), None)

    def owner_of_index(self, index: str) -> Table | None:
        """The table that an index is of; without a schema, rather one that is reached without it too."""
        schema, _, bare = index.rpartition(".")
        found = [table for table in self.tables.values() if bare in table.indexes]
        found.sort(key=lambda table: "." in table.name)
        full = {name: at for at, name in self.schemas.items()}
        there = [table for table in found if full.get(table.name, table.name).startswith(f"{schema}.")]
        return next(iter((there or found) if schema else found), None)

    def drop(self, name: str) -> None:
        """The table is no longer there."""
        table = self.tables.pop(self.schemas.get(name, name), None)
        if table is not None:
            self.gone[table.name] = table
        for other in self.tables.values():
            other.children = [child for child in other.children if child != name]
            for key in [key for key, each in other.constraints.items() if each.refers == name]:
                del other.constraints[key]

    def rename(self, old: str, new: str) -> None:
        """The table has another name."""
        table = self.table(old)
        del self.tables[table.name]
        for other in self.tables.values():
            for key in other.foreign_keys():
                key.refers = new if key.refers == table.name else key.refers
            other.children = [new if child == table.name else child for child in other.children]
            other.sources = [new if source == table.name else source for source in other.sources]
        for full in [full for full, name in self.schemas.items() if name == table.name]:
            del self.schemas[full]
            self.schemas[f"{full.rpartition('.')[0]}.{new}"] = new
        table.name = new
        self.tables[new] = table

    def is_volatile(self, expression: str) -> bool:
        """Whether a default differs from row to row: it calls a function that is not known to be stable."""
        words = expression.lower().replace('"', "").split()
        called = {word for word, behind in pairwise(words) if behind == "("}
        return bool(called & self.volatile)
