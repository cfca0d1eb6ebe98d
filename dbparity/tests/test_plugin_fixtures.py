"""What tests ask for, under each isolation: sessions of the test's own beside an application with its own engines."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import pytest
from inner import OTHERS, project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbparity.testing.postgres import PrivateCluster

WITH_ASYNCIO = tuple(chain.from_iterable(("-p", f"no:{each}") for each in OTHERS if each != "asyncio"))
ISOLATIONS = ("savepoint", "delete", "clone")

ASYNC_SHOP = """
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.pool import NullPool

class Base(DeclarativeBase):
    pass

class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)

class OwnSession(AsyncSession):
    pass

engine = create_async_engine("{url}", poolclass=NullPool)
Sessions = async_sessionmaker(engine, class_=OwnSession, expire_on_commit=False)

async def register(name):
    async with Sessions.begin() as session:
        session.add(Customer(name=name))
"""
ASYNC_TESTS = """
import pytest
from shop import Customer, OwnSession, register
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

NUMBER = select(func.count()).select_from(Customer)

async def test_two_sessions_of_one_test(async_db_session, committed):
    assert isinstance(async_db_session, OwnSession)
    async_db_session.add(Customer(name="Ann"))
    await async_db_session.commit()
    with committed.expect(customers=+1):
        await register("Bob")
    assert await async_db_session.scalar(NUMBER) == 2
    committed.assert_state(customers=2)

async def test_the_application_is_refused_and_goes_on(async_db_session):
    await register("Ann")
    with pytest.raises(IntegrityError):
        await register("Ann")
    await register("Bob")
    assert await async_db_session.scalar(NUMBER) == 2

async def test_a_factory_as_the_application_has_it(db_sessions, committed):
    async with db_sessions() as first, db_sessions() as second:
        assert isinstance(first, OwnSession)
        first.add(Customer(name="Ann"))
        await first.commit()
        assert await second.scalar(NUMBER) == 1
    committed.assert_state(customers=1)

async def test_what_is_not_committed_is_not_there(async_db_session, committed):
    async_db_session.add(Customer(name="Ann"))
    await async_db_session.flush()
    await async_db_session.rollback()
    committed.assert_state(customers=0)

def test_a_sync_session_of_an_async_application(db_session, committed):
    assert isinstance(db_session, Session)
    db_session.add(Customer(name="Ann"))
    db_session.commit()
    assert committed.one(Customer)["name"] == "Ann"

def test_nothing_is_left(db_session):
    assert db_session.scalar(NUMBER) == 0
"""
SYNC_TESTS = """
import pytest
from shop import Customer, Sessions, register
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

NUMBER = select(func.count()).select_from(Customer)

def test_two_sessions_of_one_test(db_session, committed):
    db_session.add(Customer(name="Ann"))
    db_session.commit()
    with committed.expect(customers=+1):
        register("Bob")
    assert db_session.scalar(NUMBER) == 2

def test_a_factory_as_the_application_has_it(db_sessions, committed):
    with db_sessions() as first, db_sessions() as second:
        first.add(Customer(name="Ann"))
        first.commit()
        assert second.scalar(NUMBER) == 1
    committed.assert_state(customers=1)

def test_what_the_application_forgets_to_commit_is_not_there(committed):
    with committed.expect(), Sessions() as session:
        session.add(Customer(name="Ann"))
        session.flush()

def test_a_copy_of_the_database_for_others(dbparity_lend, dbparity_database_url, committed):
    from sqlalchemy import create_engine, inspect
    with dbparity_lend(dbparity_database_url) as url:
        assert url != dbparity_database_url
        other = create_engine(url)
        with other.begin() as connection:
            assert "customers" in inspect(connection).get_table_names()
            connection.execute(Customer.__table__.insert(), {"name": "Ann"})
        other.dispose()
    committed.assert_state(customers=0)

def test_nothing_is_left(db_session):
    assert db_session.scalar(NUMBER) == 0
"""
SEEDED = """
import pytest
from shop import Customer, Sessions, register
from sqlalchemy import delete, select

@pytest.fixture(scope="session", autouse=True)
def seeds():
    with Sessions.begin() as session:
        session.execute(delete(Customer))
    register("Seed")

def names():
    with Sessions() as session:
        return sorted(session.scalars(select(Customer.name)))

def test_one():
    assert names() == ["Seed"]
    register("Ann")

def test_two():
    assert names() == ["Seed"]
    with Sessions.begin() as session:
        session.execute(delete(Customer))

def test_three():
    assert names() == ["Seed"]
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, pytester: pytest.Pytester) -> Iterator[str]:
    """A database's URL with the placeholder {driver}."""
    if request.param == "sqlite":
        yield f"sqlite+DRIVER:///{pytester.path}/shop_test.db"
        return
    cluster: PrivateCluster = request.getfixturevalue("quick_cluster")
    with cluster.database() as url:
        yield url.replace("asyncpg", "DRIVER")


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    asyncio = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")
    return pytester.runpytest_inprocess(*WITH_ASYNCIO, *asyncio, *arguments)


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_an_async_application(pytester: pytest.Pytester, place: str, isolation: str) -> None:
    driver = "aiosqlite" if place.startswith("sqlite") else "asyncpg"
    config = '[tool.dbparity.detectors]\n"dirty-view" = "fail"\n'
    project(pytester.path, place.replace("DRIVER", driver), config, shop=ASYNC_SHOP, test_it=ASYNC_TESTS)
    configured(pytester, 'sessionmaker = "shop:Sessions"')
    result = run(pytester, f"--dbparity-isolation={isolation}")
    result.assert_outcomes(passed=6)
    assert " dbparity =" not in result.stdout.str()


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_sync_application(pytester: pytest.Pytester, place: str, isolation: str) -> None:
    driver = "pysqlite" if place.startswith("sqlite") else "psycopg"
    project(pytester.path, place.replace("DRIVER", driver), test_it=SYNC_TESTS)
    configured(pytester, 'sessionmaker = "shop:Sessions"')
    result = run(pytester, f"--dbparity-isolation={isolation}")
    result.assert_outcomes(passed=5)
    assert " dbparity =" not in result.stdout.str()


@pytest.mark.parametrize("isolation", ["savepoint", "delete"])
def test_what_a_session_scoped_fixture_has_put_there_is_there_for_every_test(
    pytester: pytest.Pytester, isolation: str
) -> None:
    project(pytester.path, f"sqlite:///{pytester.path}/shop_test.db", test_it=SEEDED)
    for _ in range(2):
        run(pytester, f"--dbparity-isolation={isolation}").assert_outcomes(passed=3)


def configured(pytester: pytest.Pytester, line: str) -> None:
    path = pytester.path / "pyproject.toml"
    path.write_text(path.read_text().replace("[tool.dbparity]", f"[tool.dbparity]\n{line}", 1))
