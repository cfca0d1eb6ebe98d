"""Two schemas compared as values, each difference told in one plain sentence.

What counts is what the database will do: names of unique constraints and foreign keys are not compared, a
unique index serves for a unique constraint and the other way round.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbparity.schema.report import Difference, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from dbparity.schema.shape import Check, Column, ForeignKey, Index, Table


def differences(models: Mapping[str, Table], live: Mapping[str, Table]) -> Iterator[Difference]:
    """Yield missing and extra tables first, then what differs inside the others, table by table."""
    for name in sorted(models.keys() - live.keys()):
        yield Difference(Kind.TABLE_MISSING, name, name, f"table {name} is missing")
    for name in sorted(live.keys() - models.keys()):
        yield Difference(Kind.TABLE_EXTRA, name, name, f"table {name} is in the database, not in the models")
    for name in sorted(models.keys() & live.keys()):
        yield from _in_table(models[name], live[name])


def _in_table(models: Table, live: Table) -> Iterator[Difference]:
    yield from _columns(models, live)
    if models.primary_key != live.primary_key:
        is_, said = _named(live.primary_key), _named(models.primary_key)
        sentence = f"primary key of {models.name}: is {is_}, models say {said}"
        yield Difference(Kind.PRIMARY_KEY, models.name, "primary key", sentence)
    yield from _uniques(models, live)
    yield from _indexes(models, live)
    yield from _foreign_keys(models, live)
    yield from _checks(models, live)


def _columns(models: Table, live: Table) -> Iterator[Difference]:
    table = models.name
    for name in models.columns:
        if name not in live.columns:
            yield Difference(Kind.COLUMN_MISSING, table, name, f"column {table}.{name} is missing")
    for name, column in live.columns.items():
        if name not in models.columns:
            kind = Kind.COLUMN_EXTRA_OPTIONAL if column.optional else Kind.COLUMN_EXTRA
            yield Difference(
                kind, table, name, f"column {table}.{name} is in the database, not in the models"
            )
    for name, column in models.columns.items():
        if name in live.columns:
            yield from _in_column(table, column, live.columns[name])


def _in_column(table: str, models: Column, live: Column) -> Iterator[Difference]:
    subject = f"column {table}.{models.name}"
    if models.type not in {None, live.type}:
        sentence = f"{subject}: is {_shown(live.type)}, models say {_shown(models.type)}"
        yield Difference(Kind.COLUMN_TYPE, table, models.name, sentence)
    elif models.labels and models.labels != live.labels:
        sentence = f"{subject}: its enum has {_named(live.labels)}, models say {_named(models.labels)}"
        yield Difference(Kind.COLUMN_TYPE, table, models.name, sentence)
    if models.nullable != live.nullable:
        said = {True: "may be NULL", False: "is NOT NULL"}
        sentence = f"{subject}: {said[live.nullable]}, models say it {said[models.nullable]}"
        yield Difference(Kind.COLUMN_NULLABILITY, table, models.name, sentence)


def _uniques(models: Table, live: Table) -> Iterator[Difference]:
    table = models.name
    for columns in sorted(models.uniques - _guarantees(live), key=sorted):
        sentence = f"unique constraint on {table} ({_named(sorted(columns))}) is missing"
        yield Difference(Kind.UNIQUE_MISSING, table, _named(sorted(columns)), sentence)
    for columns in sorted(live.uniques - _guarantees(models), key=sorted):
        sentence = (
            f"unique constraint on {table} ({_named(sorted(columns))}) is in the database, not in the models"
        )
        yield Difference(Kind.UNIQUE_EXTRA, table, _named(sorted(columns)), sentence)


def _guarantees(table: Table) -> set[frozenset[str]]:
    """Return the column sets whose values cannot repeat, by whatever means."""
    by_index = {index.guarantees for index in table.indexes}
    return table.uniques | {frozenset(table.primary_key)} | {columns for columns in by_index if columns}


def _indexes(models: Table, live: Table) -> Iterator[Difference]:
    table = models.name
    there = {index.name: index for index in live.indexes}
    unmatched = []
    for index in models.indexes:
        found = there.pop(index.name, None)
        if found is None:
            unmatched.append(index)
        elif found != index:
            sentence = (
                f"index {index.name} on {table}: is {_described(found)}, models say {_described(index)}"
            )
            yield Difference(Kind.INDEX_DIFFERENT, table, index.name, sentence)
    # What is left may still do the same work under another name.
    for index in unmatched:
        twin = next((name for name, other in there.items() if _described(other) == _described(index)), None)
        if twin is not None:
            del there[twin]
        elif index.guarantees not in live.uniques:
            sentence = f"index {index.name} on {table} is missing: {_described(index)}"
            yield Difference(Kind.INDEX_MISSING, table, index.name, sentence)
    for index in there.values():
        if index.guarantees not in models.uniques:
            sentence = (
                f"index {index.name} on {table} is in the database, not in the models: {_described(index)}"
            )
            yield Difference(Kind.INDEX_EXTRA, table, index.name, sentence)


def _described(index: Index) -> str:
    columns = ", ".join(column or "an expression" for column in index.columns)
    unique = "unique" if index.unique else "not unique"
    return f"({columns}), {unique}{', partial' if index.partial else ''}"


def _foreign_keys(models: Table, live: Table) -> Iterator[Difference]:
    table = models.name
    there = {(key.pairs, key.target): key for key in live.foreign_keys}
    for key in sorted(models.foreign_keys, key=lambda key: key.columns):
        found = there.pop((key.pairs, key.target), None)
        subject = f"foreign key {table} ({key.columns}) to {key.target}"
        if found is None:
            yield Difference(Kind.FOREIGN_KEY_MISSING, table, key.columns, f"{subject} is missing")
        elif found != key:
            sentence = f"{subject}: is {_actions(found)}, models say {_actions(key)}"
            yield Difference(Kind.FOREIGN_KEY_DIFFERENT, table, key.columns, sentence)
    for key in there.values():
        sentence = (
            f"foreign key {table} ({key.columns}) to {key.target} is in the database, not in the models"
        )
        yield Difference(Kind.FOREIGN_KEY_EXTRA, table, key.columns, sentence)


def _actions(key: ForeignKey) -> str:
    return f"ON DELETE {key.on_delete} ON UPDATE {key.on_update}"


def _checks(models: Table, live: Table) -> Iterator[Difference]:
    """Compare by name; checks without one are counted, since the database may have named them itself."""
    table = models.name
    there = {check.name for check in live.checks if check.name}
    known = {check.name for check in models.checks if check.name}
    for check in models.checks:
        if check.name and check.name not in there and not check.optional:
            sentence = f"check constraint {check.name} on {table} is missing"
            yield Difference(Kind.CHECK_MISSING, table, check.name, sentence)
    spare = [check for check in live.checks if check.name not in known]
    nameless = [check for check in models.checks if not check.name]
    for check in _pair_off(spare, nameless, table):
        sentence = (
            f"check constraint {check.name or '(unnamed)'} on {table} is in the database, not in the models"
        )
        yield Difference(Kind.CHECK_EXTRA, table, check.name or "", sentence)
    wanting = sum(not check.optional for check in nameless) - len(spare)
    if wanting > 0:
        sentence = f"{wanting} unnamed check constraint{'s are' if wanting > 1 else ' is'} missing on {table}"
        yield Difference(Kind.CHECK_MISSING, table, "", sentence)


def _pair_off(spare: list[Check], nameless: list[Check], table: str) -> list[Check]:
    """Return the live checks that no nameless one of the models can account for."""
    automatic = re.compile(rf"{re.escape(table.rsplit('.', 1)[-1])}_(\w+_)?check\d*")
    generated = [check for check in spare if check.name is None or automatic.fullmatch(check.name)]
    named = [check for check in spare if check not in generated]
    return named + generated[len(nameless) :]


def _named(words: Iterable[str]) -> str:
    return ", ".join(words) or "nothing"


def _shown(spelled: str | None) -> str:
    return (spelled or "untyped").upper()
