from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from isolated import UNTOUCHED, Suite, asked, fill, isolated, rows
from sqlalchemy.orm import Session

from dbparity.testing.installed import find_binaries, version

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dbparity.testing.postgres import PrivateCluster


@pytest.fixture(autouse=True)
def own_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBPARITY_HOME", str(tmp_path / "home"))


@pytest.fixture
def postgres(emptied: sa.URL, tmp_path: Path) -> Iterator[Suite]:
    url = emptied.set(drivername="postgresql+psycopg")
    fill(url)
    with Suite(url, tmp_path).running() as suite:
        yield suite


def test_seeds_that_a_cascade_took_are_put_back(postgres: Suite) -> None:
    isolation = isolated(postgres)
    with postgres.test(isolation):
        postgres.application.do("DELETE FROM roles WHERE id = 1")
        assert rows(postgres) == {"roles": 1}
    assert rows(postgres) == UNTOUCHED
    isolation.close()


def test_seeds_are_left_alone_when_nobody_writes_to_their_table(
    postgres: Suite,
) -> None:
    isolation = isolated(postgres)
    with postgres.test(isolation):
        before = asked(postgres.url, "SELECT ctid::text FROM roles")
        postgres.application.do("INSERT INTO users (email) VALUES ('ada@example.org')", "SELECT * FROM roles")
    assert asked(postgres.url, "SELECT ctid::text FROM roles") == before
    isolation.close()


def test_sequences_go_on_where_nobody_asks(postgres: Suite) -> None:
    isolation = isolated(postgres)
    ids = []
    for _ in range(2):
        with postgres.test(isolation):
            postgres.application.do("INSERT INTO users (email) VALUES ('ada@example.org')")
            ids += asked(postgres.url, "SELECT id FROM users")
    assert ids == [(1,), (2,)]
    isolation.close()


def test_a_transaction_left_open_is_named_and_does_not_hold_up_the_next_test(postgres: Suite) -> None:
    isolation = isolated(postgres)
    session = Session(postgres.application.engine)
    with postgres.test(isolation):
        session.execute(sa.text("INSERT INTO users (email) VALUES ('ada@example.org')"))
        session.commit()
        session.execute(sa.text("UPDATE users SET email = 'bob@example.org'"))
    (finding,) = postgres.found("blocked-cleaning")
    assert "the rows of tests/test_a.py::test_one could not be deleted" in finding.message
    assert "UPDATE users SET email" in finding.evidence[0]
    assert "it is session 1, made at" in finding.evidence[0]
    assert "test_delete_postgres.py" in finding.evidence[0]
    assert rows(postgres) == UNTOUCHED
    session.invalidate()
    with postgres.test(isolation, "tests/test_a.py::test_two"):
        postgres.application.do("INSERT INTO users (email) VALUES ('ada@example.org')")
    assert rows(postgres) == UNTOUCHED
    assert len(postgres.watch.findings) == 1
    isolation.close()


