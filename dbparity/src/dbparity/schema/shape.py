"""The shape of a table, as declared by the models or as found in the database: one form for both.

Both sides are read into these and then compared as values, so that a spelling that means the same
(TIMESTAMPTZ, a unique index for a unique constraint) is made equal in one place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Column:
    """A column; `type` is its canonical spelling, None when the models' type has no spelling here."""

    name: str
    type: str | None
    nullable: bool
    labels: tuple[str, ...] = ()
    """The values of a native enum type."""
    has_default: bool = False
    """Whether the database fills it where an INSERT leaves it out. Known of live columns only."""

    @property
    def optional(self) -> bool:
        """Whether an INSERT that knows nothing of it succeeds."""
        return self.nullable or self.has_default


@dataclass(frozen=True)
class Index:
    """An index; an expression stands as None among its columns, a predicate only as `partial`.

    Databases rewrite expressions and predicates, so their text cannot be compared honestly.
    """

    name: str
    columns: tuple[str | None, ...]
    unique: bool = False
    partial: bool = False

    @property
    def guarantees(self) -> frozenset[str] | None:
        """The columns whose values together cannot repeat in the table, if it promises that."""
        if not self.unique or self.partial or None in self.columns:
            return None
        return frozenset(column for column in self.columns if column is not None)


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key: pairs of column and referred column, and what happens to the rows that refer."""

    pairs: frozenset[tuple[str, str]]
    target: str
    on_delete: str
    on_update: str

    @property
    def columns(self) -> str:
        """The referring columns, for sentences."""
        return ", ".join(sorted(column for column, _ in self.pairs))


@dataclass(frozen=True)
class Check:
    """A check constraint, known by its name only; `name` is None where it was given none."""

    name: str | None
    optional: bool = False
    """Whether the database may go without: it belongs to a type, which decides by itself."""


@dataclass
class Table:
    """A table. `name` is qualified by its schema only where the models name one."""

    name: str
    columns: dict[str, Column] = field(default_factory=dict)
    primary_key: tuple[str, ...] = ()
    uniques: set[frozenset[str]] = field(default_factory=set)
    indexes: list[Index] = field(default_factory=list)
    foreign_keys: list[ForeignKey] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)


@dataclass(frozen=True)
class Elsewhere:
    """Where tables are that unqualified names do not reach."""

    schemas: Mapping[str, str] = field(default_factory=dict)
    """Table name to the schema that holds one of that name."""

    search_path: str = ""
    """PostgreSQL's setting; empty on a database that has none."""
