"""`dashtam migrate plan`: what the next `up` would do, on a Dashtam that has a further revision."""

import json
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

import dashtam
from dbparity.testing.postgres import PrivateCluster
from tests.cli.running import Place

REVISION = '''"""Who invited whom."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("users", sa.Column("invited_by", sa.Uuid(), nullable=True))
    op.create_index("ix_users_invited_by", "users", ["invited_by"])
    {more}


def downgrade() -> None:
    op.drop_index("ix_users_invited_by")
    op.drop_column("users", "invited_by")
'''


def next_version(place: Place, more: str = "") -> dict[str, str]:
    """A copy of this Dashtam with one more revision; the setting by which `place` runs it."""
    source, copy = Path(dashtam.__file__).parent, place.folder / "next" / "dashtam"
    shutil.copytree(source, copy, dirs_exist_ok=True)
    (copy / "migrations" / "versions" / "0002_next.py").write_text(REVISION.format(more=more))
    return {"PYTHONPATH": str(copy.parent)}


def words(text: str) -> str:
    return " ".join(text.split())


def test_from_empty_to_head_and_then_nothing_to_do(any_place: Place) -> None:
    empty = any_place.run("migrate", "plan")
    assert empty.returncode == 0
    assert empty.stdout.startswith("1 revision to run, from nothing to 0001.")
    assert "CREATE TABLE users" in empty.stdout
    assert "old code goes on" in words(empty.stdout)
    assert any_place.run("migrate", "status").returncode == 1

    any_place.run("migrate", "up")
    done = any_place.run("migrate", "plan")
    assert (done.returncode, done.stdout) == (0, "Nothing to do: the database is at 0001.\n")
    told = json.loads(any_place.run("migrate", "plan", "--json").stdout)
    assert (told["verdict"], told["nothing_to_do"], told["obstacles"]) == ("ready", True, [])


def test_a_sqlite_file_is_not_made_by_planning(place: Place) -> None:
    assert place.run("migrate", "plan").returncode == 0
    assert not (place.folder / "var" / "dashtam.db").exists()


def test_a_pending_revision_is_planned_with_its_locks_and_what_old_code_makes_of_it(any_place: Place) -> None:
    any_place.run("migrate", "up")
    new = next_version(any_place)
    told = json.loads(any_place.run("migrate", "plan", "--json", **new).stdout)
    (revision,) = told["revisions"]
    assert (told["verdict"], revision["revision"], told["old_code"]) == ("pending", "0002", "goes on")
    column, index = revision["statements"]
    assert column["sql"].startswith("ALTER TABLE users ADD COLUMN invited_by")
    assert index["sql"] == "CREATE INDEX ix_users_invited_by ON users (invited_by)"
    if told["dialect"] == "sqlite":
        assert column["write_lock"]
        return
    assert column["locks"] == [{"table": "users", "mode": "ACCESS EXCLUSIVE"}]
    assert index["locks"] == [{"table": "users", "mode": "SHARE"}]
    assert "CONCURRENTLY" in index["hint"]
    assert [(each["table"], each["mode"]) for each in told["held"]] == [("users", "ACCESS EXCLUSIVE")]


def test_planning_leaves_a_sqlite_database_as_it_is_byte_by_byte(place: Place) -> None:
    place.run("migrate", "up")
    new = next_version(place)
    file = place.folder / "var" / "dashtam.db"
    before = file.read_bytes()
    assert place.run("migrate", "plan", **new).returncode == 0
    assert file.read_bytes() == before


def test_what_cannot_be_run_in_one_transaction_is_said_to_fail(
    cluster: PrivateCluster, tmp_path: Path
) -> None:
    with cluster.database() as url:
        place = Place(tmp_path, DATABASE_URL=url.replace("+asyncpg", ""))
        place.run("migrate", "up")
        more = 'op.create_index("ix_more", "users", ["name"], postgresql_concurrently=True)'
        planned = place.run("migrate", "plan", **next_version(place, more))
        assert planned.returncode == 1
        assert "runs everything in one transaction" in words(planned.stdout)
        assert place.run("migrate", "up", **next_version(place, more)).returncode == 1


def test_a_revision_that_cannot_be_planned_ends_with_1_and_its_line(place: Place) -> None:
    place.run("migrate", "up")
    planned = place.run("migrate", "plan", **next_version(place, 'raise RuntimeError("no")'))
    assert planned.returncode == 1
    assert "0002_next.py:13 does not run here: RuntimeError: no" in words(planned.stdout)
    assert "Traceback" not in planned.stdout + planned.stderr


def test_an_unsound_database_is_refused_with_its_verdict(place: Place) -> None:
    place.run("migrate", "up")
    with closing(sqlite3.connect(place.folder / "var" / "dashtam.db")) as database:
        database.execute("DROP TABLE mail_outbox")
        database.commit()
    refused = place.run("migrate", "plan")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "table mail_outbox is missing" in refused.stderr


def test_an_unknown_revision_is_refused_by_name(place: Place) -> None:
    refused = place.run("migrate", "plan", "4711")
    assert refused.returncode == 1
    assert "There is no way to 4711 from nothing" in refused.stderr


def test_a_database_that_is_away_is_3_and_no_password_is_shown(place: Place) -> None:
    away = place.run("migrate", "plan", DATABASE_URL="postgresql://dashtam:hunter2@127.0.0.1:1/dashtam")
    assert away.returncode == 3
    assert "hunter2" not in away.stderr + away.stdout


@pytest.mark.parametrize("table", ["users", "alembic_version"])
def test_a_table_that_somebody_holds_is_named_or_refused_and_never_waited_for(
    cluster: PrivateCluster, tmp_path: Path, table: str
) -> None:
    with cluster.database() as url:
        place = Place(tmp_path, DATABASE_URL=url.replace("+asyncpg", ""))
        place.run("migrate", "up")
        new = next_version(place)
        with holding(cluster, url.rpartition("/")[2], table):
            told = place.run("migrate", "plan", **new)
    assert "Traceback" not in told.stderr
    if table == "users":
        assert told.returncode == 0
        assert "users is held by process" in words(told.stdout)
    else:
        assert told.returncode == 1
        assert "holds a lock in the database" in told.stderr


class holding:  # noqa: N801  it reads as a verb
    """Somebody with psql who has locked a table and gone to lunch."""

    def __init__(self, cluster: PrivateCluster, database: str, table: str) -> None:
        url = cluster.url(database, driver="")
        self._process = subprocess.Popen(
            ["psql", "-X", "-q", "-A", "-t", url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._table = table

    def __enter__(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(
            f"BEGIN; LOCK TABLE {self._table} IN ACCESS EXCLUSIVE MODE; SELECT 'held';\n"
        )
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "held\n"

    def __exit__(self, *_: object) -> None:
        self._process.communicate("ROLLBACK;\n", timeout=30)
