"""Sessions that tests share, and sessions that are not the application's: named with their line and their users."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Annotated, Any

import httpx2
import pytest
import sqlmodel
from fastapi import BackgroundTasks, Depends, FastAPI
from sqlalchemy import Engine, ForeignKey, create_engine, select, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker
from starlette.testclient import TestClient

from dbparity.config import Config, Strictness
from dbparity.findings import Finding
from dbparity.sessions.clients import Clients
from dbparity.sessions.fidelity import Fidelity
from dbparity.testing.postgres import PrivateCluster
from dbparity.watch import RunningTest, Watch

NODEID = "test_a.py::test_it"


class Base(DeclarativeBase):
    pass


class Shelf(Base):
    __tablename__ = "shelf"
    id: Mapped[int] = mapped_column(primary_key=True)
    items: Mapped[list["Item"]] = relationship()


class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    shelf_id: Mapped[int | None] = mapped_column(ForeignKey("shelf.id"))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/fidelity.db")
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def watching() -> Iterator[Callable[..., Watch]]:
    started: list[Watch] = []

    def start(**configured: Any) -> Watch:
        watch = Watch([Fidelity(Config(**configured)), Clients()], {})
        watch.start()
        watch.begin_test(RunningTest(NODEID))
        started.append(watch)
        return watch

    yield start
    for watch in started:
        watch.end_test()
        watch.stop()


@pytest.fixture
def watch(watching: Callable[..., Watch]) -> Watch:
    return watching()


@pytest.fixture
def factory(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], str]:
    """An application's module with this sessionmaker; returns its name, as the configuration has it."""

    def install(made: Any) -> str:
        module = ModuleType("shop_of_the_tests")
        module.SessionLocal = made  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "shop_of_the_tests", module)
        return "shop_of_the_tests:SessionLocal"

    return install


def only(watch: Watch) -> Finding:
    [finding] = watch.findings
    return finding


def application(dependency: Callable[..., Any]) -> FastAPI:
    app = FastAPI()

    @app.get("/items")
    def items(session: Annotated[Session, Depends(dependency)]) -> int:
        return len(session.scalars(select(Item)).all())

    @app.post("/items")
    def add(session: Annotated[Session, Depends(dependency)]) -> None:
        session.add(Item())
        session.commit()

    @app.post("/later")
    def later(session: Annotated[Session, Depends(dependency)], tasks: BackgroundTasks) -> int:
        tasks.add_task(lambda: session.scalars(select(Item)).all())
        return len(session.scalars(select(Item)).all())

    return app


# ---- the test, and requests


def test_a_session_that_serves_the_test_and_the_application(watch: Watch, engine: Engine) -> None:
    session = Session(engine)
    client = TestClient(application(lambda: session))
    session.add(Item())
    session.flush()
    assert client.get("/items").json() == 1  # without a commit
    finding = only(watch)
    session.close()
    assert finding.strictness is Strictness.WARN
    assert finding.test == NODEID
    assert finding.message.startswith("session 1, made at ")
    assert f"serves both the test's own code ({NODEID} at " in finding.message
    assert finding.message.endswith("and the application (request 1 (GET /items))")
    assert "forgets to commit" in finding.evidence[0]
    assert "db_sessions" in finding.remedy


def test_it_is_found_whoever_comes_first_and_once(watch: Watch, engine: Engine) -> None:
    session = Session(engine)
    client = TestClient(application(lambda: session))
    client.post("/items")
    for _ in range(3):
        assert len(session.scalars(select(Item)).all()) == 1
    session.close()
    assert "serves both" in only(watch).message


def test_a_session_that_serves_several_requests(watch: Watch, engine: Engine) -> None:
    session = Session(engine)
    client = TestClient(application(lambda: session))
    for _ in range(3):
        client.get("/items")
    session.close()
    assert only(watch).message.endswith("serves request 1 (GET /items) and request 2 (GET /items)")


def test_sessions_of_their_own_are_sound(watch: Watch, engine: Engine) -> None:
    make = sessionmaker(engine)

    def dependency() -> Iterator[Session]:
        with make() as session:
            yield session

    client = TestClient(application(dependency))
    with make.begin() as session:
        session.add(Item())
    with client:
        assert [client.get("/items").json() for _ in range(3)] == [1, 1, 1]
        client.post("/items")
    with make() as session:
        assert len(session.scalars(select(Item)).all()) == 2
    assert watch.findings == []


