"""`dashtam users`, `keys` and `mail`: what an operator does by hand, against a server that runs."""

import asyncio
import json
import sqlite3
from contextlib import closing

import httpx2
import pytest

from dashtam.core.clock import Clock
from dashtam.core.service import build
from dashtam.settings import load
from tests.cli.running import PASSWORD, Place


@pytest.fixture
def migrated(any_place: Place) -> Place:
    assert any_place.run("migrate", "up").returncode == 0
    return any_place


def create(place: Place, email: str, *options: str, password: str = PASSWORD) -> "tuple[int, str, str]":
    command = ("users", "create", email, "--name", "Ann", "--password-stdin", *options)
    made = place.run(*command, stdin=f"{password}\n")
    return made.returncode, made.stdout, made.stderr


def call(url: str, body: dict[str, str] | None = None, bearer: str = "") -> tuple[int, dict[str, str]]:
    """POST with a body, GET without."""
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    answer = httpx2.request(
        "GET" if body is None else "POST", url, json=body, headers=headers, trust_env=False
    )
    return answer.status_code, answer.json()


def test_an_account_is_made_shown_disabled_and_enabled(migrated: Place) -> None:
    code, out, _ = create(migrated, "Ann@Example.org", "--verified", "--json")
    made = json.loads(out)
    assert (code, made["email"], made["is_active"], made["sessions"]) == (0, "Ann@Example.org", True, 0)
    assert made["email_verified_at"] is not None

    shown = migrated.run("users", "show", "ANN@example.org")
    assert "state     active" in shown.stdout
    disabled = json.loads(migrated.run("users", "disable", made["id"], "--json").stdout)
    assert (disabled["id"], disabled["is_active"]) == (made["id"], False)
    enabled = json.loads(migrated.run("users", "enable", "ann@example.org", "--json").stdout)
    assert enabled["is_active"] is True


def test_an_account_made_by_hand_logs_in_and_is_refused_at_once_when_disabled(
    serving: tuple[Place, str],
) -> None:
    place, url = serving
    assert create(place, "bob@example.org", "--verified")[0] == 0
    login = {"email": "bob@example.org", "password": PASSWORD}
    status, pair = call(f"{url}/api/v1/auth/login", login)
    assert status == 200
    assert call(f"{url}/api/v1/auth/me", bearer=pair["access_token"])[0] == 200

    assert place.run("users", "disable", "bob@example.org").returncode == 0
    assert call(f"{url}/api/v1/auth/me", bearer=pair["access_token"])[0] == 401
    assert call(f"{url}/api/v1/auth/refresh", {"refresh_token": pair["refresh_token"]})[0] == 401
    assert call(f"{url}/api/v1/auth/login", login)[0] == 401

    assert place.run("users", "enable", "bob@example.org").returncode == 0
    assert call(f"{url}/api/v1/auth/me", bearer=pair["access_token"])[0] == 401, "what was ended stays ended"
    assert call(f"{url}/api/v1/auth/login", login)[0] == 200


def test_bad_input_for_an_account_is_refused_in_plain_words(serving: tuple[Place, str]) -> None:
    place, _ = serving
    assert create(place, "twice@example.org")[0] == 0
    for made, code, words in (
        (
            create(place, "Twice@example.org"),
            1,
            "There is an account with the address twice@example.org already.",
        ),
        (create(place, "short@example.org", password="short"), 1, "A password needs at least 15 characters"),
        (create(place, "no address"), 2, "The address must be an e-mail address"),
        (create(place, "none@example.org", password=""), 2, "There is no password on standard input."),
    ):
        assert made[0] == code
        assert words in made[2]
        assert "Traceback" not in made[2]
    unknown = place.run("users", "show", "nobody@example.org")
    assert (unknown.returncode, unknown.stderr) == (1, "There is no account nobody@example.org.\n")
    assert place.run("users", "disable", "not-an-id").returncode == 2


def test_no_password_is_taken_from_the_command_line(place: Place) -> None:
    refused = place.run("users", "create", "a@example.org", "--name", "A", "--password", PASSWORD)
    assert refused.returncode == 2
    assert "No such option" in refused.stderr


