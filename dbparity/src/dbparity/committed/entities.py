"""What the names in an assertion mean: mapped classes and tables, their columns and attributes."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, MetaData, Table, inspect
from sqlalchemy.exc import NoInspectionAvailable
from sqlalchemy.orm import Mapper, mapperlib

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy import ColumnElement, FromClause

    Named = str | type[Any] | Table


class UnknownNameError(LookupError):
    """No table, mapped class or column has that name."""


@dataclass(frozen=True, eq=False)
class Entity:
    """A table, or what a mapped class selects."""

    name: str
    source: FromClause
    tables: tuple[str, ...]
    """The keys of the tables that it is made of."""
    columns: Mapping[str, ColumnElement[Any]]
    """By attribute name for a class, by key for a table."""
    primary_key: tuple[ColumnElement[Any], ...] = ()
    criterion: ColumnElement[bool] | None = None
    """What tells its rows from those of other classes in the same table."""

    @cached_property
    def spellings(self) -> dict[str, str]:
        """The key in `columns` for each name that a column goes by."""
        by_column = {getattr(column, "name", key): key for key, column in self.columns.items()}
        return by_column | {key: key for key in self.columns}

    def key_of(self, name: str) -> str:
        """The key in `columns` of an attribute or column."""
        try:
            return self.spellings[name]
        except KeyError:
            msg = f"{self.name} has no column {name!r}{_nearest(name, self.spellings)}."
            raise UnknownNameError(msg) from None


class Entities:
    """Everything that the models of one metadata know."""

    def __init__(self, metadata: MetaData) -> None:
        self._metadata = metadata

    def find(self, named: Named) -> Entity:
        """The entity behind a class, a Table, or the name of either."""
        if isinstance(named, Table):
            return of_table(named)
        if isinstance(named, str):
            return self._by_name(named)
        try:
            found = inspect(named)
        except NoInspectionAvailable:
            found = None
        if not isinstance(found, Mapper):
            msg = f"{named!r} is neither a mapped class nor a table."
            raise UnknownNameError(msg)
        return of_mapper(found)

    def tables(self) -> Iterable[Table]:
        """Every table of the models."""
        return self._metadata.tables.values()

    def _by_name(self, name: str) -> Entity:
        """A table's key comes first, then a class, then a table's name without its schema."""
        if name in self._metadata.tables:
            return of_table(self._metadata.tables[name])
        mappers = [each for each in self._mappers() if each.class_.__name__ == name]
        tables = [table for table in self.tables() if table.name == name]
        if len(mappers) == 1:
            return of_mapper(mappers[0])
        if len(tables) == 1 and not mappers:
            return of_table(tables[0])
        several = [f"{each.class_.__module__}.{name}" for each in mappers] or [
            str(each.key) for each in tables
        ]
        if several:
            which = " or ".join(sorted(several))
            msg = f"{name!r} can be {which}. Say which: {{TheClass: 1}} or {{'schema.table': 1}}."
            raise UnknownNameError(msg)
        known = [*self._metadata.tables, *(each.class_.__name__ for each in self._mappers())]
        msg = f"No table and no mapped class is called {name!r}{_nearest(name, known)}."
        raise UnknownNameError(msg)

    def _mappers(self) -> Iterator[Mapper[Any]]:
        for registry in mapperlib._all_registries():  # noqa: SLF001 - no public list of mapped classes
            for mapper in registry.mappers:
                table = mapper.local_table
                if isinstance(table, Table) and self._metadata.tables.get(str(table.key)) is table:
                    yield mapper


def of_table(table: Table) -> Entity:
    """A table as it is."""
    columns: dict[str, ColumnElement[Any]] = dict(table.c.items())
    return Entity(str(table.key), table, (str(table.key),), columns, tuple(table.primary_key))


def of_mapper(mapper: Mapper[Any]) -> Entity:
    """A mapped class: its attributes, and the rows that are its own where several classes share a table."""
    columns: dict[str, ColumnElement[Any]] = {
        each.key: each.columns[0] for each in mapper.column_attrs if isinstance(each.columns[0], Column)
    }
    criterion = None
    if mapper.single and mapper.polymorphic_on is not None:
        own = [each.polymorphic_identity for each in mapper.self_and_descendants]
        criterion = mapper.polymorphic_on.in_(own)
    tables = tuple(str(each.key) for each in mapper.tables if isinstance(each, Table))
    source = mapper.persist_selectable
    return Entity(mapper.class_.__name__, source, tables, columns, tuple(mapper.primary_key), criterion)


def _nearest(name: str, known: Iterable[str]) -> str:
    folded = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    if near:
        return f"; there is {folded[near[0]]!r}"
    return f"; there are {', '.join(sorted(folded.values())) or 'none'}"
