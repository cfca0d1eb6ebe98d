"""What migrations.md says is so, and its commands run."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import get_args

import pytest
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import dashtam
from dashtam.cli.migrate import up
from dashtam.features.system import why_not_ready
from dashtam.migrations import Verdict
from dashtam.settings import load
from dbparity.planning import Lock
from dbparity.testing.postgres import PrivateCluster
from tests.docs.reading import ROOT, rows
from tests.docs.shell import Shell, commands
from tests.makers import CHEAP, SECRET, deployed

PAGE = "docs/migrations.md"
TEXT = (ROOT / PAGE).read_text("utf-8")
REVISION = """
from alembic import op

revision, down_revision = "{id}", "0001"


def upgrade() -> None:
    op.create_index("ix_users_name", "users", ["name"], if_not_exists=True)
"""


@pytest.fixture
def postgresql(cluster: PrivateCluster) -> Iterator[str]:
    with cluster.database() as url:
        yield url.replace("+asyncpg", "")


def a_copy(folder: Path) -> dict[str, str]:
    """A copy of Dashtam, in which revisions may be written."""
    package = Path(dashtam.__file__).parent
    shutil.copytree(package, folder / "copy" / "dashtam")
    return {"PYTHONPATH": str(folder / "copy"), "SECRET_KEY": SECRET, "ENVIRONMENT": "dev"}


def test_the_commands_on_sqlite_in_their_order(tmp_path: Path) -> None:
    with Shell(tmp_path, a_copy(tmp_path)) as shell:
        plan_up_status, kept = commands(PAGE, "## Plan, run, check")
        said = shell.run(plan_up_status)
        assert "1 revision to run, from nothing to 0001." in said
        assert "Ran 0001." in said
        shell.run(kept)
        assert json.loads((tmp_path / "plan.json").read_text())["nothing_to_do"] is True
        back = commands(PAGE, "## Go back")
        assert "at revision 0001" in shell.run(back[0])
        new = commands(PAGE, "## Write a revision")[0]
        assert "1 revision to run, from 0001 to 0002." in shell.run(new)
    assert list((tmp_path / "copy" / "dashtam" / "migrations" / "versions").glob("0002_who_invited_whom.py"))


def test_the_commands_on_postgresql(tmp_path: Path, postgresql: str) -> None:
    settings = a_copy(tmp_path) | {"DATABASE_URL": postgresql}
    with Shell(tmp_path, settings) as shell:
        shell.run(commands(PAGE, "## Plan, run, check")[0])
        assert "application_name" in shell.run(commands(PAGE, "## Reading a plan")[0])
        versions = tmp_path / "copy" / "dashtam" / "migrations" / "versions"
        (versions / "0002_name.py").write_text(REVISION.format(id="0002"))
        by_hand, migrated = commands(PAGE, "## Write a revision")[1].splitlines()
        shell.run(by_hand)
        assert "The index is there already." in shell.run("dashtam migrate plan")
        assert "Ran 0002." in shell.run(migrated)


def test_every_block_of_the_page_is_run() -> None:
    run = {"## Plan, run, check": 2, "## Reading a plan": 1, "## Write a revision": 2, "## Go back": 1}
    assert {heading: len(commands(PAGE, heading)) for heading in run} == run
    assert sum(run.values()) == len(commands(PAGE))


async def test_the_old_version_is_ready_on_tables_that_were_expanded_and_on_no_others(
    base_url: Callable[[str], str], dbparity_lend: Callable[[str], AbstractContextManager[str]]
) -> None:
    with dbparity_lend(base_url("postgresql")) as url:
        settings = load(database_url=url, secret_key=SECRET, public_url="http://testserver")
        async with deployed(settings, hash_cost=CHEAP) as running:
            assert (await running.client.get("/health/ready")).status_code == 200
            engine = create_async_engine(url, poolclass=NullPool)
            for changed, ready in EXPANDED.items():
                async with engine.begin() as connection:
                    await connection.exec_driver_sql(changed)
                reason = await why_not_ready(running.service)
                assert (reason is None) == ready, changed
            await engine.dispose()


EXPANDED = {
    "ALTER TABLE users ADD COLUMN invited_by uuid": True,
    "CREATE UNIQUE INDEX ux_users_invited_by ON users (invited_by)": True,
    "CREATE TABLE invitations (id integer PRIMARY KEY)": True,
    "ALTER TABLE users ADD COLUMN must text NOT NULL DEFAULT ''": True,
    "ALTER TABLE users ADD COLUMN asked text GENERATED ALWAYS AS (name) STORED NOT NULL": True,
    "ALTER TABLE users DROP COLUMN asked": True,
    "ALTER TABLE users DROP COLUMN must": True,
    "ALTER TABLE users ADD CONSTRAINT ck_name CHECK (name <> '') NOT VALID": False,
    "ALTER TABLE users DROP CONSTRAINT ck_name": True,
    "ALTER TABLE users DROP COLUMN name": False,
}
"""What a newer version does to the tables, and whether this one is ready on them."""


def test_the_verdicts_are_those_of_the_code() -> None:
    told = re.findall(r"`([a-z-]+)`", " ".join(row[0] for row in rows(TEXT, "verdict")))
    assert set(told) == set(get_args(Verdict))


def test_the_locks_keep_out_whom_the_table_says() -> None:
    for name, meanwhile, _ in rows(TEXT, "lock on PostgreSQL"):
        lock = Lock[name.replace(" ", "_")]
        assert lock.stops_reads == ("nobody reads" in meanwhile), name
        assert lock.stops_writes == ("write" in meanwhile), name


def test_the_seconds_of_waiting_are_those_of_the_code() -> None:
    from dashtam.migrations import connection  # noqa: PLC0415  for its private number

    assert connection._DDL_LOCK_TIMEOUT == "10s"  # noqa: SLF001
    assert "that waits 10 seconds for a lock gives up" in TEXT
    assert (up.__kwdefaults__ or {})["patience"] == 60
    assert "60 seconds unless `--patience`" in " ".join(TEXT.split())
