"""Whatever several sessions do in whatever order: what stays is what they committed."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from isolated import USERS, Suite, fill
from sqlalchemy.exc import DBAPIError

from dbparity.isolation.savepoint import IsolationConflictError, SavepointIsolation
from dbparity.isolation.segments import Stack, Transaction
from dbparity.isolation.statements import Kind, Weight, read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dbparity.testing.postgres import PrivateCluster

SCENARIOS = 100
STEPS = 20


class Model:
    """A connection, and the rows that it must take for its own: a set of its levels."""

    def __init__(self, engine: sa.Engine) -> None:
        self.connection = engine.connect()
        self.levels: list[set[str]] = [set()]
        self.nested: list[sa.NestedTransaction] = []

    @property
    def mine(self) -> set[str]:
        return set().union(*self.levels)

    def insert(self, email: str) -> None:
        self.connection.execute(USERS.insert().values(email=email))
        self.levels[-1].add(email)

    def fail(self, taken: str) -> None:
        """Meet a duplicate and go back to before it, as an application does."""
        with pytest.raises(DBAPIError), self.connection.begin_nested():
            self.connection.execute(USERS.insert().values(email=taken))

    def nest(self) -> None:
        self.nested.append(self.connection.begin_nested())
        self.levels.append(set())

    def release(self) -> None:
        self.nested.pop().commit()
        released = self.levels.pop()
        self.levels[-1] |= released

    def back(self) -> None:
        self.nested[-1].rollback()
        self.nested.pop()
        self.levels.pop()

    def commit(self) -> set[str]:
        self.connection.commit()
        return self._ended()

    def rollback(self) -> None:
        self.connection.rollback()
        self._ended()

    def _ended(self) -> set[str]:
        mine = self.mine
        self.levels, self.nested = [set()], []
        return mine


@pytest.fixture(params=["sqlite", "psycopg"])
def suite(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Suite]:
    if request.param == "sqlite":
        url = sa.make_url(f"sqlite:///{tmp_path}/app.db")
        fill(url)
        with Suite(url, tmp_path).running() as suite:
            yield suite
        return
    cluster: PrivateCluster = request.getfixturevalue("cluster")
    with cluster.database() as made:
        url = sa.make_url(made).set(drivername="postgresql+psycopg")
        fill(url)
        with Suite(url, tmp_path).running() as suite:
            yield suite


def test_random_work_of_three_connections_ends_as_with_real_transactions(suite: Suite) -> None:
    isolation = SavepointIsolation(suite.database, suite.router, suite.watch)
    whole = 0
    try:
        for seed in range(SCENARIOS):
            with suite.test(isolation):
                whole += _scenario(suite.application.engine, random.Random(seed))  # noqa: S311 - replayable
    finally:
        isolation.close()
    assert whole > SCENARIOS / 4, f"{SCENARIOS - whole} scenarios ended in a conflict"


def _scenario(engine: sa.Engine, chance: random.Random) -> bool:
    """Work at random; whether it came to its end, and not to a rollback that one transaction cannot do."""
    committed: set[str] = set()
    models = [Model(engine) for _ in range(3)]
    try:
        for step in range(STEPS):
            model = chance.choice(models)
            _step(model, f"{step}@x", committed, chance)
            seen = set(model.connection.scalars(sa.select(USERS.c.email)))
            assert seen == committed.union(*(each.mine for each in models))
        for model in models:
            committed |= model.commit()
        with engine.connect() as fresh:
            assert set(fresh.scalars(sa.select(USERS.c.email))) == committed
    except IsolationConflictError:
        return False
    else:
        return True
    finally:
        for model in models:
            with suppress(IsolationConflictError):
                model.connection.close()


def _step(model: Model, email: str, committed: set[str], chance: random.Random) -> None:
    what = chance.choices(
        ("insert", "nest", "release", "back", "commit", "rollback", "fail"), (6, 2, 2, 1, 3, 1, 1)
    )[0]
    if what == "insert":
        model.insert(email)
    elif what == "nest":
        model.nest()
    elif what == "commit":
        committed |= model.commit()
    elif what == "rollback":
        model.rollback()
    elif what == "fail" and committed:
        model.fail(min(committed))
    elif what == "release" and model.nested:
        model.release()
    elif what == "back" and model.nested:
        model.back()


def test_readers_take_turns_without_a_word_to_the_database() -> None:
    stack = Stack(aborts=True)
    one, two = Transaction(), Transaction()
    assert stack.enter(one, Weight.NONE) == ["SAVEPOINT dbparity_1"]
    assert stack.enter(two, Weight.NONE) == []
    assert stack.enter(one, Weight.NONE) == []
    assert stack.rollback(one) == stack.rollback(two) == []


def test_a_commit_is_free_and_goes_with_the_next_statement() -> None:
    stack = Stack(aborts=True)
    one, two = Transaction(), Transaction()
    stack.enter(one, Weight.WRITE)
    assert stack.enter(one, Weight.WRITE) == []
    stack.commit(one)
    assert stack.enter(two, Weight.WRITE) == ["RELEASE SAVEPOINT dbparity_1", "SAVEPOINT dbparity_2"]
    assert len(stack) == 1


@pytest.mark.parametrize(
    ("text", "weight"),
    [
        ("SELECT 1", Weight.NONE),
        ("  -- a comment\n /* and another */ (SELECT * FROM users)", Weight.NONE),
        ("SELECT count(*) FROM users", Weight.NONE),
        ("SELECT now()", Weight.NONE),
        ("SELECT users.id, charge(users.id) FROM users FOR UPDATE", Weight.NONE),
        ("SELECT charge_all()", Weight.UNSURE),
        ("SET LOCAL app.tenant = '1'", Weight.UNSURE),
        ("SELECT * INTO copy FROM users", Weight.WRITE),
        ("WITH gone AS (DELETE FROM users RETURNING id) SELECT * FROM gone", Weight.WRITE),
        ("WITH these AS (SELECT 1) SELECT * FROM these", Weight.NONE),
        ("EXPLAIN ANALYZE UPDATE users SET id = 1", Weight.WRITE),
        ("insert into users values (1)", Weight.WRITE),
        ("DO $$ BEGIN PERFORM 1; END $$", Weight.WRITE),
        ("CREATE TABLE x (id int)", Weight.WRITE),
        ("CALL anything()", Weight.WRITE),
        (b"SELECT 1", Weight.WRITE),
    ],
)
def test_a_statement_is_a_read_only_where_it_is_sure_to_be_one(text: object, weight: Weight) -> None:
    statement = read(text)
    assert statement.kind is Kind.WORK
    assert statement.weight is weight


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("BEGIN IMMEDIATE", Kind.BEGIN, ""),
        ("START TRANSACTION ISOLATION LEVEL SERIALIZABLE", Kind.BEGIN, ""),
        ("COMMIT;", Kind.COMMIT, ""),
        ("END TRANSACTION", Kind.COMMIT, ""),
        ("rollback", Kind.ROLLBACK, ""),
        ("ROLLBACK TO SAVEPOINT sa_savepoint_1", Kind.ROLLBACK_TO, "sa_savepoint_1"),
        ('ROLLBACK TRANSACTION TO "My Point"', Kind.ROLLBACK_TO, "My Point"),
        ("SAVEPOINT here", Kind.SAVEPOINT, "here"),
        ("RELEASE here", Kind.RELEASE, "here"),
        ("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", Kind.LEVEL, ""),
        ("COMMIT PREPARED 'x'", Kind.TWO_PHASE, ""),
        ("PRAGMA foreign_keys=ON", Kind.PRAGMA, ""),
    ],
)
def test_control_of_transactions_is_read_off_the_text(text: str, kind: Kind, name: str) -> None:
    statement = read(text)
    assert (statement.kind, statement.name) == (kind, name)


def test_the_tables_that_a_statement_writes_are_named() -> None:
    assert read('INSERT INTO app."Order Lines" (id) VALUES (1)').tables == {"Order Lines"}
    assert read("UPDATE ONLY users SET id = 1").tables == {"users"}
    assert read("DELETE FROM users WHERE id IN (SELECT user_id FROM notes)").words >= {"users", "notes"}
