"""Each symptom of troubleshooting.md, really planted: its commands show what the page says they show."""

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import pytest

from dashtam.cli.mail import State
from dashtam.doctor import LOCAL, REMOTE
from dashtam.settings import load
from tests.cli.running import free_port
from tests.core.mail_rig import Misbehaving, rigged
from tests.docs.reading import ROOT, codes, rows
from tests.docs.shell import Shell, commands

PAGE = "docs/troubleshooting.md"
TEXT = (ROOT / PAGE).read_text("utf-8")
SECRET = "Zk3vQx8pLw2nRt6yBs9dHf4gJm7cXa5eUo1i-trouble"
PORT = "8000"


def serving(folder: Path, port: str) -> Shell:
    """A shell in which a server was started that answers."""
    shell = Shell(folder, {"SECRET_KEY": SECRET, "PORT": port})
    shell.run(
        "dashtam serve --port $PORT & until curl -s -o out http://127.0.0.1:$PORT/health/live; do sleep 0.1; done"
    )
    return shell


@pytest.fixture(scope="module")
def port() -> str:
    return str(free_port())


@pytest.fixture(scope="module")
def well(tmp_path_factory: pytest.TempPathFactory, port: str) -> Iterator[Shell]:
    """A sound deployment that serves."""
    folder = tmp_path_factory.mktemp("well")
    with Shell(folder, {"SECRET_KEY": SECRET}) as shell:
        shell.run("dashtam migrate up")
    with serving(folder, port) as shell:
        yield shell


def shown(shell: Shell, heading: str, *, ends: str = "!", replace: dict[str, str] | None = None) -> str:
    """What the first commands of a section show; `ends` is how its doctor ends: with a complaint, or "" well."""
    script = commands(PAGE, f"## {heading}")[0].replace("dashtam doctor", f"{ends} dashtam doctor".strip())
    said = shell.run(script, replace=replace)
    for block in commands(PAGE, f"## {heading}", language="text"):
        for line in block.splitlines():
            assert line in said, said
    return said


def test_a_start_that_is_refused(tmp_path: Path) -> None:
    with Shell(tmp_path, {"SECRET_KEY": "short", "SESSION_IDLE_SECOND": "60"}) as shell:
        assert "SESSION_IDLE_SECONDS" in shown(shell, "The start is refused")


def test_a_server_without_tables(tmp_path: Path, port: str) -> None:
    own, database = str(free_port()), tmp_path / "var" / "dashtam.db"
    database.parent.mkdir(mode=0o700)
    database.touch(0o600)
    with serving(tmp_path, own) as shell:
        assert "dashtam migrate up" in shown(shell, "The server is not ready", replace={PORT: own})
        assert '{"status":"ready"}' in shell.run(
            commands(PAGE, "## The server is not ready")[1], replace={PORT: own}
        )


def test_a_host_that_is_not_answered(well: Shell, port: str) -> None:
    shown(well, "Every request is answered 421", replace={PORT: port})


def test_a_proxy_that_is_not_named(tmp_path: Path, well: Shell) -> None:
    copied(well.folder, tmp_path)
    with Shell(tmp_path, {"SECRET_KEY": SECRET, "PUBLIC_URL": "https://auth.example.org"}) as shell:
        said = shown(shell, "Everybody is told to wait").splitlines()
    (report,) = commands("docs/doctor.md", "## Read the answer", language="text")
    assert [line for line in report.splitlines() if line not in said] == []


def test_mail_that_nobody_takes(tmp_path: Path, well: Shell) -> None:
    copied(well.folder, tmp_path)
    asyncio.run(tried_in_vain(tmp_path))
    nowhere = {"MAIL_TRANSPORT": "smtp", "SMTP_URL": f"smtp://127.0.0.1:{free_port()}"}
    with Shell(tmp_path, {"SECRET_KEY": SECRET, **nowhere, "MAIL_FROM": "no-reply@example.org"}) as shell:
        assert "stuck" in shown(shell, "Mail does not arrive")
        assert "1 due now" in shell.run(commands(PAGE, "## Mail does not arrive")[1])


def test_another_secret_than_the_database_was_made_with(tmp_path: Path, well: Shell) -> None:
    copied(well.folder, tmp_path)
    with Shell(tmp_path, {"SECRET_KEY": SECRET[::-1]}) as shell:
        shown(shell, "Everybody is logged out")


def test_a_program_that_keeps_the_lock(tmp_path: Path, well: Shell) -> None:
    copied(well.folder, tmp_path)
    with (
        Shell(tmp_path, {"SECRET_KEY": SECRET}) as shell,
        closing(sqlite3.connect(tmp_path / "var" / "dashtam.db", isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        shown(shell, "A migration or a write waits")


def test_what_a_hash_costs_is_measured(well: Shell) -> None:
    assert re.search(
        r"\d+ ms a hash .+ at most \d+ logins a second", shown(well, "Logging in is slow", ends="")
    )


def test_what_those_who_verify_tokens_need(well: Shell, port: str) -> None:
    shown(well, "Tokens are refused elsewhere", ends="", replace={PORT: port})


def test_the_states_of_a_mail_that_are_named_are_those_that_mail_list_shows() -> None:
    states = [row[0].partition(",")[0].strip("`") for row in rows(TEXT, "the outbox")]
    assert set(states) == {*get_args(State), "empty"} - {"sent"}


def test_the_checks_that_are_named_exist() -> None:
    names = {*(check.name for check in LOCAL), *(check.name for check in REMOTE)}
    areas = {name.partition(".")[0] for name in names}
    named = {
        word for word in codes(TEXT) if re.fullmatch(r"[a-z]+\.[a-z_]+", word) and word.split(".")[0] in areas
    }
    assert len(named) >= 6
    assert named - names == set()


def copied(from_folder: Path, to_folder: Path) -> None:
    """The database of a deployment, in another folder."""
    (to_folder / "var").mkdir(mode=0o700)
    path = to_folder / "var" / "dashtam.db"
    path.touch(0o600)
    with (
        closing(sqlite3.connect(from_folder / "var" / "dashtam.db")) as there,
        closing(sqlite3.connect(path)) as here,
    ):
        there.backup(here)
        here.execute("PRAGMA journal_mode=WAL")


async def tried_in_vain(folder: Path) -> None:
    """Put a mail into the outbox that was not taken."""
    async with rigged(load(database_url=f"sqlite:///{folder}/var/dashtam.db", secret_key=SECRET)) as rig:
        rig.clock.at = datetime.now(UTC)
        await rig.queue("defer@example.org")
        await rig.delivery(Misbehaving()).deliver_due()
