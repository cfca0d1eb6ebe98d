"""A SELECT whose row the ORM throws away: told with object, values, writer and line; silent where all is well."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine, ForeignKey, Numeric, String, TypeDecorator, create_engine, select, update
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    joinedload,
    loading,
    mapped_column,
    relationship,
)
from sqlmodel import Field, SQLModel
from sqlmodel import Session as ModelSession
from sqlmodel import select as model_select

from dbparity.sessions.rows import Rows
from dbparity.sessions.stale import StaleReads
from dbparity.watch import RunningTest, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HERE = "test_stale_select.py"


class Base(DeclarativeBase):
    pass


class Owner(Base):
    __tablename__ = "owners"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    pets: Mapped[list[Pet]] = relationship(back_populates="owner")


class Pet(Base):
    __tablename__ = "pets"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    born: Mapped[datetime]
    weight: Mapped[Decimal] = mapped_column(Numeric(6, 2))
    password_hash: Mapped[str] = mapped_column(default="x")
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("owners.id"))
    owner: Mapped[Owner | None] = relationship(back_populates="pets")
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "pet"}  # noqa: RUF012


class Dog(Pet):
    __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012


class Salted(TypeDecorator[str]):
    """Keeps something else than it was given, and never the same."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: object) -> str:
        return f"{value}:{secrets.token_hex(4)}"


class Vault(Base):
    __tablename__ = "vaults"
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(Salted)


class Hero(SQLModel, table=True):
    __tablename__ = "stale_heroes"
    id: int | None = Field(default=None, primary_key=True)
    name: str


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/app.db")
    Base.metadata.create_all(engine)
    SQLModel.metadata.create_all(engine, [Hero.__table__])  # type: ignore[attr-defined]
    with Session(engine) as session:
        session.add(Owner(id=1, name="Ann"))
        session.add(pet(Pet, 1, "Rex"))
        session.add(pet(Dog, 2, "Bello"))
        session.add(Hero(id=1, name="Deadpond"))
        session.commit()
    yield engine
    engine.dispose()


@pytest.fixture
def watch(engine: Engine) -> Iterator[Watch]:
    watch = Watch([StaleReads()], {})
    watch.start()
    watch.begin_test(RunningTest("test_x.py::test_it"))
    yield watch
    watch.stop()


def pet(kind: type[Pet], number: int, name: str) -> Pet:
    born = datetime(2026, 1, 1, 12, 30, 0, 123456, tzinfo=UTC)
    return kind(id=number, name=name, born=born, weight=Decimal("1.234"), owner_id=1)


def rename(engine: Engine, number: int, name: str) -> None:
    with Session(engine) as session:
        session.execute(update(Pet).where(Pet.id == number).values(name=name))
        session.commit()


def test_a_row_that_differs_from_the_object_is_told_with_who_wrote_it(watch: Watch, engine: Engine) -> None:
    with Session(engine) as session:
        held = session.get_one(Pet, 1)
        with watch.request("PATCH /pets/1"):
            rename(engine, 1, "Max")
        found = session.scalars(select(Pet).where(Pet.name == "Max")).one()
        assert found is held
        assert found.name == "Rex"  # what the detector is there for
    (finding,) = watch.findings
    assert finding.detector == "stale-read"
    assert "in test_x.py::test_it, the SELECT at " in finding.message
    assert f"{HERE}:" in finding.message
    assert "read name='Max' for Pet 1, and the caller got name='Rex'" in finding.message
    held_by, writer = finding.evidence
    assert "held by session 1, made at " in held_by
    assert "UPDATE pets by session 2 in request 1 (PATCH /pets/1) at " in writer
    assert " in rename" in writer
    assert "refresh()" in finding.remedy


def test_what_no_statement_of_this_process_wrote_another_connection_did(watch: Watch, engine: Engine) -> None:
    outside = engine.raw_connection()  # as another process would: no event tells of it
    with Session(engine) as session:
        held = session.get_one(Pet, 1)
        session.commit()
        _ = held.name
        session.rollback()
        outside.execute("UPDATE pets SET name = 'Max'")
        outside.commit()
        with Session(engine, expire_on_commit=False) as other:
            mine = other.get_one(Pet, 1)
            outside.execute("UPDATE pets SET name = 'Tom'")
            outside.commit()
            other.commit()
            assert other.scalars(select(Pet).where(Pet.id == 1)).one() is mine
    outside.close()
    (finding,) = watch.findings
    assert "read name='Tom' for Pet 1, and the caller got name='Max'" in finding.message
    assert "nothing in this process changed pets during the test: another connection did" in finding.evidence


@pytest.mark.parametrize("way", ["populate_existing", "expire", "refresh", "new session", "commit"])
def test_whoever_refreshes_hears_nothing(watch: Watch, engine: Engine, way: str) -> None:
    with Session(engine) as session:
        held = session.get_one(Pet, 1)
        if way == "commit":
            session.commit()
        rename(engine, 1, "Max")
        statement = select(Pet).where(Pet.id == 1)
        if way == "populate_existing":
            statement = statement.execution_options(populate_existing=True)
        elif way == "expire":
            session.expire(held)
        elif way == "refresh":
            session.refresh(held)
        elif way == "new session":
            session.close()
            session.expunge_all()
        assert session.scalars(statement).one().name == "Max"
    assert watch.findings == []


def test_what_the_session_itself_has_changed_is_not_stale(watch: Watch, engine: Engine) -> None:
    with Session(engine, autoflush=False, expire_on_commit=False) as session:
        held = session.get_one(Pet, 1)
        held.name = "Mine"
        session.scalars(select(Pet)).all()  # not flushed: the row is the old one, the object is newer
        session.flush()
        session.scalars(select(Pet)).all()
        session.commit()
        session.scalars(select(Pet)).all()
    assert watch.findings == []


