"""What may be dropped and built anew, and what is dropped then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from gates import execute
from migrated import MODELS
from sqlalchemy.engine import make_url

from dbparity.config import Config
from dbparity.observer import Observer, close_background_loop
from dbparity.provision.held import HeldConnection
from dbparity.provision.mending import HoldsRowsError, disposable, emptied

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbparity.testing.postgres import PrivateCluster


@pytest.fixture(autouse=True, scope="module")
def _loop_ended() -> Iterator[None]:
    yield
    close_background_loop()


@pytest.mark.parametrize(
    "name",
    [
        "test",
        "shop_test",
        "test_shop",
        "shop-tests",
        "shop_test1",
        "SHOP_CI",
        "ci",
        "testing",
        "testdb",
        "test_gw0",
    ],
)
def test_a_database_is_disposable_by_its_name(name: str) -> None:
    assert disposable(make_url(f"postgresql+psycopg://localhost/{name}"), Config()).yes


@pytest.mark.parametrize(
    "name", ["shop", "latest", "contest", "city", "attestation", "precise", "shop_dev", "postgres"]
)
def test_a_name_that_only_looks_like_it_does_not_make_it_so(name: str) -> None:
    judged = disposable(make_url(f"postgresql+psycopg://localhost/{name}"), Config())
    assert not judged.yes
    assert judged.reason == f"its name, {name}, does not say that it is for tests"


def test_a_file_is_disposable_by_its_name_or_its_place(tmp_path: Path) -> None:
    assert disposable(make_url(f"sqlite:///{tmp_path}/shop.db"), Config()).yes
    assert disposable(make_url("sqlite:////srv/shop/shop_test.db"), Config()).yes
    assert not disposable(make_url("sqlite:////srv/test/shop.db"), Config()).yes


def test_what_the_project_says_comes_first(tmp_path: Path) -> None:
    temporary = make_url(f"sqlite:///{tmp_path}/shop_test.db")
    assert not disposable(temporary, replace(Config(), disposable=False)).yes
    real = make_url("postgresql+psycopg://localhost/shop")
    assert disposable(real, replace(Config(), disposable=True)).rows_too


def test_a_private_server_is_disposable(cluster: PrivateCluster) -> None:
    way_in = HeldConnection(cluster.url(), "asks")
    assert disposable(make_url(cluster.url("shop")), Config(), way_in).yes
    way_in.close()


def empty(url: str, *, rows_too: bool = False) -> int:
    observer = Observer(url, pooled=False)
    try:
        return observer.call(lambda connection: emptied(connection, MODELS, rows_too=rows_too))
    finally:
        observer.close()


def test_everything_that_migrations_make_is_dropped(cluster: PrivateCluster) -> None:
    with cluster.database() as url:
        execute(
            url,
            "CREATE TYPE colour AS ENUM ('red')",
            "CREATE DOMAIN age AS integer CHECK (VALUE > 0)",
            'CREATE TABLE "Odd ""Name" (id serial PRIMARY KEY, colour colour, age age)',
            "CREATE TABLE part (id integer) PARTITION BY RANGE (id)",
            "CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (1) TO (9)",
            "CREATE SEQUENCE numbers",
            "CREATE FUNCTION twice(integer) RETURNS integer LANGUAGE sql AS 'SELECT 2 * $1'",
            'CREATE VIEW odd AS SELECT * FROM "Odd ""Name"',
            "CREATE MATERIALIZED VIEW odder AS SELECT * FROM odd",
            "CREATE TABLE alembic_version (version_num varchar(32))",
            "INSERT INTO alembic_version VALUES ('r2')",
        )
        assert empty(url) == 3
        left = cluster.sql(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " UNION SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace"
            " UNION SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
            str(make_url(url).database),
        )
        assert left == []


def test_other_schemas_are_left_alone(cluster: PrivateCluster) -> None:
    with cluster.database() as url:
        execute(
            url,
            "CREATE SCHEMA other",
            "CREATE TABLE other.users (id integer)",
            "CREATE TABLE users (id integer)",
        )
        assert empty(url) == 1
        name = str(make_url(url).database)
        assert cluster.sql("SELECT schemaname FROM pg_tables WHERE tablename = 'users'", name) == ["other"]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_rows_keep_everything_where_it_is(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    lent = request.getfixturevalue("cluster").database() if kind == "postgresql" else None
    url = lent.__enter__() if lent else f"sqlite:///{tmp_path}/shop.db"
    execute(
        url,
        "CREATE TABLE users (id integer PRIMARY KEY)",
        "CREATE TABLE posts (id integer, author integer REFERENCES users (id))",
        "INSERT INTO users VALUES (1)",
    )
    with pytest.raises(HoldsRowsError, match=r"^(public\.)?users$"):
        empty(url)
    assert empty(url, rows_too=True) == 2
    assert empty(url) == 0
    if lent:
        lent.__exit__(None, None, None)


def test_a_file_is_emptied_of_its_views_and_searches_too(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    execute(
        url,
        "CREATE TABLE users (id integer PRIMARY KEY AUTOINCREMENT)",
        "CREATE VIEW everybody AS SELECT * FROM users",
        "CREATE VIRTUAL TABLE found USING fts5(words)",
    )
    empty(url, rows_too=True)
    observer = Observer(url)
    left = observer.call(
        lambda connection: list(connection.scalars(sa.text("SELECT name FROM sqlite_master")))
    )
    observer.close()
    assert [name for name in left if not name.startswith("sqlite_")] == []