def test_a_lock_of_somebody_else_is_named_and_their_connection_left_to_them(postgres: Suite) -> None:
    isolation = isolated(postgres)
    with postgres.test(isolation):
        postgres.application.do("INSERT INTO users (email) VALUES ('ada@example.org')")
        guest = subprocess.Popen(
            [sys.executable, "-c", GUEST, postgres.url.render_as_string(hide_password=False)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert guest.stdout is not None
        assert guest.stdout.readline() == "locked\n"
    (finding,) = postgres.found("blocked-cleaning")
    assert '"guest"' in finding.evidence[0]
    guest.communicate("go on\n", timeout=10)
    assert guest.returncode == 0
    with postgres.test(isolation, "tests/test_a.py::test_two"):
        pass
    assert rows(postgres) == UNTOUCHED
    isolation.close()


GUEST = """
import sys
import sqlalchemy as sa
engine = sa.create_engine(sys.argv[1])
with engine.begin() as connection:
    connection.exec_driver_sql("SET application_name = 'guest'")
    connection.exec_driver_sql("LOCK TABLE users IN SHARE MODE")
    print("locked", flush=True)
    sys.stdin.readline()
engine.dispose()
"""


MERGE = "MERGE INTO users AS u USING roles AS r ON false WHEN NOT MATCHED THEN INSERT (email) VALUES (r.id)"
MERGE_SINCE = 15


def test_what_triggers_and_functions_write_is_emptied_without_a_word(postgres: Suite) -> None:
    postgres.application.do(
        "CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN INSERT INTO teams DEFAULT VALUES; RETURN NULL; END $$",
        "CREATE TRIGGER remembering AFTER INSERT OR DELETE ON users EXECUTE FUNCTION remember()",
        "CREATE FUNCTION sign_up() RETURNS void LANGUAGE sql AS $$ INSERT INTO teams (id) VALUES (77) $$",
        "CREATE VIEW people AS SELECT id, email FROM users",
    )
    isolation = isolated(postgres)
    for statement in (
        "INSERT INTO users (email) VALUES ('ada@example.org')",
        "SELECT sign_up()",
        "INSERT INTO people (email) VALUES ('ada@example.org')",
        "DO $$ BEGIN DELETE FROM grants; INSERT INTO teams (id) VALUES (78); END $$",
        "WITH gone AS (DELETE FROM grants RETURNING role_id) INSERT INTO teams (id) SELECT role_id FROM gone",
        "TRUNCATE roles CASCADE",
        *([MERGE] if int(version(find_binaries())) >= MERGE_SINCE else []),
    ):
        with postgres.test(isolation):
            postgres.application.do(statement.replace(":", r"\:"))
            assert rows(postgres) != UNTOUCHED, statement
        assert rows(postgres) == UNTOUCHED, statement
    assert postgres.watch.findings == []
    isolation.close()


def test_a_role_without_privileges_empties_what_it_owns(
    quick_cluster: PrivateCluster, tmp_path: Path
) -> None:
    quick_cluster.sql("CREATE ROLE owner_of_tests LOGIN PASSWORD 'for tests'")
    quick_cluster.sql("CREATE DATABASE owned OWNER owner_of_tests")
    url = sa.make_url(
        f"postgresql+psycopg://owner_of_tests:for tests@{quick_cluster.host}:{quick_cluster.port}/owned"
    )
    fill(url)
    with Suite(url, tmp_path).running() as suite:
        isolation = isolated(suite)
        with suite.test(isolation):
            suite.application.do(
                "INSERT INTO users (id) VALUES (1)",
                "INSERT INTO notes (user_id) VALUES (1)",
                "INSERT INTO teams (id) VALUES (1)",
                "INSERT INTO members (id, team_id) VALUES (1, 1)",
                "UPDATE teams SET lead_id = 1",
                "DELETE FROM roles",
            )
        assert rows(suite) == UNTOUCHED
        assert suite.watch.findings == []
        isolation.close()
    quick_cluster.drop_database("owned")


def test_partitions_quoted_names_generated_and_identity_columns_come_back_as_they_were(
    postgres: Suite,
) -> None:
    postgres.application.do(
        "CREATE TABLE events (at int, what text) PARTITION BY RANGE (at)",
        "CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (10)",
        'CREATE TABLE "Odd Name" (id int GENERATED ALWAYS AS IDENTITY, "a b" text[], twice int GENERATED ALWAYS '
        "AS (id * 2) STORED, doc jsonb, raw bytea, dbparity_row inet)",
        """INSERT INTO "Odd Name" ("a b", doc, raw) VALUES (ARRAY['x,y','"'], '{"a"\\: 1}', '\\x00ff')""",
        "INSERT INTO events VALUES (1, 'first')",
    )
    before = asked(postgres.url, 'SELECT t::text FROM "Odd Name" t')
    isolation = isolated(postgres)
    with postgres.test(isolation):
        postgres.application.do("INSERT INTO events_1 VALUES (2, 'second')", 'DELETE FROM "Odd Name"')
    assert asked(postgres.url, 'SELECT t::text FROM "Odd Name" t') == before
    assert asked(postgres.url, "SELECT * FROM events") == [(1, "first")]
    isolation.close()


def test_more_rows_than_are_remembered_are_left_and_that_is_said(
    postgres: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbparity.isolation.slate_postgres.SEEDS_MOST", 1)
    isolation = isolated(postgres)
    with postgres.test(isolation):
        postgres.application.do("INSERT INTO roles (id) VALUES (9)", "INSERT INTO grants VALUES (9, 'x')")
    (finding,) = postgres.found("seeds-lost")
    assert "has written to roles" in finding.message
    assert rows(postgres) == {"roles": 3, "grants": 1}
    isolation.close()


def test_a_connection_whose_server_process_was_ended_is_replaced(postgres: Suite) -> None:
    isolation = isolated(postgres)
    with postgres.test(isolation):
        postgres.application.do("INSERT INTO users (id) VALUES (1)")
        ours = "application_name LIKE 'dbparity empties%' AND datname = current_database()"
        asked(postgres.url, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}")
    assert rows(postgres) == UNTOUCHED
    isolation.close()
