"""`dashtam` as a whole: help, exit codes, and errors nobody foresaw."""

from typing import Any

import pytest
from typer.main import get_command

from dashtam import __version__
from dashtam.cli import app
from dashtam.cli.exit_codes import MEANINGS, ExitCode
from dashtam.cli.trouble import Refusal, refusal
from dashtam.core.problems import PASSWORD_BLOCKED
from tests.cli.running import Place


def test_help_lists_every_command_and_every_exit_code(place: Place) -> None:
    shown = " ".join(place.run("--help").stdout.split())
    for name in ("up", "serve", "smoke", "migrate", "keys", "users", "mail"):
        assert f" {name} " in shown
    for code, meaning in MEANINGS.items():
        assert f"{code.value} {meaning}" in shown
    assert set(MEANINGS) == set(ExitCode)


def test_every_command_and_option_explains_itself() -> None:
    assert unexplained(get_command(app), "dashtam") == []


def unexplained(command: Any, path: str) -> list[str]:
    bare = [] if command.help else [path]
    bare += [
        f"{path} {each.name}" for each in command.params if not (each.help or getattr(each, "hidden", False))
    ]
    for name, below in getattr(command, "commands", {}).items():
        bare += unexplained(below, f"{path} {name}")
    return bare


def test_the_version_is_said(place: Place) -> None:
    assert place.run("--version").stdout == f"dashtam {__version__}\n"


def test_an_unknown_command_is_a_usage_error(place: Place) -> None:
    assert place.run("frobnicate").returncode == ExitCode.USAGE


def test_a_refusal_of_the_service_keeps_its_own_words() -> None:
    found = refusal(PASSWORD_BLOCKED())
    assert found is not None
    assert (found.words, found.code) == (PASSWORD_BLOCKED.detail, ExitCode.FAILED)


def test_a_fault_of_ours_is_not_dressed_up_as_yours() -> None:
    assert refusal(ZeroDivisionError("division by zero")) is None


def test_what_a_refusal_says_is_what_is_shown() -> None:
    given = Refusal("No.", ExitCode.PORT_BUSY)
    assert refusal(given) is given


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "no connection (Connection refused)"),
        (TimeoutError(), "it does not answer"),
        (PermissionError(13, "Permission denied"), "may not be written to"),
    ],
)
def test_a_database_that_cannot_be_reached_is_said_so(error: OSError, words: str) -> None:
    found = refusal(error)
    assert found is not None
    assert words in found.words
    assert found.code is ExitCode.UNREACHABLE
