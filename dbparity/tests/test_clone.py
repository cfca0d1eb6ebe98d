from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from isolated import Application, Suite, asked, fill
from sqlalchemy.orm import Session

from dbparity.config import Strictness
from dbparity.findings import Finding
from dbparity.isolation.clone import CloneIsolation
from dbparity.provision.databases import Note
from dbparity.provision.kinds import databases_of
from dbparity.provision.postgres import UNTOUCHED_SINCE
from dbparity.provision.templates import Templates
from dbparity.testing.installed import find_binaries, version

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dbparity.isolation.clone import Scope
    from dbparity.testing.postgres import PrivateCluster

ADA = "INSERT INTO users (email) VALUES ('ada@example.org')"


class Cloning:
    """A suite whose tests have databases of their own; the configured one does not even exist."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.databases = databases_of(suite.url)
        self.templates = Templates(
            self.databases, fill, lambda: "one", root=suite.folder, run="feed0001", worker="main"
        )

    def isolation(self, scope: Scope = "test") -> CloneIsolation:
        suite = self.suite
        return CloneIsolation(suite.database, suite.router, suite.watch, self.templates, scope=scope)

    def stored(self) -> dict[str, Note | None]:
        ours = self.templates.checkout
        return {each.name: each.note for each in self.databases.stored() if f"_{ours}_feed" in each.name}

    def close(self) -> None:
        for name in self.stored():
            self.databases.drop(name)
        self.templates.close()
        self.databases.close()


@pytest.fixture(params=["sqlite", "sqlite+aiosqlite", "asyncpg"])
def cloning(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cloning]:
    monkeypatch.setenv("DBPARITY_HOME", str(tmp_path / "home"))
    if request.param.startswith("sqlite"):
        url = f"{request.param}:///{tmp_path}/app.db"
    else:
        url = request.getfixturevalue("quick_cluster").url("no_such_database", request.param)
    yield from lasting(url, tmp_path)


@pytest.fixture
def postgres(quick_cluster: PrivateCluster, tmp_path: Path) -> Iterator[Cloning]:
    yield from lasting(quick_cluster.url("no_such_database", "psycopg"), tmp_path)


def lasting(url: str, folder: Path) -> Iterator[Cloning]:
    with Suite(url, folder).running() as suite:
        cloning = Cloning(suite)
        yield cloning
        suite.application.close()
        suite.application = Application("sqlite://")  # closed with the suite
        cloning.close()


def emails(application: Application) -> Any:
    return application.work(lambda it: it.execute(sa.text("SELECT email FROM users")).scalars().all())


def test_each_test_has_a_database_of_its_own_whoever_connects(cloning: Cloning) -> None:
    isolation, suite = cloning.isolation(), cloning.suite
    other = Application(suite.url)
    for number in range(3):
        with suite.test(isolation, f"tests/test_a.py::test_{number}") as test:
            suite.application.do(ADA)
            assert emails(other) == ["ada@example.org"]
            assert asked(test.database.url, "SELECT id, email FROM users") == [(1, "ada@example.org")]
            assert test.database.url != suite.url
            assert len(cloning.stored()) == 1
    isolation.close()
    other.close()
    assert cloning.stored() == {}
    assert suite.watch.findings == []


def test_the_observer_of_the_running_test_looks_at_its_clone(cloning: Cloning) -> None:
    isolation, suite = cloning.isolation(), cloning.suite
    with suite.test(isolation) as test:
        suite.application.do(ADA)
        count = test.database.observer.call(lambda it: it.scalar(sa.text("SELECT count(*) FROM users")))
        assert count == 1
        assert test.database.identity == suite.database.identity
    isolation.close()


def test_an_engine_made_from_the_clone_s_own_url_works_too(cloning: Cloning) -> None:
    isolation, suite = cloning.isolation(), cloning.suite
    with suite.test(isolation) as test:
        own = Application(test.database.url)
        own.do(ADA)
        assert emails(suite.application) == ["ada@example.org"]
        own.close()
    isolation.close()
    assert cloning.stored() == {}


def test_the_clone_of_a_failed_test_is_kept_and_the_way_in_is_told(cloning: Cloning) -> None:
    isolation, suite = cloning.isolation(), cloning.suite
    with suite.test(isolation, "tests/test_a.py::test_fails") as test:
        suite.application.do(ADA)
        test.failed = True
    told = "\n".join(test.notes["clone"])
    ((name, note),) = cloning.stored().items()
    assert note is not None
    assert note.about == "tests/test_a.py::test_fails"
    assert name in told
    assert cloning.databases.way_in(name) in told
    assert asked(cloning.databases.url_of(name), "SELECT email FROM users") == [("ada@example.org",)]
    with suite.test(isolation, "tests/test_a.py::test_passes") as test:
        assert emails(suite.application) == []
    assert "clone" not in test.notes
    isolation.close()
    assert list(cloning.stored()) == [name]
    assert isolation.kept == [f"tests/test_a.py::test_fails: {cloning.databases.way_in(name)}"]


def test_a_finding_that_fails_the_test_keeps_its_clone_too(cloning: Cloning) -> None:
    isolation, suite = cloning.isolation(), cloning.suite
    with suite.test(isolation):
        suite.application.do(ADA)
        suite.watch.report(Finding("leak", "a session is left open", strictness=Strictness.FAIL))
    assert len(cloning.stored()) == 1
    isolation.close()


def test_no_more_clones_are_kept_than_a_disk_can_bear(
    cloning: Cloning, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbparity.isolation.clone.KEPT_MOST", 1)
    isolation, suite = cloning.isolation(), cloning.suite
    told = []
    for number in range(2):
        with suite.test(isolation, f"tests/test_a.py::test_{number}") as test:
            suite.application.do(ADA)
            test.failed = True
        told += test.notes["clone"]
    assert "is kept until the next run" in told[0]
    assert "is dropped" in told[-1]
    assert [note.about for note in cloning.stored().values() if note] == ["tests/test_a.py::test_0"]
    isolation.close()


def test_the_tests_of_a_module_share_a_clone_that_the_next_module_does_not_see(cloning: Cloning) -> None:
    isolation, suite = cloning.isolation("module"), cloning.suite
    with suite.test(isolation, "tests/test_a.py::test_one"):
        suite.application.do(ADA)
    with suite.test(isolation, "tests/test_a.py::TestIt::test_two[1]"):
        assert emails(suite.application) == ["ada@example.org"]
    with suite.test(isolation, "tests/test_b.py::test_one"):
        assert emails(suite.application) == []
        assert len(cloning.stored()) == 1
    isolation.close()
    assert cloning.stored() == {}


def test_a_module_s_clone_is_kept_when_one_of_its_tests_has_failed(cloning: Cloning) -> None:
    isolation, suite = cloning.isolation("module"), cloning.suite
    with suite.test(isolation, "tests/test_a.py::test_one") as test:
        suite.application.do(ADA)
        test.failed = True
    with suite.test(isolation, "tests/test_a.py::test_two"):
        pass
    isolation.close()
    assert [note.about for note in cloning.stored().values() if note] == ["tests/test_a.py::test_one"]


def test_a_session_that_is_still_open_does_not_keep_its_clone_alive(postgres: Cloning) -> None:
    isolation, suite = postgres.isolation(), postgres.suite
    session = Session(suite.application.engine)
    with suite.test(isolation):
        session.execute(sa.text(ADA))
    assert postgres.stored() == {}
    session.invalidate()
    with suite.test(isolation, "tests/test_a.py::test_two"):
        assert emails(suite.application) == []
    isolation.close()


def test_a_test_without_a_connection_costs_no_clone(postgres: Cloning) -> None:
    if (int(version(find_binaries())),) < UNTOUCHED_SINCE:
        pytest.skip("this server does not tell at once whether a database was used: it is made anew")
    isolation, suite = postgres.isolation(), postgres.suite
    seen = []
    for number in range(3):
        with suite.test(isolation, f"tests/test_a.py::test_{number}") as test:
            seen.append(test.database.url.database)
    assert len(set(seen)) == 1
    with suite.test(isolation, "tests/test_a.py::test_connects") as test:
        assert test.database.url.database == seen[0]
        suite.application.do(ADA)
    with suite.test(isolation, "tests/test_a.py::test_next") as test:
        assert test.database.url.database != seen[0]
    isolation.close()
    assert postgres.stored() == {}


def test_a_connection_from_elsewhere_makes_a_clone_used(
    postgres: Cloning, quick_cluster: PrivateCluster
) -> None:
    isolation, suite = postgres.isolation(), postgres.suite
    with suite.test(isolation) as test:
        first = str(test.database.url.database)
        quick_cluster.sql(ADA, first)
    with suite.test(isolation, "tests/test_a.py::test_two") as test:
        assert test.database.url.database != first
        assert emails(suite.application) == []
    isolation.close()


def test_the_way_in_leads_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBPARITY_HOME", str(tmp_path / "home"))
    for cloning in lasting(f"sqlite:///{tmp_path}/app.db", tmp_path):
        isolation, suite = cloning.isolation(), cloning.suite
        with suite.test(isolation) as test:
            suite.application.do(ADA)
            test.failed = True
        file = test.notes["clone"][1].split()[-1]
        assert asked(sa.make_url(f"sqlite:///{file}"), "SELECT email FROM users") == [("ada@example.org",)]
        isolation.close()
