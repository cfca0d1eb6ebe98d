"""Every kind of difference: the planted fault is named, its sound twin is ready."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy import Column, ForeignKey, Index, Integer, String, UniqueConstraint

from dbparity.schema import Kind, Report, Verdict, compare

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Live
    from sqlalchemy.sql.schema import SchemaItem

    Items = Callable[[], tuple[SchemaItem, ...]]


@dataclass
class Fault:
    """What stands in the table users of the models, what in that of the database, and what must be said."""

    models: Items
    database: Items
    kind: Kind
    sentence: str


def role(
    length: int = 16, *, nullable: bool = True, unique: bool = False, default: str | None = None
) -> Column[str]:
    return Column("role", String(length), nullable=nullable, unique=unique, server_default=default)


FAULTS = {
    "missing column": Fault(
        lambda: (role(),), lambda: (), Kind.COLUMN_MISSING, "column users.role is missing"
    ),
    "extra column that must be filled": Fault(
        lambda: (),
        lambda: (role(nullable=False),),
        Kind.COLUMN_EXTRA,
        "column users.role is in the database, not in the models",
    ),
    "extra column that may be empty": Fault(
        lambda: (),
        lambda: (role(),),
        Kind.COLUMN_EXTRA_OPTIONAL,
        "column users.role is in the database, not in the models",
    ),
    "extra column that the database fills": Fault(
        lambda: (),
        lambda: (role(nullable=False, default="user"),),
        Kind.COLUMN_EXTRA_OPTIONAL,
        "column users.role is in the database, not in the models",
    ),
    "shorter column": Fault(
        lambda: (role(16),),
        lambda: (role(8),),
        Kind.COLUMN_TYPE,
        "column users.role: is VARCHAR(8), models say VARCHAR(16)",
    ),
    "another type": Fault(
        lambda: (Column("age", sa.BigInteger()),),
        lambda: (Column("age", sa.Text()),),
        Kind.COLUMN_TYPE,
        "column users.age: is TEXT, models say BIGINT",
    ),
    "nullable in the database": Fault(
        lambda: (role(nullable=False),),
        lambda: (role(),),
        Kind.COLUMN_NULLABILITY,
        "column users.role: may be NULL, models say it is NOT NULL",
    ),
    "not nullable in the database": Fault(
        lambda: (role(),),
        lambda: (role(nullable=False),),
        Kind.COLUMN_NULLABILITY,
        "column users.role: is NOT NULL, models say it may be NULL",
    ),
    "longer primary key": Fault(
        lambda: (Column("tenant", Integer, nullable=False),),
        lambda: (Column("tenant", Integer, primary_key=True),),
        Kind.PRIMARY_KEY,
        "primary key of users: is id, tenant, models say id",
    ),
    "missing index": Fault(
        lambda: (role(), Index("ix_role", "role")),
        lambda: (role(),),
        Kind.INDEX_MISSING,
        "index ix_role on users is missing: (role), not unique",
    ),
    "extra index": Fault(
        lambda: (role(),),
        lambda: (role(), Index("ix_role", "role")),
        Kind.INDEX_EXTRA,
        "index ix_role on users is in the database, not in the models: (role), not unique",
    ),
    "index of other columns": Fault(
        lambda: (role(), Index("ix_role", "role", "id")),
        lambda: (role(), Index("ix_role", "id", "role")),
        Kind.INDEX_DIFFERENT,
        "index ix_role on users: is (id, role), not unique, models say (role, id), not unique",
    ),
    "index that is not unique": Fault(
        lambda: (role(), Index("ix_role", "role", unique=True)),
        lambda: (role(), Index("ix_role", "role")),
        Kind.INDEX_DIFFERENT,
        "index ix_role on users: is (role), not unique, models say (role), unique",
    ),
    "whole index for a partial one": Fault(
        lambda: (role(), partial_index()),
        lambda: (role(), Index("ix_open", "role", unique=True)),
        Kind.INDEX_DIFFERENT,
        "index ix_open on users: is (role), unique, models say (role), unique, partial",
    ),
    "index of a column for one of an expression": Fault(
        lambda: (role(), Index("ix_role", sa.text("lower(role)"))),
        lambda: (role(), Index("ix_role", "role")),
        Kind.INDEX_DIFFERENT,
        "index ix_role on users: is (role), not unique, models say (an expression), not unique",
    ),
    "missing unique constraint": Fault(
        lambda: (role(unique=True),),
        lambda: (role(),),
        Kind.UNIQUE_MISSING,
        "unique constraint on users (role) is missing",
    ),
    "unique constraint kept by a partial index only": Fault(
        lambda: (role(unique=True), partial_index()),
        lambda: (role(), partial_index()),
        Kind.UNIQUE_MISSING,
        "unique constraint on users (role) is missing",
    ),
    "extra unique constraint": Fault(
        lambda: (role(),),
        lambda: (role(unique=True),),
        Kind.UNIQUE_EXTRA,
        "unique constraint on users (role) is in the database, not in the models",
    ),
    "missing foreign key": Fault(
        lambda: (Column("boss", Integer, ForeignKey("users.id")),),
        lambda: (Column("boss", Integer),),
        Kind.FOREIGN_KEY_MISSING,
        "foreign key users (boss) to users is missing",
    ),
    "extra foreign key": Fault(
        lambda: (Column("boss", Integer),),
        lambda: (Column("boss", Integer, ForeignKey("users.id")),),
        Kind.FOREIGN_KEY_EXTRA,
        "foreign key users (boss) to users is in the database, not in the models",
    ),
    "foreign key that does not cascade": Fault(
        lambda: (Column("boss", Integer, ForeignKey("users.id", ondelete="CASCADE")),),
        lambda: (Column("boss", Integer, ForeignKey("users.id")),),
        Kind.FOREIGN_KEY_DIFFERENT,
        "foreign key users (boss) to users: is ON DELETE NO ACTION ON UPDATE NO ACTION,"
        " models say ON DELETE CASCADE ON UPDATE NO ACTION",
    ),
    "missing check": Fault(
        lambda: (sa.CheckConstraint("id > 0", name="ck_id"),),
        lambda: (),
        Kind.CHECK_MISSING,
        "check constraint ck_id on users is missing",
    ),
    "missing check without a name": Fault(
        lambda: (sa.CheckConstraint("id > 0"),),
        lambda: (),
        Kind.CHECK_MISSING,
        "1 unnamed check constraint is missing on users",
    ),
    "extra check": Fault(
        lambda: (),
        lambda: (sa.CheckConstraint("id > 0", name="ck_id"),),
        Kind.CHECK_EXTRA,
        "check constraint ck_id on users is in the database, not in the models",
    ),
}


def partial_index() -> Index:
    where = sa.text("role IS NULL")
    return Index("ix_open", "role", unique=True, postgresql_where=where, sqlite_where=where)


def schema(items: Items) -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table("users", metadata, Column("id", Integer, primary_key=True), *items())
    return metadata


def compared(live: Live, *, database: sa.MetaData, models: sa.MetaData) -> Report:
    live.run(database.create_all)
    return live.run(lambda connection: compare(connection, models))


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_named_in_plain_words_and_nothing_else_is_said(live: Live, fault: Fault) -> None:
    report = compared(live, database=schema(fault.database), models=schema(fault.models))

    assert [(each.kind, each.sentence) for each in report.differences] == [(fault.kind, fault.sentence)]
    assert report.verdict is Verdict.DRIFT
    assert not report.true


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_the_sound_twin_of_a_fault_is_ready(live: Live, fault: Fault) -> None:
    report = compared(live, database=schema(fault.models), models=schema(fault.models))

    assert report.differences == ()
    assert report.true


def test_an_extra_table_is_a_difference_unless_it_belongs_to_others(live: Live) -> None:
    live.execute("CREATE TABLE leftovers (id INTEGER PRIMARY KEY)")
    models = schema(lambda: ())
    report = compared(live, database=models, models=models)

    assert [(each.kind, each.table) for each in report.differences] == [(Kind.TABLE_EXTRA, "leftovers")]
    assert live.run(lambda connection: compare(connection, models, ignore_tables=["leftovers"])).true


@pytest.mark.parametrize(
    ("found", "stops"),
    [("extra column that must be filled", True), ("extra column that may be empty", False)],
)
def test_what_an_application_can_work_beside_is_no_obstacle(live: Live, found: str, *, stops: bool) -> None:
    fault = FAULTS[found]
    live.execute("CREATE TABLE of_somebody_else (id INTEGER PRIMARY KEY)")
    report = compared(live, database=schema(fault.database), models=schema(fault.models))

    assert len(report.differences) == 2
    assert [each.kind for each in report.obstacles] == ([fault.kind] if stops else [])


def test_every_kind_but_those_of_whole_tables_has_a_planted_fault() -> None:
    planted = {fault.kind for fault in FAULTS.values()}

    assert set(Kind) - planted == {Kind.TABLE_MISSING, Kind.TABLE_EXTRA}


def test_an_enum_of_postgresql_that_lacks_a_value_is_named(postgres: Live) -> None:
    def models(*labels: str) -> sa.MetaData:
        return schema(lambda: (Column("state", sa.Enum(*labels, name="state")),))

    report = compared(postgres, database=models("on", "off"), models=models("on", "off", "away"))

    assert [each.sentence for each in report.differences] == [
        "column users.state: its enum has on, off, models say on, off, away"
    ]
    assert postgres.run(lambda connection: compare(connection, models("on", "off"))).true


def test_a_check_of_the_database_own_naming_answers_for_one_nameless_check_only(postgres: Live) -> None:
    named_by_server = (sa.CheckConstraint("id > 0"), sa.CheckConstraint("id < 9"))
    report = compared(
        postgres,
        database=schema(lambda: named_by_server),
        models=schema(lambda: (sa.CheckConstraint("id > 0"),)),
    )

    assert [each.kind for each in report.differences] == [Kind.CHECK_EXTRA]


def test_a_composite_foreign_key_is_matched_by_its_pairs(live: Live) -> None:
    def models(first: str, second: str) -> sa.MetaData:
        metadata = schema(lambda: (Column("place", Integer), UniqueConstraint("id", "place")))
        columns = [Column("a", Integer), Column("b", Integer)]
        key = sa.ForeignKeyConstraint(["a", "b"], [f"users.{first}", f"users.{second}"])
        sa.Table("items", metadata, *columns, key)
        return metadata

    database = models("id", "place")

    assert compared(live, database=database, models=models("id", "place")).true
    crossed = live.run(lambda connection: compare(connection, models("place", "id")))
    assert [each.kind for each in crossed.differences] == [Kind.FOREIGN_KEY_MISSING, Kind.FOREIGN_KEY_EXTRA]
