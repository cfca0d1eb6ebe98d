"""Engines of the application are led to where the test works, whatever pool, driver or loop they have."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
from contextlib import closing, contextmanager
from pathlib import Path
from sqlite3 import connect as sqlite_connect
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool, QueuePool, SingletonThreadPool, StaticPool

from dbparity.isolation.routing import OTHER_DATABASE, UNLED_ENGINE, RedirectTo, Router
from dbparity.observer import Observer, close_background_loop
from dbparity.targets import identity_of
from dbparity.watch import RunningTest, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbparity.testing.postgres import PrivateCluster


@pytest.fixture
def watch() -> Watch:
    watch = Watch([], {})
    watch.begin_test(RunningTest("test_it.py::test_one"))
    return watch


@pytest.fixture
def router(watch: Watch) -> Iterator[Router]:
    router = Router(watch)
    router.install()
    yield router
    router.uninstall()


@pytest.fixture(scope="module", autouse=True)
def _loop() -> Iterator[None]:
    yield
    close_background_loop()


def file_with(path: Path, name: str) -> str:
    with closing(sqlite_connect(path)) as connection, connection:
        connection.execute("CREATE TABLE here (name TEXT)")
        connection.execute("INSERT INTO here VALUES (?)", (name,))
    return f"sqlite:///{path}"


def here(connection: Connection) -> str:
    return str(connection.scalar(text("SELECT name FROM here")))


@pytest.mark.parametrize("poolclass", [NullPool, QueuePool, StaticPool, SingletonThreadPool])
def test_every_pool_follows_the_lead_and_comes_back(router: Router, tmp_path: Path, poolclass: type) -> None:
    base, other = (file_with(tmp_path / f"{name}.db", name) for name in ("base", "other"))
    engine = create_engine(base, poolclass=poolclass)
    seen = []
    for step in ("before", "led", "again", "after"):
        if step in {"led", "again"}:
            router.lead(identity_of(base), RedirectTo(other))
        elif step == "after":
            router.release()
        with engine.connect() as connection:
            seen.append(here(connection))
    engine.dispose()
    assert seen == ["base", "other", "other", "base"]


def test_each_lead_is_an_epoch_also_for_a_connection_that_was_lent_when_it_changed(
    router: Router, tmp_path: Path
) -> None:
    base, one, two = (file_with(tmp_path / f"{name}.db", name) for name in ("base", "one", "two"))
    engine = create_engine(base, pool_size=1, max_overflow=0, pool_pre_ping=True)
    router.lead(identity_of(base), RedirectTo(one))
    leaked = engine.connect()
    assert here(leaked) == "one"
    router.lead(identity_of(base), RedirectTo(two))
    leaked.close()
    with engine.connect() as connection:
        assert here(connection) == "two"
    engine.dispose()


def test_an_engine_that_was_pooled_before_the_router_came_is_led_too(watch: Watch, tmp_path: Path) -> None:
    base, other = (file_with(tmp_path / f"{name}.db", name) for name in ("base", "other"))
    engine = create_engine(base)
    with engine.connect() as connection:
        assert here(connection) == "base"
    router = Router(watch)
    router.install()
    try:
        router.lead(identity_of(base), RedirectTo(other))
        with engine.connect() as connection:
            assert here(connection) == "other"
    finally:
        router.uninstall()
    with engine.connect() as connection:
        assert here(connection) == "base"
    engine.dispose()
    assert watch.findings == []


def test_a_database_in_memory_is_led_to_a_file(router: Router, tmp_path: Path) -> None:
    other = file_with(tmp_path / "other.db", "other")
    router.lead(identity_of("sqlite://"), RedirectTo(other))
    for url in ("sqlite://", "sqlite:///:memory:", "sqlite:///file::memory:?cache=shared&uri=true"):
        engine = create_engine(url)
        with engine.connect() as connection:
            assert here(connection) == "other"
        engine.dispose()


def test_the_observer_is_left_alone(router: Router, watch: Watch, tmp_path: Path) -> None:
    base, other = (file_with(tmp_path / f"{name}.db", name) for name in ("base", "other"))
    router.lead(identity_of(base), RedirectTo(other))
    observer = Observer(base)
    assert observer.call(here) == "base"
    observer.close()
    assert watch.findings == []


def test_another_database_is_reported_once_with_the_line(
    router: Router, watch: Watch, tmp_path: Path
) -> None:
    base, dev, clone = (file_with(tmp_path / f"{name}.db", name) for name in ("base", "dev", "clone"))
    router.lead(identity_of(base), RedirectTo(clone))
    for url in (dev, dev, clone, base):
        engine = create_engine(url)
        with engine.connect() as connection:
            here(connection)
        engine.dispose()
    (finding,) = watch.findings
    assert finding.detector == OTHER_DATABASE
    assert "dev.db" in finding.message
    assert "test_routing.py:" in finding.message
    assert finding.test == "test_it.py::test_one"


def test_an_engine_with_a_creator_is_reported_once(router: Router, watch: Watch, tmp_path: Path) -> None:
    base, other = (file_with(tmp_path / f"{name}.db", name) for name in ("base", "other"))
    router.lead(identity_of(base), RedirectTo(other))
    for name in ("base.db", "base.db", "other.db"):
        engine = create_engine("sqlite://", creator=lambda name=name: sqlite_connect(tmp_path / name))
        for _ in range(2):
            with engine.connect() as connection:
                here(connection)
        engine.dispose()
    assert {finding.detector for finding in watch.findings} == {UNLED_ENGINE}
    assert len(watch.findings) == 3
    assert "test_routing.py:" in watch.findings[0].message


def test_a_checkout_listener_of_the_application_keeps_its_two_attempts(
    router: Router, tmp_path: Path
) -> None:
    base, other = (file_with(tmp_path / f"{name}.db", name) for name in ("base", "other"))
    engine = create_engine(base, pool_pre_ping=True)
    with engine.connect() as connection:
        assert here(connection) == "base"
    seen: list[object] = []
    event.listen(engine, "checkout", lambda *arguments: seen.append(arguments[0]))
    router.lead(identity_of(base), RedirectTo(other))
    with engine.connect() as connection:
        assert here(connection) == "other"
    engine.dispose()
    assert len(seen) == 1


@contextmanager
def silence(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Let nothing be logged, printed, warned or raised out of sight in this block."""
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(each.message) for each in caught] == []
    assert [record.getMessage() for record in caplog.records if record.levelname != "DEBUG"] == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg_async", "aiosqlite"])
