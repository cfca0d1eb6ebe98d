"""`dashtam migrate`: the runner of migrations, as a command."""

import json
import sqlite3
from contextlib import closing

from tests.cli.running import Place


def test_up_status_down_and_up_again(any_place: Place) -> None:
    assert any_place.run("migrate", "status").returncode == 1
    up = any_place.run("migrate", "up")
    assert (up.returncode, up.stdout.partition(". ")[0]) == (0, "Ran 0001")
    status = any_place.run("migrate", "status")
    assert (status.returncode, "as they should be" in status.stdout) == (0, True)
    down = any_place.run("migrate", "down", "base", "--yes")
    assert (down.returncode, "no tables of Dashtam" in down.stdout) == (0, True)
    assert any_place.run("migrate", "up").returncode == 0


def test_json_for_programs(place: Place) -> None:
    up = json.loads(place.run("migrate", "up", "--json").stdout)
    assert (up["ran"], up["verdict"], up["current"]) == (["0001"], "ready", "0001")
    status = json.loads(place.run("migrate", "status", "--json").stdout)
    assert (status["verdict"], status["pending"], status["differences"]) == ("ready", [], [])


def test_going_back_is_not_done_without_a_yes(place: Place) -> None:
    place.run("migrate", "up")
    refused = place.run("migrate", "down", "base")
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert place.run("migrate", "status").returncode == 0


def test_tables_that_are_not_there_are_named_whatever_the_version_table_says(place: Place) -> None:
    place.run("migrate", "up")
    with closing(sqlite3.connect(place.folder / "var" / "dashtam.db")) as database:
        database.execute("DROP TABLE mail_outbox")
        database.commit()
    for verb in ("up", "status"):
        found = place.run("migrate", verb)
        assert found.returncode == 1
        assert "table mail_outbox is missing" in found.stdout + found.stderr
        assert "restore a whole backup" in found.stdout + found.stderr


def test_a_database_that_is_away_is_3_and_no_password_is_shown(place: Place) -> None:
    url = "postgresql://dashtam:hunter2@127.0.0.1:1/dashtam"
    for command in (("migrate", "up"), ("migrate", "status"), ("keys", "list")):
        away = place.run(*command, DATABASE_URL=url)
        assert away.returncode == 3
        assert "The database of DATABASE_URL cannot be used: no connection" in away.stderr
        assert "hunter2" not in away.stderr
        assert "Traceback" not in away.stderr


def test_a_file_that_is_no_database_is_named(place: Place) -> None:
    path = place.folder / "letter.txt"
    path.write_text("Dear database, " * 100)
    refused = place.run("migrate", "up", DATABASE_URL=f"sqlite:///{path}")
    assert refused.returncode == 3
    assert "not a SQLite database" in refused.stderr
