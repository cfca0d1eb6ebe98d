"""Migrations: from empty, back and forth, twice at once, and on databases that are not what they say."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from dashtam import migrations
from dashtam.core.tables import Table
from dashtam.migrations.connection import ADVISORY_LOCK, exclusive
from dbparity.testing.postgres import PrivateCluster

HEAD = "0001"
UPGRADE = """
import asyncio, sys
from dashtam import migrations
print("ready", flush=True)
sys.stdin.readline()
outcome = asyncio.run(migrations.upgrade(sys.argv[1]))
print(",".join(outcome.revisions) or "nothing", outcome.status.verdict)
"""


@pytest.fixture
def postgresql(cluster: PrivateCluster) -> Iterator[str]:
    with cluster.database() as url:
        yield url


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'var' / 'dashtam.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of a database with nothing in it."""
    return str(request.getfixturevalue(request.param))


async def sql(url: str, *statements: str) -> None:
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()


async def ask(url: str, question: Callable[[Connection], Any]) -> Any:
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        answer = await connection.run_sync(question)
    await engine.dispose()
    return answer


def table_names(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names()) - {"alembic_version"}


def drifted_from_models(connection: Connection) -> list[Any]:
    return list(compare_metadata(MigrationContext.configure(connection), Table.metadata))


async def test_an_empty_database_is_migrated_and_a_second_run_finds_nothing_to_do(url: str) -> None:
    outcome = await migrations.upgrade(url)
    assert outcome.revisions == (HEAD,)
    assert outcome.status.verdict == "ready"
    assert await ask(url, table_names) == set(Table.metadata.tables)

    again = await migrations.upgrade(url)
    assert again.revisions == ()
    assert again.status.verdict == "ready"


async def test_models_and_migrations_agree_both_for_dbparity_and_for_alembic(url: str) -> None:
    await migrations.upgrade(url)
    status = await migrations.status(url)
    assert (status.verdict, status.differences) == ("ready", ())
    assert await ask(url, drifted_from_models) == []


async def test_every_constraint_and_index_has_the_name_that_the_models_give_it(postgresql: str) -> None:
    """A later revision drops them by these names."""
    await migrations.upgrade(postgresql)
    assert await ask(postgresql, names_there) == await ask(postgresql, names_in_models)


def names_there(connection: Connection) -> set[str]:
    question = text(
        "SELECT conname FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid"
        " WHERE t.relname = ANY(:tables) AND contype <> 'n'"
        " UNION SELECT indexname FROM pg_indexes WHERE tablename = ANY(:tables)"
    )
    return {str(row[0]) for row in connection.execute(question, {"tables": list(Table.metadata.tables)})}


def names_in_models(connection: Connection) -> set[str]:
    final_name = connection.dialect.identifier_preparer.format_constraint
    tables = Table.metadata.tables.values()
    constraints = {str(final_name(each)) for table in tables for each in table.constraints}
    return constraints | {str(final_name(each)) for table in tables for each in table.indexes}


async def test_down_removes_every_table_and_up_again_makes_them_as_before(url: str) -> None:
    await migrations.upgrade(url)
    down = await migrations.downgrade(url, "base")
    assert down.revisions == (HEAD,)
    assert down.status.verdict == "empty"
    assert await ask(url, table_names) == set()

    assert (await migrations.upgrade(url)).status.verdict == "ready"
    assert await ask(url, drifted_from_models) == []


def test_the_first_run_makes_the_folder_and_the_file_for_its_owner_only(sqlite: str) -> None:
    path = Path(sqlite.partition(":///")[2])
    assert not path.parent.exists()
    asyncio.run(migrations.upgrade(sqlite))
    assert path.stat().st_mode & 0o077 == 0


def test_looking_at_a_database_that_is_not_there_makes_none(sqlite: str) -> None:
    status = asyncio.run(migrations.status(sqlite))
    assert (status.verdict, status.pending) == ("empty", (HEAD,))
    assert not Path(sqlite.partition(":///")[2]).exists()


