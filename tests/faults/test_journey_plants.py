"""`dashtam smoke` against real servers, sound and broken: it names the step at which a fault shows, and why.

One test a plant. The exit codes are those of `dashtam --help`: 0 all passed, 1 a step failed, 3 nobody there.
"""

import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text

from dashtam.core.db import Database
from dashtam.core.tables import Table
from tests.faults.conftest import NewSite
from tests.faults.site import Site

PATIENCE_SECONDS = "2"
TABLES = tuple(Table.metadata.tables)


@dataclass(frozen=True, slots=True)
class Played:
    """What a journey came to: exit code, the report as data, and what a person read."""

    code: int
    report: dict[str, Any]
    words: str

    @property
    def failing(self) -> tuple[int, str]:
        """Number and name of the step that failed."""
        failure = self.report["failure"]
        return failure["number"], failure["name"]

    @property
    def left_behind(self) -> str | None:
        """The address of the account that could not be removed."""
        address: str | None = self.report["clean_up"]["left_behind"]
        return address


def smoke(url: str) -> Played:
    """Play the journey as a person would."""
    environment = {name: value for name, value in os.environ.items() if "SMOKE" not in name}
    done = subprocess.run(
        (sys.executable, "-m", "dashtam", "smoke", url, "--json", "-", "--patience", PATIENCE_SECONDS),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout, done.stderr
    return Played(done.returncode, json.loads(done.stdout), " ".join(done.stderr.split()))


async def execute(site: Site, *statements: str) -> None:
    """Do this to the database behind the servers' backs."""
    rows = Database(site.database_url, pool_size=1)
    async with rows.write() as db:
        for statement in statements:
            await (await db.connection()).execute(text(statement))
    await rows.dispose()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_sound_server_passes(new_site: NewSite, kind: str) -> None:
    with new_site(kind) as site:
        played = smoke(site.url)
    assert played.code == 0, played.words
    assert played.report["failure"] is None
    assert played.left_behind is None
    assert "18/18" in played.words


def test_slow_commits_alone_harm_nobody(new_site: NewSite) -> None:
    with new_site("sqlite", slow_commit=0.1) as site:
        assert smoke(site.url).code == 0


def test_a_stopped_server_is_said_to_be_stopped(new_site: NewSite) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    played = smoke(f"http://127.0.0.1:{port}")
    assert played.code == 3
    assert played.failing == (1, "register")
    assert f"Nothing answers at http://127.0.0.1:{port}" in played.words
    assert "dashtam up" in played.words
    assert played.left_behind is None


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_a_missing_table_is_named(new_site: NewSite, kind: str) -> None:
    with new_site(kind) as site:
        await execute(site, "DROP TABLE sessions")
        played = smoke(site.url)
    assert played.code == 1
    assert played.failing == (3, "verify the address")
    assert "sessions" in played.words
    assert "dashtam migrate up" in played.words
    assert played.left_behind == played.report["address"]


async def test_a_stamped_but_empty_database_is_seen_through(new_site: NewSite) -> None:
    with new_site("postgresql") as site:
        await execute(site, *(f"DROP TABLE {name} CASCADE" for name in TABLES))
        played = smoke(site.url)
    assert played.code == 1
    assert played.failing == (1, "register")
    assert "7 tables missing" in played.words
    assert "the version table says 0001, but nothing is there" in played.words
    assert "dashtam migrate up" in played.words
    assert "Clean-up" in played.words


def test_verification_mails_that_never_come_are_missed(new_site: NewSite) -> None:
    with new_site("sqlite", plant="verification_mail_lost") as site:
        played = smoke(site.url)
    assert played.code == 1
    assert played.failing == (2, "receive the verification mail")
    assert "no mail at all" in played.words
    assert "delivery worker" in played.words
    assert played.left_behind == played.report["address"]


def test_sessions_that_a_reset_does_not_end_are_found(new_site: NewSite) -> None:
    with new_site("sqlite", plant="revocation_off") as site:
        played = smoke(site.url)
    assert played.code == 1
    assert played.failing == (14, "the old refresh tokens are refused")
    assert "A reset must end every session" in played.words
    assert played.left_behind is None


def test_access_tokens_of_dead_sessions_are_found(new_site: NewSite) -> None:
    with new_site("sqlite", plant="sessions_cached") as site:
        played = smoke(site.url)
    assert played.code == 1
    assert played.failing == (15, "the old access tokens are refused")
    assert "A signature that is still good is not enough" in played.words
    assert played.left_behind is None


@pytest.mark.parametrize(
    ("kind", "step"),
    [
        ("postgresql", (4, "log in")),
        # The one writing connection of SQLite lets the login wait for the verification; reading does not wait.
        ("sqlite", (9, "update the profile")),
    ],
)
def test_an_answer_before_its_commit_is_found(new_site: NewSite, kind: str, step: tuple[int, str]) -> None:
    with new_site(kind, plant="commit_after_response", slow_commit=0.1) as site:
        played = smoke(site.url)
    assert played.code == 1
    assert played.failing == step
    assert "The server must commit before it answers" in played.words
    assert played.left_behind is None


@pytest.mark.parametrize("plant", ["refresh_forks_generations", "refresh_forks_sessions"])
def test_a_refresh_that_forks_is_found(new_site: NewSite, plant: str) -> None:
    with new_site("sqlite", plant=plant) as site:
        played = smoke(site.url)
    assert played.code == 1
    assert played.failing == (8, "replay the spent refresh token")
    assert "a second, different refresh token: a fork" in played.words
    assert played.left_behind is None