def test_keys_are_listed_and_rotated_and_a_second_rotation_waits_for_the_first(place: Place) -> None:
    place.run("migrate", "up")
    assert "no keys yet" in place.run("keys", "list").stdout
    rotated = json.loads(place.run("keys", "rotate", "--json").stdout)
    assert rotated["state"] == "upcoming"
    states = [key["state"] for key in json.loads(place.run("keys", "list", "--json").stdout)["keys"]]
    assert states == ["signing", "upcoming"]
    again = place.run("keys", "rotate")
    assert again.returncode == 1
    assert "A rotation is already under way" in again.stderr
    listed = place.run("keys", "list").stdout
    assert rotated["kid"] in listed
    assert "PRIVATE" not in listed


def test_keys_of_another_secret_are_refused_in_plain_words(place: Place) -> None:
    place.run("migrate", "up")
    assert place.run("keys", "rotate").returncode == 0
    refused = place.run("keys", "rotate", SECRET_KEY="pQ7x-another-one-Zr4vLk9mWt2bNs6hYd3gFc8jE5u")
    assert refused.returncode == 1
    assert "SECRET_KEY" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_every_command_that_needs_the_database_says_that_it_is_missing_or_not_migrated(place: Place) -> None:
    for command in (("users", "show", "a@example.org"), ("keys", "list"), ("mail", "list")):
        missing = place.run(*command)
        assert (missing.returncode, "`dashtam migrate up`" in missing.stderr) == (3, True)
    (place.folder / "var").mkdir()
    (place.folder / "var" / "dashtam.db").touch()
    for command in (("users", "show", "a@example.org"), ("keys", "list"), ("mail", "list")):
        empty = place.run(*command)
        assert (empty.returncode, "`dashtam migrate up`" in empty.stderr) == (1, True)


def test_mail_waits_is_stuck_is_retried_and_delivered(place: Place) -> None:
    """One that cannot be delivered (nothing listens), then the same one to a mailbox that takes it."""
    place.run("migrate", "up")
    queue_mail(place)
    smtp = {"MAIL_TRANSPORT": "smtp", "SMTP_URL": "smtp://127.0.0.1:9"}
    assert states(place) == ["waiting"]

    tried = place.run("mail", "deliver", **smtp)
    assert (tried.returncode, tried.stdout) == (1, "0 sent, 1 put off, 0 given up.\n")
    assert states(place) == ["stuck"]
    assert "no connection to the mail server" in place.run("mail", "list").stdout

    assert place.run("mail", "retry").stdout == "1 due now.\n"
    delivered = place.run("mail", "deliver", "--json")
    assert (delivered.returncode, json.loads(delivered.stdout)["sent"]) == (0, 1)
    assert place.run("mail", "list").stdout == "The outbox is empty.\n"
    assert states(place, "--all") == ["sent"]


def test_what_cannot_be_retried_is_said(place: Place) -> None:
    place.run("migrate", "up")
    unknown = place.run("mail", "retry", "01900000-0000-7000-8000-000000000000")
    assert unknown.returncode == 1
    assert "There is no stuck mail" in unknown.stderr
    assert place.run("mail", "retry", "the last one").returncode == 2
    assert place.run("mail", "deliver", MAIL_TRANSPORT="memory").returncode == 2


def states(place: Place, *options: str) -> list[str]:
    listed = json.loads(place.run("mail", "list", "--json", *options).stdout)
    return [mail["state"] for mail in listed["mails"]]


def queue_mail(place: Place) -> None:
    """As the service does it, with the deployment's own SECRET_KEY."""

    async def queue() -> None:
        database = f"sqlite:///{place.folder / 'var' / 'dashtam.db'}"
        service = build(
            load(secret_key=place.environment["SECRET_KEY"], database_url=database, var_dir=place.folder),
            Clock(),
        )
        async with service.database.write() as db:
            service.outbox.queue(db, "password-changed", "ann@example.org", service.clock.now())
        service.passwords.close()
        await service.database.dispose()

    asyncio.run(queue())
    with closing(sqlite3.connect(place.folder / "var" / "dashtam.db")) as database:
        assert database.execute("SELECT count(*) FROM mail_outbox").fetchone() == (1,)
