from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from isolated import GRANTS, SEEDS, UNTOUCHED, USERS, Suite, asked, fill, isolated, rows
from sqlalchemy.orm import Session

from dbparity.config import Strictness
from dbparity.isolation.delete import InMemoryError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dbparity.isolation.delete import DeleteIsolation

WRITER = """
import sys
import sqlalchemy as sa
engine = sa.create_engine(sys.argv[1])
with engine.begin() as connection:
    for statement in sys.argv[2:]:
        connection.exec_driver_sql(statement)
engine.dispose()
"""


@pytest.fixture(autouse=True)
def own_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBPARITY_HOME", str(tmp_path / "home"))


@pytest.fixture(params=["sqlite", "sqlite+aiosqlite", "psycopg", "asyncpg"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> sa.URL:
    if request.param.startswith("sqlite"):
        return sa.make_url(f"{request.param}:///{tmp_path}/app.db")
    made: sa.URL = request.getfixturevalue("emptied")
    return made.set(drivername=f"postgresql+{request.param}")


@pytest.fixture
def suite(url: sa.URL, tmp_path: Path) -> Iterator[Suite]:
    fill(url)
    with Suite(url, tmp_path).running() as suite:
        yield suite


@pytest.fixture
def isolation(suite: Suite) -> Iterator[DeleteIsolation]:
    made = isolated(suite)
    yield made
    made.close()


def test_what_a_test_commits_is_real_and_gone_afterwards(suite: Suite, isolation: DeleteIsolation) -> None:
    with suite.test(isolation):
        suite.application.do(
            "INSERT INTO users (id, email) VALUES (1, 'ada@example.org')",
            "INSERT INTO notes (id, user_id) VALUES (1, 1)",
        )
        assert rows(suite) == UNTOUCHED | {"users": 1, "notes": 1}
    assert rows(suite) == UNTOUCHED
    assert suite.watch.findings == []


def test_tables_that_refer_to_each_other_in_a_circle_are_emptied(
    suite: Suite, isolation: DeleteIsolation
) -> None:
    with suite.test(isolation):
        suite.application.do(
            "INSERT INTO teams (id) VALUES (1)",
            "INSERT INTO members (id, team_id) VALUES (1, 1)",
            "UPDATE teams SET lead_id = 1",
        )
    assert rows(suite) == UNTOUCHED


def test_rows_that_were_there_are_put_back_when_their_table_is_written_to(
    suite: Suite, isolation: DeleteIsolation
) -> None:
    with suite.test(isolation):
        suite.application.do("DELETE FROM grants", "DELETE FROM roles", "INSERT INTO roles (id) VALUES (7)")
    assert asked(suite.url, "SELECT * FROM roles ORDER BY id") == SEEDS["roles"]
    assert asked(suite.url, "SELECT * FROM grants") == SEEDS["grants"]
    assert isolation.seeded == UNTOUCHED


def test_statements_of_the_orm_and_in_bulk_are_seen(suite: Suite, isolation: DeleteIsolation) -> None:
    def work(connection: sa.Connection) -> None:
        with Session(connection) as session:
            session.execute(sa.insert(USERS), [{"email": f"{n}@example.org"} for n in range(50)])
            session.execute(sa.delete(GRANTS))
            session.commit()

    with suite.test(isolation):
        suite.application.work(work)
        assert rows(suite) == {"roles": 2, "users": 50}
    assert rows(suite) == UNTOUCHED
    assert suite.watch.findings == []


def test_what_was_rolled_back_and_what_comes_after_it_leave_nothing(
    suite: Suite, isolation: DeleteIsolation
) -> None:
    with suite.test(isolation):
        suite.application.do("INSERT INTO users (email) VALUES ('ada@example.org')")
        with pytest.raises(sa.exc.IntegrityError):
            suite.application.do("INSERT INTO users (email) VALUES ('ada@example.org')")
        suite.application.do("INSERT INTO users (email) VALUES ('bob@example.org')")
        assert rows(suite)["users"] == 2
    assert rows(suite) == UNTOUCHED


def test_many_tests_follow_each_other_on_the_application_s_own_connections(
    suite: Suite, isolation: DeleteIsolation
) -> None:
    for number in range(5):
        with suite.test(isolation, f"tests/test_a.py::test_{number}"):
            suite.application.do("INSERT INTO users (email) VALUES ('ada@example.org')")
            assert rows(suite)["users"] == 1
    assert suite.watch.findings == []
    assert suite.application.engine.pool.checkedin() == 1


def test_sequences_begin_anew_where_that_is_asked_for(suite: Suite, isolation: DeleteIsolation) -> None:
    ids = []
    for number in range(2):
        with suite.test(isolation, f"tests/test_a.py::test_{number}", reset_sequences=True):
            suite.application.do("INSERT INTO users (email) VALUES ('ada@example.org')")
            ids += asked(suite.url, "SELECT id FROM users")
    assert ids == [(1,), (1,)]


def test_rows_of_another_process_are_found_deleted_and_told(suite: Suite, isolation: DeleteIsolation) -> None:
    url = suite.url.set(
        drivername=suite.url.drivername.replace("+aiosqlite", "").replace("asyncpg", "psycopg")
    )
    with suite.test(isolation):
        written = "INSERT INTO users (email) VALUES ('unseen@example.org')"
        command = [sys.executable, "-c", WRITER, url.render_as_string(hide_password=False), written]
        subprocess.run(command, check=True, timeout=60)
        suite.application.do("INSERT INTO teams (id) VALUES (1)", "SELECT * FROM users")
    assert rows(suite) == UNTOUCHED
    (finding,) = suite.found("unseen-write")
    assert "written to users during tests/test_a.py::test_one" in finding.message
    assert finding.strictness is Strictness.WARN


def test_seeds_that_another_process_changed_are_found_at_the_end(suite: Suite) -> None:
    url = suite.url.set(
        drivername=suite.url.drivername.replace("+aiosqlite", "").replace("asyncpg", "psycopg")
    )
    isolation = isolated(suite)
    with suite.test(isolation):
        command = [
            sys.executable,
            "-c",
            WRITER,
            url.render_as_string(hide_password=False),
            "DELETE FROM grants",
        ]
        subprocess.run(command, check=True, timeout=60)
    isolation.close()
    (finding,) = suite.found("unseen-write")
    assert "rows that grants had before" in finding.message
    assert rows(suite) == UNTOUCHED


def test_a_table_that_a_test_made_is_told(suite: Suite, isolation: DeleteIsolation) -> None:
    with suite.test(isolation):
        suite.application.do("CREATE TABLE more (id INTEGER PRIMARY KEY)", "INSERT INTO more VALUES (1)")
    (finding,) = suite.found("schema-changed")
    assert "tests/test_a.py::test_one has made more" in finding.message
    assert finding.strictness is Strictness.FAIL
    assert asked(suite.url, "SELECT * FROM more") == []


def test_a_transaction_left_open_on_a_file_is_named(tmp_path: Path) -> None:
    url = sa.make_url(f"sqlite:///{tmp_path}/app.db")
    fill(url)
    with Suite(url, tmp_path).running() as suite:
        isolation = isolated(suite)
        session = Session(suite.application.engine)
        with suite.test(isolation):
            session.execute(sa.text("INSERT INTO users (email) VALUES ('ada@example.org')"))
        (finding,) = suite.found("blocked-cleaning")
        assert "session 1, made at" in " ".join(finding.evidence)
        session.commit()
        session.close()
        with suite.test(isolation, "tests/test_a.py::test_two"):
            pass
        assert rows(suite) == UNTOUCHED
        isolation.close()


def test_triggers_of_a_file_do_not_run_when_it_is_emptied(tmp_path: Path) -> None:
    url = sa.make_url(f"sqlite:///{tmp_path}/app.db")
    fill(url)
    with Suite(url, tmp_path).running() as suite:
        suite.application.do(
            "CREATE TRIGGER remembering AFTER DELETE ON users BEGIN INSERT INTO teams (id) VALUES (old.id); END"
        )
        isolation = isolated(suite)
        for number in range(2):
            with suite.test(isolation, f"tests/test_a.py::test_{number}"):
                suite.application.do(
                    "INSERT INTO users (id) VALUES (5)",
                    "DELETE FROM users",
                    "INSERT INTO users (id) VALUES (6)",
                )
                assert rows(suite) == UNTOUCHED | {"teams": 1, "users": 1}
            assert rows(suite) == UNTOUCHED
        assert suite.watch.findings == []
        isolation.close()


def test_rows_that_a_killed_run_has_left_are_told_and_not_those_that_were_there_before(suite: Suite) -> None:
    killed = isolated(suite)
    with suite.test(killed):
        pass
    suite.application.do("INSERT INTO users (id) VALUES (1)")  # and it never came to its `close`
    after = isolated(suite)
    with suite.test(after, "tests/test_a.py::test_two"):
        pass
    (finding,) = suite.found("leftover-rows")
    assert finding.evidence == ("users: 1 rows, and 0 before that run",)
    after.close()
    suite.application.do("DELETE FROM users")
    killed.close()
    last = isolated(suite)
    with suite.test(last, "tests/test_a.py::test_three"):
        pass
    assert len(suite.found("leftover-rows")) == 1
    last.close()


def test_a_database_in_memory_is_refused(tmp_path: Path) -> None:
    with Suite("sqlite://", tmp_path).running() as suite, pytest.raises(InMemoryError, match="savepoint"):
        isolated(suite)
