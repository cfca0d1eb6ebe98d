"""Every `make` and `dashtam` command that a page shows exists, with the options it is shown with."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from dashtam.cli import app
from tests.docs.reading import PAGES, ROOT, command_lines, name, rows

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
VERBS = set(re.findall(r"^([a-z]+):.*##", MAKEFILE, re.MULTILINE))
VARIABLES = set(re.findall(r"^([A-Z_]+) \?=", MAKEFILE, re.MULTILINE))
COMMANDS: Any = get_command(app)
LINES = [(page, line) for page in PAGES for line in dict.fromkeys(command_lines(page.read_text("utf-8")))]


def words(line: str) -> list[str]:
    """The words of a command up to where the shell would take over."""
    found = shlex.split(line, comments=True)
    stops = [at for at, word in enumerate(found) if word in {"|", "&", "&&", ">", ";"}]
    return found[1 : stops[0] if stops else None]


def faults_of_make(line: str) -> list[str]:
    """What is wrong with a `make` command."""
    faults = []
    for word in words(line):
        variable, given, value = word.partition("=")
        if not given and word not in VERBS:
            faults.append(f"no verb {word}")
        elif given and variable not in VARIABLES:
            faults.append(f"no variable {variable}")
        elif variable == "ARGS" and value.startswith("tests") and not (ROOT / value.split()[0]).exists():
            faults.append(f"no {value}")
    return faults


def faults_of_dashtam(line: str) -> list[str]:
    """What is wrong with a `dashtam` command; the bare name of a group is a way to speak of it."""
    command, rest = COMMANDS, words(line)
    while rest and (inner := getattr(command, "commands", {}).get(rest[0])):
        command, rest = inner, rest[1:]
    if getattr(command, "commands", {}) and rest and not rest[0].startswith("-"):
        return [f"no command {rest[0]}"]
    options = {option: p for p in command.params for option in (*p.opts, *p.secondary_opts)} | {
        "--help": None
    }
    faults, most = [], sum(p.opts == [p.name] for p in command.params)
    while rest:
        word, *rest = rest
        if word.startswith("-") and word != "-":
            if word not in options:
                faults.append(f"no option {word}")
            elif (p := options[word]) is not None and not p.is_flag:
                rest = rest[1:]
        else:
            most -= 1
    return faults if most >= 0 else [*faults, "too many arguments"]


def faults(line: str) -> list[str]:
    """What is wrong with a command."""
    return faults_of_make(line) if line.startswith("make ") else faults_of_dashtam(line)


@pytest.mark.parametrize(("page", "line"), LINES, ids=[f"{name(page)}: {line}" for page, line in LINES])
def test_a_command_that_is_shown_exists(page: Path, line: str) -> None:
    assert faults(line) == [], page


@pytest.mark.parametrize(
    "line",
    [
        "make nothing",
        "make up PROT=9000",
        'make test ARGS="tests/nowhere -v"',
        "dashtam diagnose",
        "dashtam keys revoke",
        "dashtam smoke --xml result.xml",
        "dashtam serve one",
    ],
)
def test_a_command_that_does_not_exist_is_found(line: str) -> None:
    assert faults(line) != []


def test_commands_were_found_at_all() -> None:
    shown = {line for _, line in LINES}
    assert {"make up", "make test", "dashtam keys rotate", "dashtam migrate up"} <= shown


def test_contributing_lists_every_verb() -> None:
    listed = {
        row[0].strip("`").removeprefix("make ")
        for row in rows((ROOT / "CONTRIBUTING.md").read_text("utf-8"), "verb")
    }
    assert listed == VERBS - {"help"}


def test_contributing_lists_every_folder_of_tests() -> None:
    listed = {row[0].strip("`/") for row in rows((ROOT / "CONTRIBUTING.md").read_text("utf-8"), "folder")}
    there = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("tests/*/test_*.py")}
    assert there | {"dbparity/tests"} <= listed