def test_what_the_database_spells_in_its_own_way_is_not_stale(watch: Watch, engine: Engine) -> None:
    with Session(engine, expire_on_commit=False) as session:
        session.add(pet(Pet, 3, "Kitty"))  # 1.234 is kept as 1.23, and the time without its zone
        session.commit()
        assert len(session.scalars(select(Pet).where(Pet.id == 3)).all()) == 1
    assert watch.findings == []


def test_a_value_that_is_salted_anew_each_time_cannot_be_compared(watch: Watch, engine: Engine) -> None:
    with Session(engine, expire_on_commit=False) as session:
        held = Vault(id=1, key="plain")
        session.add(held)
        session.commit()
        assert session.scalars(select(Vault)).one() is held
        assert held.key == "plain"
    assert watch.findings == []


def test_an_eagerly_joined_object_and_an_alias_are_compared_too(watch: Watch, engine: Engine) -> None:
    with Session(engine) as session:
        owner, held = session.get_one(Owner, 1), session.get_one(Pet, 2)
        assert isinstance(held, Dog)
        rename(engine, 2, "Max")
        with Session(engine) as other:
            other.get_one(Owner, 1).name = "Eve"
            other.commit()
        session.scalars(select(Owner).options(joinedload(Owner.pets))).unique().all()
        assert [finding.message.split(" read ")[1].split(",")[0] for finding in watch.findings] == [
            "name='Max' for Dog 2",
            "name='Eve' for Owner 1",
        ]
        rename(engine, 2, "Tim")
        other_name = aliased(Pet)
        session.scalars(select(other_name).where(other_name.id == 2)).all()
        assert owner.name == "Ann"
    assert len(watch.findings) == 2  # the same attribute of the same object is told once


def test_a_join_that_repeats_an_object_tells_it_once(watch: Watch, engine: Engine) -> None:
    with Session(engine) as session:
        owner = session.get_one(Owner, 1)
        with Session(engine) as other:
            other.get_one(Owner, 1).name = "Eve"
            other.commit()
        assert len(session.execute(select(Owner, Pet).join(Pet)).all()) == 2
        assert owner.name == "Ann"
    assert len(watch.findings) == 1


def test_secrets_are_masked(watch: Watch, engine: Engine) -> None:
    with Session(engine) as session:
        held = session.get_one(Pet, 1)
        with Session(engine) as other:
            other.get_one(Pet, 1).password_hash = "argon2-of-rosebud"
            other.commit()
        session.scalars(select(Pet)).all()
        assert held.password_hash == "x"
    (finding,) = watch.findings
    assert "password_hash=***" in finding.message
    assert "rosebud" not in finding.render()


def test_many_objects_of_one_select_do_not_flood(watch: Watch, engine: Engine) -> None:
    with Session(engine) as session:
        session.add_all([pet(Pet, number, "many") for number in range(10, 60)])
        session.commit()
        held = session.scalars(select(Pet)).all()
        with Session(engine) as other:
            other.execute(update(Pet).values(name="changed"))
            other.commit()
        assert len(session.scalars(select(Pet)).all()) == len(held)
    assert len(watch.findings) == 5


def test_sqlmodel_and_async_sessions_are_watched(watch: Watch, engine: Engine, tmp_path: Path) -> None:
    with ModelSession(engine) as session:
        held = session.get_one(Hero, 1)
        with ModelSession(engine) as other:
            other.get_one(Hero, 1).name = "Rusty"
            other.commit()
        assert session.exec(model_select(Hero)).one() is held
    assert "Hero 1" in watch.findings[-1].message

    async def read() -> None:
        asynchronous = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/app.db")
        async with AsyncSession(asynchronous) as session:
            mine = await session.get_one(Pet, 1)
            async with AsyncSession(asynchronous) as other:
                (await other.get_one(Pet, 1)).name = "Max"
                await other.commit()
            assert (await session.scalars(select(Pet).where(Pet.id == 1))).one() is mine
        await asynchronous.dispose()

    asyncio.run(read())
    (_, finding) = watch.findings
    assert "Pet 1" in finding.message
    assert " in read " in finding.message


def test_results_are_untouched(watch: Watch, engine: Engine) -> None:
    with Session(engine) as session:
        _ = session.get_one(Pet, 1)
        rename(engine, 1, "Max")
        result = session.execute(select(Pet, Pet.name).order_by(Pet.id).execution_options(yield_per=1))
        assert [(one.id, name) for one, name in result] == [(1, "Max"), (2, "Bello")]
    assert len(watch.findings) == 1


def test_nothing_is_wrapped_where_sqlalchemy_has_moved_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def moved(mapper: Any, query_entity: Any) -> None:
        """Another version's: other arguments."""

    monkeypatch.setattr(loading, "_instance_processor", moved)
    elsewhere = Rows()
    assert "is not what it was" in elsewhere.missing
    elsewhere.add(lambda _: None)
    assert vars(loading)["_instance_processor"] is moved


def test_whoever_fails_to_look_harms_nobody_and_looks_no_more(engine: Engine) -> None:
    fragile = Rows()
    assert fragile.missing == ""

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    def watch_badly(_: object) -> Any:
        return fail

    fragile.add(watch_badly)
    with Session(engine) as session:
        assert [each.id for each in session.scalars(select(Pet).order_by(Pet.id))] == [1, 2]
    assert fragile.missing == "looking at a row failed: ZeroDivisionError()"
    fragile.remove(watch_badly)