def test_a_session_handed_to_a_task_after_the_response_is_sound(watch: Watch, engine: Engine) -> None:
    def dependency() -> Iterator[Session]:
        with Session(engine) as session:
            yield session

    client = TestClient(application(dependency))
    assert client.post("/later").json() == 0
    assert client.get("/items").json() == 0
    assert watch.findings == []


def test_a_session_that_only_the_fixture_makes_and_one_request_uses_is_sound(
    watch: Watch, engine: Engine
) -> None:
    with Session(engine) as session:
        assert TestClient(application(lambda: session)).get("/items").json() == 0
    assert watch.findings == []


# ---- tasks


async def gathered(session: AsyncSession, statements: int) -> None:
    async def work() -> None:
        for _ in range(statements):
            await session.execute(text("SELECT pg_sleep(0.01)"))

    await asyncio.gather(work(), work())


@pytest.mark.parametrize("statements", [1, 3])
def test_tasks_that_share_a_warm_async_session(
    watch: Watch, cluster: PrivateCluster, statements: int
) -> None:
    async def test() -> None:
        engine = create_async_engine(cluster.url())
        async with AsyncSession(engine) as session:
            await session.execute(text("SELECT 1"))  # warm: from here on nothing fails
            await gathered(session, statements)
        await engine.dispose()

    asyncio.run(test())
    finding = only(watch)
    assert finding.message.count("the task Task-") == 2
    assert finding.message.endswith("is at work on it")
    assert finding.message.count("test_fidelity.py:") >= 3


def test_tasks_that_take_turns_on_an_async_session(watch: Watch, tmp_path: Path) -> None:
    """Never in the middle of each other's statements: still two at once, whom only luck keeps apart."""

    async def work(session: AsyncSession, mine: asyncio.Event, theirs: asyncio.Event) -> None:
        for _ in range(3):
            await mine.wait()
            mine.clear()
            await session.execute(text("SELECT 1"))
            theirs.set()

    async def test() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/turns.db")
        first, second = asyncio.Event(), asyncio.Event()
        first.set()
        async with AsyncSession(engine) as session:
            await asyncio.gather(work(session, first, second), work(session, second, first))
        await engine.dispose()

    asyncio.run(test())
    assert "is at work on it" in only(watch).message


def test_tasks_one_after_another_are_sound(watch: Watch, tmp_path: Path) -> None:
    async def test() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/one.db")
        async with AsyncSession(engine) as session:
            for _ in range(4):
                await session.execute(text("SELECT 1"))
                await asyncio.create_task(_ask(session))
                await asyncio.wait_for(_ask(session), 10)
        await engine.dispose()

    asyncio.run(test())
    assert watch.findings == []


def test_tasks_with_sessions_of_their_own_are_sound(watch: Watch, tmp_path: Path) -> None:
    async def test() -> None:
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/own.db")

        async def work() -> None:
            async with AsyncSession(engine) as session:
                for _ in range(3):
                    await _ask(session)

        await asyncio.gather(work(), work(), work())
        await engine.dispose()

    asyncio.run(test())
    assert watch.findings == []


async def _ask(session: AsyncSession) -> None:
    await session.execute(text("SELECT 1"))


def test_an_async_application_with_a_session_a_request_is_sound(watch: Watch, tmp_path: Path) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path}/app.db")
    make = async_sessionmaker(engine)
    app = FastAPI()

    async def dependency() -> AsyncIterator[AsyncSession]:
        async with make() as session:
            yield session

    @app.get("/")
    async def answer(session: Annotated[AsyncSession, Depends(dependency)]) -> int:
        return int((await session.execute(text("SELECT 1"))).scalar_one())

    async def test() -> None:
        transport = httpx2.ASGITransport(app=app)
        async with (
            httpx2.AsyncClient(transport=transport, base_url="http://test") as client,
            make() as session,
        ):
            await _ask(session)
            answers = await asyncio.gather(*(client.get("/") for _ in range(3)))
            assert [each.json() for each in answers] == [1, 1, 1]
            await _ask(session)
        await engine.dispose()

    asyncio.run(test())
    assert watch.findings == []