@pytest.mark.parametrize("options", [{}, {"pool_pre_ping": True}, {"poolclass": StaticPool}])
def test_a_pooled_connection_of_a_closed_loop_goes_without_a_sound(
    cluster_url: Any,
    router: Router,
    driver: str,
    options: dict[str, Any],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    base, other = cluster_url(driver)
    engine = create_async_engine(base, **options)

    async def ask() -> str:
        async with engine.connect() as connection:
            return await connection.run_sync(here)

    async def close() -> None:
        await engine.dispose()

    with silence(capfd, caplog):
        seen = []
        for _ in range(2):
            router.lead(identity_of(base), RedirectTo(other))
            seen.append(asyncio.run(ask()))
        router.release()
        seen.append(asyncio.run(ask()))
        router.lead(identity_of(base), RedirectTo(other))
        router.release()
        asyncio.run(close())
    assert seen == ["other", "other", "base"]


@pytest.fixture
def cluster_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    made: list[str] = []

    def urls(driver: str) -> tuple[str, str]:
        if driver == "aiosqlite":
            return tuple(  # type: ignore[return-value]
                file_with(tmp_path / f"{name}.db", name).replace("sqlite:", "sqlite+aiosqlite:")
                for name in ("base", "other")
            )
        server: PrivateCluster = request.getfixturevalue("cluster")
        for name in ("base", "other"):
            server.create_database(f"routing_{name}")
            made.append(f"routing_{name}")
            server.sql(f"CREATE TABLE here AS SELECT '{name}'::text AS name", f"routing_{name}")
        return server.url(made[0], driver), server.url(made[1], driver)

    yield urls
    for name in made:
        request.getfixturevalue("cluster").drop_database(name)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg_async"])
def test_a_loop_that_still_runs_is_left_to_close_its_connection(
    cluster: PrivateCluster,
    cluster_url: Any,
    router: Router,
    driver: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    base, other = cluster_url(driver)

    async def work() -> list[str]:
        engine = create_async_engine(base)
        seen = []
        for _ in range(3):
            router.lead(identity_of(base), RedirectTo(other))
            async with engine.connect() as connection:
                seen.append(await connection.run_sync(here))
        await engine.dispose()
        return seen

    with silence(capfd, caplog):
        assert asyncio.run(work()) == ["other"] * 3
    count = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'routing_other'"
    deadline = time.monotonic() + 10
    while cluster.sql(count) != ["0"]:
        assert time.monotonic() < deadline, "a connection of an earlier lead stayed open"
