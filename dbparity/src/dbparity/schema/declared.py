"""What the models say: SQLAlchemy's MetaData read into shapes, spelled for one dialect."""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import CompileError
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BinaryExpression, TextClause, UnaryExpression

from dbparity.schema.shape import Check, Column, ForeignKey, Index, Table
from dbparity.schema.spelling import canonical

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Dialect

_PLAIN_TEXT_COLUMN = re.compile(r'"?(\w+)"?(\s+(asc|desc))?(\s+nulls\s+(first|last))?', re.IGNORECASE)


def read(metadata: sa.MetaData, dialect: Dialect, default_schema: str | None) -> dict[str, Table]:
    """Return every declared table under the name the live side uses for it."""
    named = {table.schema for table in metadata.tables.values()}
    # A default schema that some models also name outright: its tables have one name, the long one.
    default = default_schema if default_schema in named else None
    tables = (_table(table, table.schema or default, dialect) for table in metadata.tables.values())
    return {table.name: table for table in tables}


def _table(table: sa.Table, schema: str | None, dialect: Dialect) -> Table:
    return Table(
        name=f"{schema}.{table.name}" if schema else table.name,
        columns={column.name: _column(column, dialect) for column in table.columns},
        primary_key=tuple(column.name for column in table.primary_key.columns),
        uniques={
            frozenset(column.name for column in constraint.columns)
            for constraint in table.constraints
            if isinstance(constraint, sa.UniqueConstraint)
        },
        indexes=sorted((_index(index, dialect) for index in table.indexes), key=lambda index: index.name),
        foreign_keys=[_foreign_key(constraint) for constraint in table.foreign_key_constraints],
        checks=list(_checks(table, dialect)),
    )


def _column(column: sa.Column[Any], dialect: Dialect) -> Column:
    try:
        spelled = canonical(column.type.compile(dialect=dialect), dialect.name)
    except CompileError:
        spelled = None
    kind = column.type.dialect_impl(dialect)
    native = dialect.name == "postgresql" and isinstance(kind, sa.Enum) and kind.native_enum
    labels = tuple(kind.enums) if native and isinstance(kind, sa.Enum) else ()
    return Column(column.name, spelled, nullable=bool(column.nullable), labels=labels)


def _index(index: sa.Index, dialect: Dialect) -> Index:
    options = index.dialect_options[dialect.name]
    return Index(
        name=final_name(index, dialect) or "",
        columns=tuple(_indexed(expression) for expression in index.expressions),
        unique=bool(index.unique),
        partial=options.get("where") is not None,
    )


def _indexed(expression: object) -> str | None:
    """Return the column an index entry stands for, whatever its direction; None for an expression."""
    while isinstance(expression, UnaryExpression) and expression.modifier is not None:
        expression = expression.element
    if isinstance(expression, BinaryExpression) and expression.operator is operators.collate:
        expression = expression.left
    if isinstance(expression, sa.Column):
        return str(expression.name)
    if isinstance(expression, TextClause):
        match = _PLAIN_TEXT_COLUMN.fullmatch(expression.text.strip())
        return match[1] if match else None
    return None


def _foreign_key(constraint: sa.ForeignKeyConstraint) -> ForeignKey:
    # The last two words of "schema.table.column", which stand even where the table is not in the metadata.
    targets = [element.target_fullname.rsplit(".", 2)[-2:] for element in constraint.elements]
    return ForeignKey(
        pairs=frozenset(
            (element.parent.name, column)
            for element, (_, column) in zip(constraint.elements, targets, strict=True)
        ),
        target=targets[0][0],
        on_delete=(constraint.ondelete or "NO ACTION").upper(),
        on_update=(constraint.onupdate or "NO ACTION").upper(),
    )


def _checks(table: sa.Table, dialect: Dialect) -> Iterator[Check]:
    # A check declared within a column belongs to that column alone, not to the table's constraints.
    columns = (column.constraints for column in table.columns)
    for constraint in {*table.constraints, *chain.from_iterable(columns)}:
        if isinstance(constraint, sa.CheckConstraint):
            # An Enum's or Boolean's own check, which exists on some databases only (see create_constraint).
            bound = bool(getattr(constraint, "_type_bound", False))
            yield Check(final_name(constraint, dialect), optional=bound)


def final_name(item: sa.Index | sa.Constraint, dialect: Dialect) -> str | None:
    """Return the name in the database: naming convention applied, cut to what the server accepts."""
    if item.name is None:  # not the same as a name that a naming convention will give
        return None
    name = dialect.identifier_preparer.format_constraint(item, _alembic_quote=False)
    return None if name is None else str(name)