def test_nodes_that_start_at_once_all_end_well_and_migrate_once(url: str) -> None:
    """Real processes, held at the same line and let go together."""
    nodes = [
        subprocess.Popen(
            [sys.executable, "-c", UPGRADE, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for node in nodes:
        assert node.stdout is not None
        assert node.stdout.readline() == "ready\n"
    said = [said_by(node) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0, 0]
    assert sorted(said) == [f"{HEAD} ready", "nothing ready", "nothing ready"]


def said_by(node: "subprocess.Popen[str]") -> str:
    return node.communicate("\n", timeout=60)[0].strip()


async def test_who_waits_is_told_so_and_gets_the_lock_when_the_other_is_done(url: str) -> None:
    told = asyncio.Event()
    async with exclusive(url, patience=1, waiting=lambda: None):
        second = asyncio.create_task(migrations.upgrade(url, patience=30, waiting=told.set))
        await asyncio.wait_for(told.wait(), 30)
        assert not second.done()
    assert (await second).revisions == (HEAD,)


async def test_a_migration_that_does_not_end_is_named_after_the_deadline(url: str) -> None:
    async with exclusive(url, patience=1, waiting=lambda: None):
        with pytest.raises(migrations.MigrationBusyError, match="nother migration") as busy:
            await migrations.upgrade(url, patience=0.2)
    assert "It was still at it after 0.2 s." in str(busy.value)


async def test_the_holder_of_the_lock_is_named_by_its_process(postgresql: str) -> None:
    async with exclusive(postgresql, patience=1, waiting=lambda: None) as holder:
        pid = await holder.scalar(text("SELECT pg_backend_pid()"))
        with pytest.raises(migrations.MigrationBusyError, match=f"PostgreSQL process {pid}, dashtam migrate"):
            await migrations.upgrade(postgresql, patience=0)
    assert 0 < ADVISORY_LOCK < 2**63


async def test_stamped_but_empty_is_named_and_the_advice_given_mends_it(url: str) -> None:
    await migrations.upgrade(url)
    await sql(url, *[f'DROP TABLE "{table.name}"' for table in reversed(Table.metadata.sorted_tables)])
    with pytest.raises(migrations.SchemaNotTrueError, match="not one table is there") as refused:
        await migrations.upgrade(url)
    assert refused.value.status.verdict == "stamped-but-empty"
    assert "DROP TABLE alembic_version" in str(refused.value)

    await sql(url, "DROP TABLE alembic_version")
    assert (await migrations.upgrade(url)).status.verdict == "ready"


async def test_a_half_migrated_database_is_named_with_every_table_that_is_missing(url: str) -> None:
    await migrations.upgrade(url)
    await sql(url, "DROP TABLE mail_outbox", "DROP TABLE audit_events")
    with pytest.raises(migrations.SchemaNotTrueError) as refused:
        await migrations.upgrade(url)
    assert refused.value.status.verdict == "partly-applied"
    assert refused.value.status.differences == (
        "table audit_events is missing",
        "table mail_outbox is missing",
    )
    assert "restore a whole backup" in str(refused.value)


async def test_a_column_changed_by_hand_is_named(url: str) -> None:
    await migrations.upgrade(url)
    await sql(url, "ALTER TABLE users RENAME COLUMN name TO nickname")
    with pytest.raises(migrations.SchemaNotTrueError, match=r"column users\.name is missing") as refused:
        await migrations.upgrade(url)
    assert refused.value.status.verdict == "drift"


async def test_tables_and_indexes_of_others_beside_ours_do_no_harm(url: str) -> None:
    await migrations.upgrade(url)
    await sql(url, "CREATE TABLE notes (id INTEGER)", "CREATE INDEX operators_own ON users (name)")
    assert (await migrations.upgrade(url)).status.verdict == "ready"


async def test_tables_without_a_revision_are_not_migrated_over(url: str) -> None:
    await migrations.upgrade(url)
    await sql(url, "DROP TABLE alembic_version", "DROP TABLE sessions")
    with pytest.raises(migrations.SchemaNotTrueError, match="no revision is noted") as refused:
        await migrations.upgrade(url)
    assert "table users is there" in refused.value.status.differences
    assert "table sessions is there" not in refused.value.status.differences


async def test_a_revision_of_another_version_is_refused_in_plain_words(url: str) -> None:
    await migrations.upgrade(url)
    await sql(url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(
        migrations.SchemaNotTrueError, match="9999, which this version of Dashtam does not know"
    ):
        await migrations.upgrade(url)
    with pytest.raises(migrations.SchemaNotTrueError, match="run that version or a newer one"):
        await migrations.downgrade(url, "base")


async def test_tables_in_a_schema_that_is_not_searched_are_found_and_named(postgresql: str) -> None:
    await migrations.upgrade(postgresql)
    tables = [*Table.metadata.tables, "alembic_version"]
    await sql(
        postgresql, "CREATE SCHEMA hidden", *[f'ALTER TABLE "{name}" SET SCHEMA hidden' for name in tables]
    )
    with pytest.raises(migrations.SchemaNotTrueError, match="schema hidden") as refused:
        await migrations.upgrade(postgresql)
    assert refused.value.status.verdict == "wrong-schema"


async def test_an_unknown_target_is_refused_by_name_and_changes_nothing(url: str) -> None:
    with pytest.raises(migrations.MigrationError, match="Cannot migrate to 4711"):
        await migrations.upgrade(url, "4711")
    assert (await migrations.status(url)).verdict == "empty"


async def test_a_run_that_ends_untrue_is_rolled_back_whole(postgresql: str) -> None:
    """The fault: something in the database takes a table away while the migration runs."""
    await sql(
        postgresql,
        """CREATE FUNCTION take_away() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
           IF to_regclass('ix_throttle_counters_ends_at') IS NOT NULL THEN
           DROP TABLE throttle_counters; END IF;
           END $$""",
        "CREATE EVENT TRIGGER t ON ddl_command_end WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION take_away()",
    )
    with pytest.raises(migrations.SchemaNotTrueError, match="table throttle_counters is missing") as refused:
        await migrations.upgrade(postgresql)
    assert refused.value.status.verdict == "partly-applied"
    assert await ask(postgresql, table_names) == set()

    await sql(postgresql, "DROP EVENT TRIGGER t")
    assert (await migrations.upgrade(postgresql)).status.verdict == "ready"


async def test_rows_that_point_nowhere_stop_a_migration_on_sqlite_before_it_commits(sqlite: str) -> None:
    """Foreign keys are off while tables are rebuilt, so a revision that breaks one must not pass."""
    async with exclusive(sqlite, patience=1, waiting=lambda: None) as connection:
        await connection.execute(text("CREATE TABLE parent (id INTEGER PRIMARY KEY)"))
        await connection.execute(text("CREATE TABLE child (id INTEGER REFERENCES parent)"))
        await connection.execute(text("INSERT INTO child VALUES (7)"))
    with pytest.raises(migrations.MigrationError, match="in: child"):
        await migrations.upgrade(sqlite)
    assert (await migrations.status(sqlite)).verdict == "empty"


async def test_a_lock_that_a_forgotten_transaction_holds_ends_the_run_after_a_while(postgresql: str) -> None:
    """A statement that waits for a table gives up; it never hangs a deployment."""
    async with exclusive(postgresql, patience=1, waiting=lambda: None) as connection:
        assert await connection.scalar(text("SHOW lock_timeout")) == "10s"