def test_threads_that_use_a_session_at_once(watch: Watch, engine: Engine) -> None:
    session = Session(engine)
    begun, over = threading.Event(), threading.Event()

    def wait() -> int:
        begun.set()
        over.wait(10)
        return 1

    session.connection().connection.dbapi_connection.create_function("wait", 0, wait)  # type: ignore[union-attr]
    thread = threading.Thread(target=lambda: session.execute(text("SELECT wait()")), name="worker")
    thread.start()
    assert begun.wait(10)
    list(session.dirty)
    session.dispatch.before_flush(session, None, None)  # as a flush begins, which SQLite's lock would hold up
    over.set()
    thread.join(10)
    session.close()
    assert "is used by the thread MainThread" in only(watch).message
    assert "while another thread" in only(watch).message


def test_threads_one_after_another_are_sound(watch: Watch, engine: Engine) -> None:
    session = Session(engine)
    for _ in range(4):
        thread = threading.Thread(target=lambda: session.execute(text("SELECT 1")))
        thread.start()
        thread.join(10)
        session.execute(text("SELECT 1"))
    session.close()
    assert watch.findings == []


# ---- options


def test_a_session_with_other_options_than_the_application_makes(
    watching: Callable[..., Watch], engine: Engine, factory: Callable[[Any], str]
) -> None:
    own = sessionmaker(engine, class_=sqlmodel.Session, expire_on_commit=False, autoflush=False)
    watch = watching(sessionmaker=factory(own))
    with Session(engine) as session:
        TestClient(application(lambda: session)).get("/items")
    finding = only(watch)
    assert "test_fidelity.py:" in finding.message
    assert finding.evidence == (
        "it is a sqlalchemy.orm.session.Session, the application's are sqlmodel.orm.session.Session",
        "expire_on_commit=True, the application's have expire_on_commit=False",
        "autoflush=True, the application's have autoflush=False",
    )


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_async_factory_is_understood(
    watching: Callable[..., Watch], engine: Engine, factory: Callable[[Any], str], *, wrapped: bool
) -> None:
    own = async_sessionmaker(expire_on_commit=False)
    made = SimpleNamespace(session_factory=own) if wrapped else own
    watch = watching(sessionmaker=factory(made))
    with Session(engine) as session:
        TestClient(application(lambda: session)).get("/items")
    assert only(watch).evidence == ("expire_on_commit=True, the application's have expire_on_commit=False",)


def test_a_session_of_the_applications_own_factory_is_sound(
    watching: Callable[..., Watch], engine: Engine, factory: Callable[[Any], str]
) -> None:
    own = sessionmaker(engine, class_=sqlmodel.Session, expire_on_commit=False)
    watch = watching(sessionmaker=factory(own))
    with own() as session:
        TestClient(application(lambda: session)).get("/items")
    assert watch.findings == []


def test_what_the_application_itself_makes_otherwise_is_its_own_business(
    watching: Callable[..., Watch], engine: Engine, factory: Callable[[Any], str], tmp_path: Path
) -> None:
    watch = watching(sessionmaker=factory(sessionmaker(engine, expire_on_commit=False)))
    code = compile("def dependency(): return Session(engine)", str(tmp_path / "shop.py"), "exec")
    names: dict[str, Any] = {"Session": Session, "engine": engine}
    exec(code, names)  # noqa: S102 - a file that is none of the tests'
    assert TestClient(application(names["dependency"])).get("/items").json() == 0
    assert watch.findings == []


def test_a_session_in_the_tests_transaction_that_would_undo_it(watch: Watch, engine: Engine) -> None:
    with engine.connect() as connection:
        connection.begin()
        with Session(connection) as session:
            TestClient(application(lambda: session)).get("/items")
        with Session(connection, join_transaction_mode="create_savepoint") as sound:
            TestClient(application(lambda: sound)).get("/items")
    finding = only(watch)
    assert "join_transaction_mode='conditional_savepoint'" in finding.evidence[0]
    assert "create_savepoint" in finding.remedy
