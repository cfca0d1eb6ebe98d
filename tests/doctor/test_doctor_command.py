"""`dashtam doctor` as a command: what it says, what it leaves alone, and the code it ends with."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import PASSWORD, SECRET, Place, free_port, read_until

UP = "Ctrl-C stops the server."
TOKEN = "Hq4mTz9xWc2vKd7pRb5nYs8fJg3tLa6eXo1u"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A deployment that is migrated, and serves nothing."""
    place = Place(tmp_path_factory.mktemp("deployment"))
    assert place.run("migrate", "up").returncode == 0
    return place


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, str]]:
    """A deployment as `dashtam up` leaves it, and its address. Its secret is made by itself."""
    port = free_port()
    place = Place(tmp_path_factory.mktemp("up"), SECRET_KEY="", ENVIRONMENT="dev", PORT=str(port))
    with place.started("up") as process:
        read_until(process, UP)
        yield place, f"http://127.0.0.1:{port}"


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with its mode and what it holds, but for what a running database keeps in memory."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("-shm"))
    return {str(path): (path.stat().st_mode, path.read_bytes()) for path in files}


def test_what_dashtam_up_made_is_well_from_inside_and_from_outside(running: tuple[Place, str]):
    place, _ = running
    said = place.run("doctor")
    assert (said.returncode, said.stderr) == (0, ""), said.stdout
    assert [mark for mark in ("✗", "!", "→") if mark in said.stdout] == []
    assert "The server answers" in said.stdout
    assert "The database answers" in said.stdout


def test_what_the_terminal_cannot_show_is_written_out(place: Place):
    said = place.run("doctor", "--local", **{"SMTP_URI\udcff": "x", "PYTHONIOENCODING": "iso-8859-1"})
    assert (said.returncode, said.stderr) == (5, "")
    assert "SMTP_URI\\udcff" in said.stdout


def test_from_outside_a_url_is_all_it_needs(running: tuple[Place, str], tmp_path: Path):
    _, url = running
    said = Place(tmp_path).run("doctor", url, "--json")
    report = json.loads(said.stdout)
    assert (said.returncode, report["verdict"]) == (0, "ok"), said.stdout
    assert not [check for check in report["checks"] if check["name"].startswith("settings")]
    assert contents(tmp_path) == {}


def test_the_host_that_is_given_is_sent_and_what_follows_from_a_refusal_is_only_counted(
    running: tuple[Place, str],
):
    place, url = running
    said = place.run("doctor", url, "--host", "auth.example.org")
    assert (said.returncode, "refuses this Host with 421" in said.stdout) == (3, True)
    assert said.stdout.count("The server is ready") == 0
    assert "not examined, 1 failing." in said.stdout.splitlines()[-1]


def test_what_is_examined_is_left_as_it_is(place: Place):
    before = contents(place.folder)
    said = place.run("doctor", "--local", "--json")
    assert contents(place.folder) == before
    report = json.loads(said.stdout)
    assert (said.returncode, report["verdict"]) == (0, "ok"), said.stdout
    assert set(report) == {"verdict", "seconds", "checks"}
    fields = {"name", "title", "verdict", "evidence", "remedy", "seconds"}
    assert {field for check in report["checks"] for field in check} == fields
    assert all(check["evidence"] for check in report["checks"])


def test_something_to_look_at_ends_it_with_5(place: Place):
    said = place.run("doctor", "--local", SMPT_URL="smtp://mailer:pq7-hidden@mail.example.org")
    assert said.returncode == 5
    assert "! No variable is a misspelt setting: SMPT_URL is not read (SMTP_URL is)" in said.stdout
    assert "→ Rename the variable" in said.stdout
    assert "pq7-hidden" not in said.stdout + said.stderr


def test_something_that_fails_ends_it_with_1_and_no_secret_is_shown(place: Place):
    said = place.run("doctor", "--local", SMOKE_TOKEN=SECRET)
    assert said.returncode == 1
    assert "✗ No secret serves twice: the same secret serves as SECRET_KEY and SMOKE_TOKEN" in said.stdout
    assert SECRET not in said.stdout + said.stderr


def test_bad_settings_end_it_with_2_and_are_named_without_their_values(place: Place):
    said = place.run("doctor", "--json", DATABASE_POOL_SIZE="-7341", SMOKE_TOKEN="short-and-hidden")
    assert said.returncode == 2
    report = json.loads(said.stdout)
    found = {check["name"]: check for check in report["checks"] if check["verdict"] == "failure"}
    assert set(found) == {"settings.valid"}
    assert "DATABASE_POOL_SIZE" in found["settings.valid"]["evidence"]
    assert [
        value for value in ("7341", "short-and-hidden", "Traceback") if value in said.stdout + said.stderr
    ] == []


@pytest.mark.parametrize(
    "url",
    ["", f"postgresql://dashtam:{PASSWORD.replace(' ', '-')}@127.0.0.1:{free_port()}/dashtam"],
    ids=["no file yet", "no server"],
)
def test_a_database_that_is_not_there_ends_it_with_3_and_is_not_made(tmp_path: Path, url: str):
    said = Place(tmp_path).run("doctor", "--local", DATABASE_URL=url)
    assert (said.returncode, said.stderr) == (3, "")
    assert "✗ The database answers" in said.stdout
    assert PASSWORD.replace(" ", "-") not in said.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_is_gone_from_its_folder_is_not_made_either(tmp_path: Path):
    place = Place(tmp_path, SECRET_KEY="")
    (tmp_path / "var").mkdir(mode=0o700)
    assert place.run("doctor", "--local").returncode == 3
    assert contents(tmp_path) == {}


def test_a_server_that_is_not_there_ends_it_with_3(tmp_path: Path):
    said = Place(tmp_path).run("doctor", f"http://127.0.0.1:{free_port()}")
    assert (said.returncode, said.stderr) == (3, "")
    assert "✗ The server answers" in said.stdout


@pytest.mark.parametrize(
    "arguments", [("--local", "http://127.0.0.1:1"), ("not-a-url",), ("--host", "x.example.org")]
)
def test_a_wrong_command_line_ends_it_with_2(tmp_path: Path, arguments: tuple[str, ...]):
    said = Place(tmp_path).run("doctor", *arguments)
    assert said.returncode == 2
    assert "Traceback" not in said.stderr
