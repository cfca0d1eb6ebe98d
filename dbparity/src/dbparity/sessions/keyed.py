"""Which row a statement asks for, where its condition names a whole primary key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import BinaryExpression, BindParameter, BooleanClauseList, Column, Table
from sqlalchemy.sql import operators

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Keyed:
    """A table, and the parameters that hold the primary key of one of its rows."""

    table: Table
    names: tuple[str, ...]
    """Of the parameters, in the order of the key's columns."""


def keyed(compiled: Any) -> Keyed | None:  # noqa: ANN401 - SQLCompiler
    """What this statement asks for; found out at its first execution and kept with it."""
    try:
        known: Keyed | None = compiled.dbparity_keyed
    except AttributeError:
        known = compiled.dbparity_keyed = _keyed(compiled)
    return known


def _keyed(compiled: Any) -> Keyed | None:  # noqa: ANN401 - SQLCompiler
    clause = getattr(compiled.statement, "whereclause", None)
    names: dict[Table, dict[str, str]] = {}
    for column, bind in _equalities(clause):
        if isinstance(column.table, Table):
            table = column.table._deannotate()  # noqa: SLF001 - the table itself, not the ORM's note on it
            names.setdefault(table, {})[column.name] = compiled.bind_names.get(bind, bind.key)
    for table, found in names.items():
        wanted = [column.name for column in table.primary_key]
        if wanted and set(wanted) <= found.keys():
            return Keyed(table, tuple(found[name] for name in wanted))
    return None


def _equalities(clause: object) -> Iterator[tuple[Column[Any], BindParameter[Any]]]:
    if isinstance(clause, BooleanClauseList) and clause.operator is operators.and_:
        for part in clause.clauses:
            yield from _equalities(part)
    elif isinstance(clause, BinaryExpression) and clause.operator is operators.eq:
        sides = (clause.left, clause.right)
        for column, bind in (sides, sides[::-1]):
            if isinstance(column, Column) and isinstance(bind, BindParameter):
                yield column, bind
