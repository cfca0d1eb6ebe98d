"""Assertions on committed rows: what they see, what they do not see, and what they say."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from committed_lab import Admin, Base, Lab, Token, User, psycopg, visits
from sqlalchemy import Column as SqlColumn
from sqlalchemy import Engine, MetaData, Table, create_engine, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.types import Integer
from sqlmodel import Field, SQLModel

from dbparity.committed import BusyTableError, Committed, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dbparity.testing.postgres import PrivateCluster


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(f"sqlite:///{tmp_path}/app.db", tmp_path, Base.metadata)
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def database(cluster: PrivateCluster) -> Iterator[str]:
    with cluster.database() as url:
        engine = create_engine(psycopg(url))
        Base.metadata.create_all(engine)
        engine.dispose()
        yield url


@pytest.fixture
def on_postgres(database: str, tmp_path: Path) -> Iterator[Lab]:
    """The application uses psycopg, and the answers come through asyncpg."""
    lab = Lab(psycopg(database), tmp_path, Base.metadata, observed=database)
    yield lab
    lab.execute("TRUNCATE users, tokens, visits")
    lab.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest) -> Lab:
    found: Lab = request.getfixturevalue("lab" if request.param == "sqlite" else "on_postgres")
    return found


def said(caught: pytest.ExceptionInfo[AssertionError]) -> str:
    return str(caught.value)


def test_counts_by_class_and_by_table(either: Lab) -> None:
    either.add(User(id=1, email="a@example.org"), Admin(id=2, email="b@example.org"))
    committed = either.committed
    committed.assert_state(User=2, Admin=1, Token=0, visits=0)
    committed.assert_state({User: 2, "users": 2, visits: 0}, tokens=0)
    assert committed.count(Admin) == 1
    assert committed.count(User, email="a@example.org") == 1
    with pytest.raises(AssertionError) as caught:
        committed.assert_state(User=1, Token=0, Admin=2)
    lines = said(caught).splitlines()
    assert lines[0] == "User: expected 1 row, and 2 are committed."
    assert "email='a@example.org'" in lines[1]
    assert lines[3] == "Admin: expected 2 rows, and 1 is committed."
    assert lines[-1].startswith("(read through an independent connection to ")


def test_rows_are_plain_values(either: Lab) -> None:
    key, born = uuid.uuid4(), datetime(2001, 2, 3, tzinfo=UTC).replace(tzinfo=None)
    either.add(User(id=1, email="a@example.org", named="Ann", born=born, settings={"a": [1]}, key=key))
    either.add(User(id=2, email="b@example.org", picture=b"\x00\xff"))
    (row,) = either.committed.rows(User, email="a@example.org")
    assert (row.named, row["display_name"], row["named"], row.born) == ("Ann", "Ann", "Ann", born)
    assert (row.key, row.settings, row.picture) == (key, {"a": [1]}, None)
    assert either.committed.one(User, settings={"a": [1]}).id == 1
    assert either.committed.one("users", display_name=None).picture == b"\x00\xff"
    with pytest.raises(AttributeError, match="cannot be changed"):
        row.email = "other"
    with pytest.raises(AttributeError, match="no column 'mail'"):
        _ = row.mail
    assert "argon2id" not in repr(row)
    assert dict(row)["email"] == "a@example.org"


def test_one_row_means_one(lab: Lab) -> None:
    lab.add(User(id=1, email="a@example.org"), User(id=2, email="a@example.org"))
    with pytest.raises(AssertionError, match=r"with email='b@example\.org', and 0 are committed"):
        lab.committed.one(User, email="b@example.org")
    with pytest.raises(AssertionError, match="and 2 are committed"):
        lab.committed.one(User, email="a@example.org")
    with pytest.raises(AssertionError) as caught:
        lab.committed.one(User, password_hash="secret-of-somebody")
    assert "secret-of-somebody" not in said(caught)


def test_names_that_nothing_has_are_named_with_their_nearest(lab: Lab) -> None:
    with pytest.raises(UnknownNameError, match="'Usr'; there is 'User'"):
        lab.committed.assert_state(Usr=1)
    with pytest.raises(UnknownNameError, match="there is 'visits'"):
        lab.committed.count("visit")
    with pytest.raises(UnknownNameError, match="User has no column 'mail'; there is 'email'"):
        lab.committed.rows(User, mail="a")
    with pytest.raises(UnknownNameError, match="neither a mapped class nor a table"):
        lab.committed.rows(Lab)


def test_a_forgotten_commit_is_caught_and_its_line_named(either: Lab) -> None:
    with Session(either.engine) as session:
        session.add(User(id=1, email="a@example.org"))
        session.flush()
        assert session.get(User, 1) is not None  # a session shared with the test would have hidden it
        with pytest.raises(AssertionError) as caught:
            either.committed.assert_state(User=1)
    lines = said(caught).splitlines()
    assert lines[0] == "User: expected 1 row, and 0 are committed."
    assert lines[1].startswith("    1 row was written at ")
    assert "test_committed.py:" in lines[1]
    assert lines[1].endswith("still in its open transaction: the commit is missing.")


def test_what_was_rolled_back_or_never_flushed_is_told(lab: Lab) -> None:
    with Session(lab.engine) as session:
        session.add(User(id=1, email="a@example.org"))
        session.flush()
    with pytest.raises(AssertionError, match=r"1 row was written at .* by session \d+.* rolled back again"):
        lab.committed.one(User, email="a@example.org")
    with Session(lab.engine) as session:
        session.add(Token(user_id=1, purpose="reset"))
        with pytest.raises(
            AssertionError, match=r"1 row was added to session \d+, made at .* and never flushed"
        ):
            lab.committed.assert_state(Token=1)


def test_exact_deltas(either: Lab) -> None:
    either.add(User(id=1, email="a@example.org"))
    with either.committed.expect(users=+1, tokens=+1):
        either.add(User(id=2, email="b@example.org"))
        either.add(Token(user_id=2, purpose="reset"))
    with either.committed.expect({Token: -1, visits: 2}):
        either.execute("DELETE FROM tokens")
        either.execute("INSERT INTO visits VALUES ('/', 1), ('/', 1)")
    with either.committed.expect():
        either.execute("UPDATE users SET email = email")


def test_a_wrong_count_shows_the_rows(either: Lab) -> None:
    with pytest.raises(AssertionError) as caught, either.committed.expect(users=+1):
        either.add(User(id=1, email="a@example.org"), User(id=2, email="b@example.org"))
    lines = said(caught).splitlines()
    assert lines[0] == "users: expected +1, and +2 committed (0 before, 2 now)."
    assert lines[1].startswith("    + id=1  email='a@example.org'  password_hash=***")


def test_other_tables_must_not_change(either: Lab) -> None:
    either.add(User(id=1, email="a@example.org"))
    with pytest.raises(AssertionError) as caught, either.committed.expect(users=+1):
        either.add(User(id=2, email="b@example.org"), Token(user_id=1, purpose="reset"))
    assert said(caught).splitlines()[:2] == [
        "tokens: expected no change (0 before, 1 now).",
        "    + user_id=1  purpose='reset'  uses=0",
    ]
    with either.committed.expect(users=+1, allow=("tokens",)):
        either.add(User(id=3, email="c@example.org"), Token(user_id=2, purpose="reset"))


def test_an_update_is_seen_though_the_count_is_the_same(either: Lab) -> None:
    either.add(User(id=1, email="a@example.org", picture=b"old"))
    either.add(Token(user_id=1, purpose="reset"))
    with pytest.raises(AssertionError) as caught, either.committed.expect():
        either.change(
            update(User).values(email="b@example.org", password_hash="other", picture=b"newer"),
            update(Token).values(uses=1),
        )
    assert said(caught).splitlines()[:4] == [
        "users: expected no change (1 before, 1 now).",
        (
            "    ~ id=1  email: 'a@example.org' -> 'b@example.org'  password_hash: *** -> *** (changed)  "
            "picture: <3 bytes> -> <5 bytes>"
        ),
        "tokens: expected no change (1 before, 1 now).",
        "    ~ user_id=1  purpose='reset'  uses: 0 -> 1",
    ]


def test_a_number_does_not_allow_updates_of_other_rows(lab: Lab) -> None:
    lab.add(User(id=1, email="a@example.org"))

    def register() -> None:
        lab.add(User(id=2 + lab.committed.count(User), email="b@example.org"))
        lab.execute("UPDATE users SET email = email || 'x'")

    mixed = r"users: \+1 as expected, but other rows have changed as well"
    with pytest.raises(AssertionError, match=mixed), lab.committed.expect(users=+1):
        register()
    with lab.committed.expect(users=+1, allow=["users"]):
        register()
    fewer = r"users: expected \+2, and \+1 committed"
    with pytest.raises(AssertionError, match=fewer), lab.committed.expect(users=+2, allow=["users"]):
        register()


def test_rows_without_a_key_are_compared_as_they_are(either: Lab) -> None:
    either.execute("INSERT INTO visits VALUES ('/', 1), ('/', 1), ('/b', 2)")
    with pytest.raises(AssertionError) as caught, either.committed.expect():
        either.execute("UPDATE visits SET count = 3 WHERE path = '/b'")
    assert said(caught).splitlines()[1:3] == ["    + path='/b'  count=3", "    - path='/b'  count=2"]


def test_a_block_that_forgets_its_commit_has_changed_nothing(lab: Lab) -> None:
    session = Session(lab.engine)

    def register() -> None:
        session.add(User(id=1, email="a@example.org"))
        session.flush()

    with pytest.raises(AssertionError) as caught, lab.committed.expect(users=+1):
        register()
    session.close()
    lines = said(caught).splitlines()
    assert lines[0] == "users: expected +1, and none committed (0 before, 0 now)."
    assert lines[1].startswith("    1 row was written at ")


def test_an_error_in_the_block_comes_first(lab: Lab) -> None:
    with pytest.raises(ZeroDivisionError), lab.committed.expect(users=+1):
        _ = 1 / 0


def test_large_tables_are_compared_by_digest(either: Lab) -> None:
    either.execute(
        "INSERT INTO visits WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) "
        "SELECT '/', i FROM n"
    )
    with either.committed.expect(visits=+1):
        either.execute("INSERT INTO visits VALUES ('/b', 0)")
    many = "1501 rows are too many to be compared one by one"
    with pytest.raises(AssertionError, match=many), either.committed.expect():
        either.execute("UPDATE visits SET count = 1 WHERE count = 700")
    either.committed.assert_state(visits=1501)


def test_a_failure_fits_a_screen(lab: Lab) -> None:
    with pytest.raises(AssertionError) as caught, lab.committed.expect():
        lab.add(*(User(id=number, email="a" * 500) for number in range(1, 100)))
    lines = said(caught).splitlines()
    assert len(lines) < 42
    assert max(map(len, lines)) < 200
    assert "+ ... and 93 more" in lines[-2]


def test_schemas_of_postgresql_are_tables_of_their_own(cluster: PrivateCluster, tmp_path: Path) -> None:
    metadata = MetaData()
    for schema in (None, "audit", "billing"):
        Table("events", metadata, SqlColumn("id", Integer, primary_key=True), schema=schema)
    Table("Odd Name", metadata, SqlColumn("id", Integer, primary_key=True), schema="audit")
    with cluster.database() as url:
        cluster.sql("CREATE SCHEMA audit; CREATE SCHEMA billing", make_url(url).database or "")
        lab = Lab(psycopg(url), tmp_path, metadata)
        try:
            with lab.committed.expect({"audit.events": 1, "Odd Name": 1}):
                lab.execute('INSERT INTO audit.events VALUES (1); INSERT INTO audit."Odd Name" VALUES (1)')
            lab.committed.assert_state({"audit.events": 1, "events": 0})
            with pytest.raises(AssertionError, match=r"billing\.events: expected"), lab.committed.expect():
                lab.execute("INSERT INTO billing.events VALUES (1)")
        finally:
            lab.close()


def test_a_locked_table_is_no_endless_wait(on_postgres: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dbparity.committed.rows.LOCK_TIMEOUT", "100ms")
    with on_postgres.engine.begin() as connection:
        connection.execute(text("LOCK TABLE users"))
        with pytest.raises(BusyTableError, match="still open holds it locked"):
            on_postgres.committed.assert_state(User=0)


def test_async_tests_use_the_same_methods(on_postgres: Lab, database: str) -> None:
    async def register(url: str, committed: Committed) -> None:
        engine = create_async_engine(url)
        async with AsyncSession(engine) as session:
            with committed.expect(users=+1):
                session.add(User(id=1, email="a@example.org"))
                await session.commit()
            assert committed.one(User).email == "a@example.org"
            session.add(User(id=2, email="b@example.org"))
            await session.flush()
            with pytest.raises(AssertionError, match="still in its open transaction"):
                committed.assert_state(User=2)
            await session.rollback()
        await engine.dispose()

    asyncio.run(register(database, on_postgres.committed))


def test_models_of_sqlmodel(tmp_path: Path) -> None:
    class CommittedHero(SQLModel, table=True):
        id: int | None = Field(default=None, primary_key=True)
        name: str

    table = SQLModel.metadata.tables["committedhero"]
    metadata = MetaData()
    try:
        lab = Lab(f"sqlite:///{tmp_path}/app.db", tmp_path, SQLModel.metadata)
        lab.add(CommittedHero(name="Deadpond"))
        lab.committed.assert_state(CommittedHero=1, committedhero=1)
        assert lab.committed.one(CommittedHero).name == "Deadpond"
        lab.close()
    finally:
        SQLModel.metadata.remove(table)
    assert not metadata.tables


def test_a_password_of_the_url_is_never_shown(on_postgres: Lab) -> None:
    assert make_url(on_postgres.database.url).password is not None
    assert str(on_postgres.database.url.password) not in on_postgres.committed.source
    assert isinstance(on_postgres.engine, Engine)
