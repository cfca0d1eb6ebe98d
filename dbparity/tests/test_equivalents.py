"""What means the same is not reported: no false alarm on another spelling, on either database."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Column, Index, Integer, String, Table, UniqueConstraint
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from dbparity.schema import Kind, compare

if TYPE_CHECKING:
    from conftest import Live
    from sqlalchemy.sql.schema import SchemaItem
    from sqlalchemy.types import TypeEngine

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class AutoString(sa.types.TypeDecorator[str]):
    """The way SQLModel declares its strings."""

    impl = sa.String
    cache_ok = True


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


def everything() -> sa.MetaData:
    """Declare every kind of column and constraint that an application is likely to have."""
    metadata = sa.MetaData(naming_convention=NAMING)
    Table(
        "things",
        metadata,
        Column("id", sa.Uuid, primary_key=True),
        Column("number", sa.BigInteger().with_variant(Integer, "sqlite"), nullable=False, unique=True),
        Column("name", AutoString, nullable=False, index=True),
        Column("code", AutoString(length=16)),
        Column("note", sa.Text, server_default="none"),
        Column("fixed", sa.CHAR(3)),
        Column("active", sa.Boolean(create_constraint=True, name="active"), server_default=sa.true()),
        Column("at", sa.DateTime(timezone=True), server_default=sa.func.now()),
        Column("naive", sa.DateTime),
        Column("day", sa.Date),
        Column("hour", sa.Time),
        Column("span", sa.Interval),
        Column("data", sa.JSON),
        Column("blob", sa.LargeBinary),
        Column("price", sa.Numeric(10, 2)),
        Column("whole", sa.Numeric(10)),
        Column("any", sa.Numeric),
        Column("ratio", sa.Float),
        Column("precise", sa.Double),
        Column("rough", sa.Float(24)),
        Column("small", sa.SmallInteger, sa.CheckConstraint("small < 99", name="small_is_small")),
        Column("colour", sa.Enum(Colour, name="colour", create_constraint=True)),
        Column("shade", sa.Enum(Colour, name="shade", native_enum=False, create_constraint=True)),
        Column("plain", sa.Enum(Colour, name="plain", native_enum=False, length=20)),
        Column("twice", Integer, sa.Computed("small * 2", persisted=True)),
        Column("parent", sa.Uuid, sa.ForeignKey("things.id", ondelete="SET NULL")),
        sa.CheckConstraint("small > 0", name="small_is_positive"),
        Index("ix_things_open", "code", unique=True, postgresql_where=sa.text("at IS NULL"),
              sqlite_where=sa.text("at IS NULL")),
        Index("ix_things_latest", sa.text("at DESC")),
        Column("a_name_that_its_index_makes_longer_than_the_server_takes", Integer, index=True),
    )  # fmt: skip
    things = metadata.tables["things"]
    Index("ix_things_lower", sa.func.lower(things.c.name), things.c.day.desc())
    return metadata


def test_a_table_of_everything_matches_itself(live: Live) -> None:
    models = everything()
    live.run(models.create_all)
    report = live.run(lambda connection: compare(connection, models))

    assert [each.sentence for each in report.differences] == []


def test_the_orm_and_a_sequence_made_by_the_server_match(live: Live) -> None:
    class Base(DeclarativeBase):
        pass

    class User(Base):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)
        key: Mapped[uuid.UUID] = mapped_column(unique=True, index=True)
        born: Mapped[dt.datetime | None]
        colour: Mapped[Colour]

    live.run(Base.metadata.create_all)

    assert live.run(lambda connection: compare(connection, Base.metadata)).differences == ()


POSTGRESQL_SPELLINGS: list[tuple[str, TypeEngine[Any]]] = [
    ("character varying(16)", String(16)),
    ("varchar", AutoString()),
    ("timestamptz", sa.DateTime(timezone=True)),
    ("timestamp", sa.DateTime()),
    ("timestamptz(3)", postgresql.TIMESTAMP(timezone=True, precision=3)),
    ("timestamp(3)", postgresql.TIMESTAMP(precision=3)),
    ("int8", sa.BigInteger()),
    ("int4", Integer()),
    ("bool", sa.Boolean()),
    ("float8", sa.Float()),
    ("float8", sa.Float(53)),
    ("float4", sa.REAL()),
    ("decimal(8,2)", sa.Numeric(8, 2)),
    ("numeric(8)", sa.DECIMAL(8)),
    ("char", sa.CHAR(1)),
    ("bit(3)", postgresql.BIT(3)),
    ("jsonb", sa.JSON().with_variant(postgresql.JSONB, "postgresql")),
    ("text[]", sa.ARRAY(sa.Text)),
    ("varchar(5)[]", postgresql.ARRAY(String(5), dimensions=2)),
    ("timestamptz[]", sa.ARRAY(sa.DateTime(timezone=True))),
    ("inet", postgresql.INET()),
    ("tsvector", postgresql.TSVECTOR()),
    ("int4range", postgresql.INT4RANGE()),
    ('varchar(9) COLLATE "C"', String(9, collation="C")),
    ("bigserial", sa.BigInteger()),
]
SQLITE_SPELLINGS: list[tuple[str, TypeEngine[Any]]] = [
    ("varchar( 16 )", String(16)),
    ("CHAR(32)", sa.Uuid()),
    ("bool", sa.Boolean()),
    ("timestamp", sa.DateTime(timezone=True)),
    ("INT", Integer()),
    ("double precision", sa.Float()),
    ("DECIMAL(10,2)", sa.Numeric(10, 2)),
    ("text collate nocase", sa.Text()),
]


@pytest.mark.parametrize(("spelling", "declared"), POSTGRESQL_SPELLINGS)
def test_postgresql_spellings_of_one_type_are_one(
    postgres: Live, spelling: str, declared: TypeEngine[Any]
) -> None:
    _assert_same(postgres, spelling, declared)


@pytest.mark.parametrize(("spelling", "declared"), SQLITE_SPELLINGS)
@pytest.mark.parametrize("live", ["sqlite"], indirect=True)
def test_sqlite_spellings_of_one_type_are_one(live: Live, spelling: str, declared: TypeEngine[Any]) -> None:
    _assert_same(live, spelling, declared)


def _assert_same(live: Live, spelling: str, declared: TypeEngine[Any]) -> None:
    """The spelling must be taken for the type, and told from a date range, which none of them is."""
    live.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, c {spelling})")
    null = "serial" not in spelling

    def models(kind: TypeEngine[Any]) -> sa.MetaData:
        metadata = sa.MetaData()
        Table("t", metadata, Column("id", Integer, primary_key=True), Column("c", kind, nullable=null))
        return metadata

    assert live.run(lambda connection: compare(connection, models(declared))).differences == ()
    other = live.run(lambda connection: compare(connection, models(sa.Date())))
    assert [each.kind for each in other.differences] == [Kind.COLUMN_TYPE]


def test_a_unique_index_and_a_unique_constraint_serve_for_each_other(live: Live) -> None:
    def models(*items: SchemaItem) -> sa.MetaData:
        metadata = sa.MetaData()
        Table("t", metadata, Column("id", Integer, primary_key=True), Column("c", String), *items)
        return metadata

    by_index, by_constraint = models(Index("ix_c", "c", unique=True)), models(UniqueConstraint("c"))
    live.run(by_index.create_all)
    assert live.run(lambda connection: compare(connection, by_constraint)).differences == ()
    live.run(by_index.drop_all)
    live.run(by_constraint.create_all)
    assert live.run(lambda connection: compare(connection, by_index)).differences == ()


def test_an_index_under_another_name_does_the_same_work(live: Live) -> None:
    live.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, c INTEGER)", "CREATE INDEX older_name ON t (c)")
    metadata = sa.MetaData()
    Table("t", metadata, Column("id", Integer, primary_key=True), Column("c", Integer, index=True))

    assert live.run(lambda connection: compare(connection, metadata)).differences == ()


def test_types_and_tables_of_others_cause_no_warning(postgres: Live) -> None:
    postgres.execute(
        "CREATE TYPE pair AS (a int, b int)",
        "CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM (1) TO (9)",
        "CREATE TABLE foreign_to_sqlalchemy (p pair)",
        "CREATE TEMPORARY TABLE scratch (id int)",
        "CREATE VIEW v AS SELECT 1 AS one",
    )
    metadata = sa.MetaData()
    Table("t", metadata, Column("id", Integer, primary_key=True))
    report = postgres.run(lambda connection: compare(connection, metadata))

    assert [each.name for each in report.differences] == ["foreign_to_sqlalchemy"]


@pytest.mark.parametrize("live", ["sqlite"], indirect=True)
def test_checks_of_sqlite_are_read_from_sql_and_not_from_what_looks_like_it(live: Live) -> None:
    live.execute(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, \"check\" TEXT DEFAULT 'constraint x check (1)',"
        " -- constraint y check (\n"
        'n INTEGER CONSTRAINT "ck n" CHECK (n > 0), /* check ( */ CHECK (n < 9))'
    )
    metadata = sa.MetaData()
    columns = Column("id", Integer, primary_key=True), Column("check", sa.Text), Column("n", Integer)
    checks = sa.CheckConstraint("n > 0", name="ck n"), sa.CheckConstraint("n < 9")
    Table("t", metadata, *columns, *checks)

    assert live.run(lambda connection: compare(connection, metadata)).differences == ()


@pytest.mark.parametrize("live", ["sqlite"], indirect=True)
def test_a_foreign_key_of_sqlite_that_names_no_column_leads_to_the_primary_key(live: Live) -> None:
    live.execute(
        "CREATE TABLE a (x INTEGER PRIMARY KEY)", "CREATE TABLE b (id INTEGER PRIMARY KEY, a REFERENCES a)"
    )
    metadata = sa.MetaData()
    Table("a", metadata, Column("x", Integer, primary_key=True))
    Table("b", metadata, Column("id", Integer, primary_key=True), Column("a", sa.ForeignKey("a.x")))

    report = live.run(lambda connection: compare(connection, metadata))
    assert [each.sentence for each in report.differences] == [
        "column b.a: is UNTYPED, models say INTEGER",
    ]
