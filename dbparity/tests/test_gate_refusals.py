"""What the gate does not get past: who is waited for and how long, who is named, and in which words."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from gates import execute, migrating, project_at, tables
from migrated import MODELS, SYNC
from sqlalchemy.engine import make_url

from dbparity.config import Config, Schema
from dbparity.provision.gate import GateError, open_gate
from dbparity.provision.lock import schema_lock
from dbparity.provision.party import Party
from dbparity.provision.patience import Patience

if TYPE_CHECKING:
    from pathlib import Path

    from dbparity.testing.postgres import PrivateCluster

QUICK = Patience(lock=0.5, busy=0.5, table=0.5)


def test_several_heads_are_a_matter_for_people(lent: str, tmp_path: Path) -> None:
    project_at(lent, tmp_path).revision("r2b", "pass", "r1")
    with pytest.raises(GateError, match=r"(?s)^multiple-heads: .*Building does not mend this\."):
        open_gate(lent, MODELS, migrating(tmp_path))
    assert tables(lent) == set()


def test_a_missing_database_of_unknown_purpose_is_not_made(cluster: PrivateCluster, tmp_path: Path) -> None:
    project_at(cluster.url("shop"), tmp_path)
    with pytest.raises(GateError, match="its name, shop, does not say that it is for tests"):
        open_gate(cluster.url("shop"), MODELS, migrating(tmp_path))


def test_a_server_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    for driver in ("psycopg", "asyncpg"):
        url = f"postgresql+{driver}://shop:secret@127.0.0.1:1/shop_test"
        with pytest.raises(GateError) as refused:
            open_gate(url, MODELS, Config(root=tmp_path, schema=Schema.CREATE))
        assert str(refused.value).startswith("No connection to localhost:1/shop_test as shop: ")
        assert "secret" not in str(refused.value)
        assert "\n" not in str(refused.value)


def test_a_wrong_password_is_one_sentence(cluster: PrivateCluster, tmp_path: Path) -> None:
    for driver in ("psycopg", "asyncpg"):
        url = make_url(cluster.url("postgres", driver)).set(password="wrong")
        with pytest.raises(
            GateError, match=r"No connection to .* as postgres: .*password authentication failed"
        ):
            open_gate(url, MODELS, Config(root=tmp_path, schema=Schema.CREATE))


def test_what_cannot_be_built_at_all_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(GateError, match="in memory"):
        open_gate("sqlite://", MODELS, Config(root=tmp_path, schema=Schema.CREATE))
    with pytest.raises(GateError, match="needs migrations"):
        open_gate(f"sqlite:///{tmp_path}/a.db", MODELS, Config(root=tmp_path, schema=Schema.MIGRATE))
    with pytest.raises(GateError, match="There is no folder"):
        open_gate(f"sqlite:///{tmp_path}/no/a.db", MODELS, Config(root=tmp_path, schema=Schema.CREATE))
    with pytest.raises(GateError, match="migrations cannot be read"):
        open_gate(f"sqlite:///{tmp_path}/a.db", MODELS, migrating(tmp_path))


def test_a_builder_that_does_not_end_is_named(lent: str, tmp_path: Path) -> None:
    project_at(lent, tmp_path)
    said: list[str] = []
    other = Party(run="0ther", checkout="/home/ada/shop")
    with (
        schema_lock(lent, party=other),
        pytest.raises(GateError, match=r"run 0ther of /home/ada/shop, process \d+ on"),
    ):
        open_gate(lent, MODELS, migrating(tmp_path), say=said.append, patience=QUICK)
    assert "waiting for another builder" in said[0]
    assert tables(lent) == set()


def test_verify_waits_for_a_builder_and_then_gives_up(lent: str, tmp_path: Path) -> None:
    project_at(lent, tmp_path)
    said: list[str] = []
    began = time.monotonic()
    with schema_lock(lent), pytest.raises(GateError, match=r"(?s)^busy: .*waited for 0\.5 s"):
        open_gate(lent, MODELS, migrating(tmp_path, schema=Schema.VERIFY), say=said.append, patience=QUICK)
    assert 0.5 <= time.monotonic() - began < 5
    assert "being changed elsewhere" in said[0]


def test_a_leaked_transaction_on_a_table_is_named_and_not_waited_for(lent: str, tmp_path: Path) -> None:
    project_at(lent, tmp_path)
    open_gate(lent, MODELS, migrating(tmp_path))
    execute(lent, "DROP TABLE posts")
    leaked = sa.create_engine(
        lent.replace("asyncpg", "psycopg"), connect_args={"application_name": "forgotten"}
    )
    with leaked.connect() as connection:
        connection.exec_driver_sql("SELECT * FROM users")
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        began = time.monotonic()
        with pytest.raises(GateError, match=f'Held by:\n  backend {pid} "forgotten".*idle in transaction'):
            open_gate(lent, MODELS, migrating(tmp_path), patience=QUICK)
        assert time.monotonic() - began < 5
    leaked.dispose()
    assert tables(lent) == {"alembic_version", "users"}


def test_a_process_that_has_locked_a_file_is_named(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'app.db'}"
    project_at(url, tmp_path)
    with closing(sqlite3.connect(tmp_path / "app.db", isolation_level=None)) as leaked:
        leaked.execute("CREATE TABLE jobs (id integer)")
        leaked.execute("BEGIN IMMEDIATE")
        with pytest.raises(GateError, match=r"process \d+"):
            open_gate(url, MODELS, migrating(tmp_path), patience=QUICK)


def test_env_py_that_asks_for_another_database_is_stopped_before_it_gets_there(
    cluster: PrivateCluster, lent: str, tmp_path: Path
) -> None:
    with cluster.database() as other:
        project = project_at(lent, tmp_path)
        project.write_env(
            SYNC.replace(
                'config.get_main_option("sqlalchemy.url")', f'"{other.replace("asyncpg", "psycopg")}"'
            )
        )
        with pytest.raises(GateError, match=r"env.py asks for the database \S+, and \S+ is to be built"):
            open_gate(lent, MODELS, migrating(tmp_path))
        assert tables(other) == tables(lent) == set()
