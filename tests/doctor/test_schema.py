"""Schemas that are not what they say, or do not enforce what they promise."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

import dashtam
from dashtam import migrations
from dashtam.doctor.local import Local
from dbparity.testing.postgres import PrivateCluster
from tests.doctor.asking import answer
from tests.doctor.servers import LookingAt, connected, name_of

REVISION = """
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with op.batch_alter_table("throttle_counters") as table:
        table.alter_column("count", existing_type=sa.Integer(), type_=sa.BigInteger())


def downgrade() -> None:
    pass
"""
OF_SERVERS = ("schema.enforced", "schema.logged")


async def test_a_migrated_database_is_sound(sound: Local):
    found = await answer(sound, "schema.truth")
    assert (found.verdict, found.remedy) == ("ok", "")
    assert "the tables are as they should be" in found.evidence
    assert (
        await answer(sound, "schema.pending")
    ).evidence == "no revision waits: 0001 is the newest of this version"


@pytest.mark.parametrize("name", OF_SERVERS)
async def test_tables_as_they_were_made_are_sound(looking_at: LookingAt, quiet_database: str, name: str):
    async with looking_at(quiet_database) as here:
        found = await answer(here, name)
    assert (found.verdict, found.remedy) == ("ok", "")
    assert "7 tables" in found.evidence


@pytest.mark.plants("schema.truth")
async def test_a_stamp_without_tables_is_not_believed(looking_at: LookingAt, own_database: str):
    _change(own_database, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    async with looking_at(own_database) as here:
        empty = await answer(here, "schema.truth")
        _change(
            own_database,
            "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
            f"INSERT INTO alembic_version VALUES ('{await _head(own_database)}')",
        )
        stamped = await answer(here, "schema.truth")
    assert (empty.verdict, empty.evidence) == ("failure", "The database holds no tables of Dashtam yet.")
    assert "dashtam migrate up" in empty.remedy
    assert stamped.verdict == "failure"
    assert "but not one table is there" in stamped.evidence
    assert "DROP TABLE alembic_version" in stamped.remedy


@pytest.mark.plants("schema.pending")
async def test_a_revision_that_waits_is_told_with_what_it_does(sound: Local, newer_version: Path):
    """Of the next version, as it is installed beside the tables of this one."""
    found = await _next_version_says(newer_version, sound, "schema.pending")
    assert found["verdict"] == "failure"
    assert found["evidence"].startswith("not run yet: 0002; ")
    if sound.service.database.is_sqlite:
        assert "holds the file's one write lock" in found["evidence"]
    else:
        assert "locks throttle_counters (ACCESS EXCLUSIVE)" in found["evidence"]
    assert "rewrites throttle_counters" in found["evidence"]
    assert "dashtam migrate plan" in found["remedy"]


@pytest.fixture(scope="module")
def newer_version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Dashtam of one revision more."""
    folder = tmp_path_factory.mktemp("newer")
    shutil.copytree(Path(dashtam.__file__).parent, folder / "dashtam")
    (folder / "dashtam/migrations/versions/0002_wider_counts.py").write_text(REVISION)
    return folder


async def _next_version_says(folder: Path, here: Local, name: str) -> dict[str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dashtam", "doctor", "--local", "--json"),
        stdout=asyncio.subprocess.PIPE,
        env=_unmeasured() | {"PYTHONPATH": str(folder), "DATABASE_URL": here.settings.database_url},
    )
    said, _ = await process.communicate()
    found: list[dict[str, str]] = json.loads(said)["checks"]
    return next(check for check in found if check["name"] == name)


def _unmeasured() -> dict[str, str]:
    """The environment; but lines of that other Dashtam are none of this one's for coverage to count."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


async def test_what_differs_is_named(sound: Local):
    async with sound.service.database.writer.begin() as connection:
        await connection.execute(text("DROP INDEX ix_sessions_user_id"))
        await connection.execute(text("ALTER TABLE users DROP COLUMN name"))
    found = await answer(sound, "schema.truth")
    assert found.verdict == "failure"
    assert "its tables are not what that makes" in found.evidence
    assert "users.name" in found.evidence
    assert "restore a backup" in found.remedy


@pytest.mark.plants("schema.enforced")
async def test_foreign_keys_that_a_restore_left_off_fail(looking_at: LookingAt, own_database: str):
    _change(own_database, "ALTER TABLE sessions DISABLE TRIGGER ALL")
    async with looking_at(own_database) as here:
        found = await answer(here, "schema.enforced")
    assert found.verdict == "failure"
    assert "switched off: fk_sessions_user_id_users of sessions" in found.evidence
    assert "ENABLE TRIGGER ALL" in found.remedy


async def test_a_session_that_enforces_nothing_fails(
    looking_at: LookingAt, own_database: str, cluster: PrivateCluster
):
    cluster.sql(f'ALTER DATABASE "{name_of(own_database)}" SET session_replication_role = replica')
    async with looking_at(own_database) as here:
        found = await answer(here, "schema.enforced")
    assert (found.verdict, "session_replication_role is replica" in found.evidence) == ("failure", True)


async def test_what_was_never_finished_is_named(looking_at: LookingAt, own_database: str):
    _change(own_database, "ALTER TABLE users ADD CONSTRAINT late CHECK (role <> 'ghost') NOT VALID")
    _change(own_database, "INSERT INTO throttle_counters VALUES ('a', 1, now()), ('b', 1, now())")
    with connected(own_database) as connection:
        connection.autocommit = True
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("CREATE UNIQUE INDEX CONCURRENTLY broken ON throttle_counters (count)")
    async with looking_at(own_database) as here:
        found = await answer(here, "schema.enforced")
    assert found.verdict == "warning"
    assert "never finished: late of users, broken of throttle_counters" in found.evidence
    assert "VALIDATE CONSTRAINT" in found.remedy


@pytest.mark.plants("schema.logged")
async def test_a_table_that_a_crash_empties_fails(looking_at: LookingAt, own_database: str):
    _change(own_database, "ALTER TABLE sessions SET UNLOGGED")
    async with looking_at(own_database) as here:
        found = await answer(here, "schema.logged")
    assert found.verdict == "failure"
    assert found.evidence == "unlogged: sessions; a crash of the server empties them"
    assert "ALTER TABLE sessions SET LOGGED" in found.remedy


async def _head(url: str) -> str:
    return (await migrations.status(url)).head


def _change(url: str, *statements: str) -> None:
    with connected(url) as connection:
        for statement in statements:
            connection.execute(statement.encode())
        connection.commit()
