"""What is psycopg2's own under savepoint isolation: types given to a connection, cursors on the server, levels."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from isolated import USERS, asked, fill
from placed import Place, user
from sqlalchemy.dialects.postgresql import HSTORE, JSONB
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from dbparity.observer import close_background_loop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dbparity.testing.postgres import PrivateCluster

psycopg2: Any = pytest.importorskip("psycopg2")
extras: Any = pytest.importorskip("psycopg2.extras")
sql: Any = pytest.importorskip("psycopg2.sql")


@pytest.fixture
def here(cluster: PrivateCluster, tmp_path: Path) -> Iterator[Place]:
    with cluster.database() as made:
        url = sa.make_url(made).set(drivername="postgresql+psycopg2")
        fill(url)
        place = Place(url, tmp_path)
        yield place
        place.close()
        close_background_loop()


def test_sessions_commit_roll_back_and_go_on_after_errors(here: Place) -> None:
    with here.test():
        with Session(here.engine) as session:
            session.execute(user("a@x"))
            session.commit()
            with pytest.raises(IntegrityError):
                session.execute(user("a@x"))
            with pytest.raises(DBAPIError, match="aborted"):
                session.execute(user("b@x"))
            session.rollback()
            session.execute(user("c@x"))
        assert here.count() == 1
    assert asked(here.url, "SELECT count(*) FROM users") == [(0,)]


def test_the_types_of_the_dialect_and_of_the_application_are_its_connections(here: Place) -> None:
    number = uuid.uuid4()

    @sa.event.listens_for(here.engine, "connect")
    def configure(connection: Any, _: object) -> None:
        extras.register_composite("roles", connection)

    observer = here.suite.database.observer
    observer.call(lambda it: it.execute(sa.text("CREATE EXTENSION IF NOT EXISTS hstore")), autocommit=True)
    given = sa.select(sa.cast(number, sa.Uuid), sa.cast({"a": [1]}, JSONB), sa.cast({"b": "2"}, HSTORE))
    with here.test(), here.engine.connect() as connection:
        assert connection.execute(given).one() == (number, {"a": [1]}, {"b": "2"})
        assert connection.scalar(sa.text("SELECT roles FROM roles WHERE id = 1")).Name == "o'wner: 100%"


def test_rows_are_streamed_from_a_cursor_on_the_server(here: Place) -> None:
    emails = sa.select(USERS.c.email).order_by(USERS.c.id).execution_options(yield_per=2)
    with here.test(), Session(here.engine) as session:
        session.execute(USERS.insert(), [{"email": f"{number}@x"} for number in range(5)])
        assert session.scalars(emails).all() == [f"{number}@x" for number in range(5)]


def test_names_are_quoted_and_composed_for_a_connection(here: Place) -> None:
    with here.test(), here.engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        assert psycopg2.extensions.quote_ident('a"b', raw) == '"a""b"'
        assert sql.Identifier("a", "b").as_string(raw) == '"a"."b"'


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_stricter_isolation_level_is_noted_by_its_name(here: Place, level: str) -> None:
    strict = here.engine.execution_options(isolation_level=level)
    with here.test() as test, strict.connect() as connection:
        connection.execute(USERS.select()).all()
        assert any(level in note for note in test.notes["savepoint"])
