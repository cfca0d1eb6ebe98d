"""What testing.md shows is typed in a checkout and does what the page says."""

import sys
from pathlib import Path

import pytest

from scripts.workflow import FILE, read
from tests.docs.reading import ROOT, rows
from tests.docs.shell import Shell, commands, tree

PAGE = "docs/testing.md"
TEXT = (ROOT / PAGE).read_text("utf-8")
SERVERS = ("TEST_POSTGRES_URL", "TEST_POSTGRES_URL_FILE")
PARTS = (
    "Makefile",
    "pyproject.toml",
    "requirements",
    "scripts",
    "src",
    "tests",
    "env",
    "dbparity",
    ".github",
)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A terminal in a checkout in which `make` has been before: the environment is that of this run."""
    checkout = tree(tmp_path_factory.mktemp("checkout"), *PARTS)
    environment = checkout / ".venv"
    environment.mkdir()
    for entry in Path(sys.prefix).iterdir():
        if not entry.name.startswith("."):
            (environment / entry.name).symlink_to(entry)
    for stamp in (".runtime", ".dev"):
        (environment / stamp).touch()
    # As on a developer's machine, whatever this run was told: nothing is measured, required or elsewhere.
    names = ("MAKEFLAGS", "CI", "COVERAGE_PROCESS_CONFIG", "DASHTAM_REQUIRE_POSTGRES", *SERVERS)
    return Shell(checkout, dict.fromkeys(names, ""))


@pytest.mark.parametrize(
    ("heading", "said"),
    [
        ("## Some tests", ["test_smoke_health_check[sqlite] PASSED", "test_smoke_health_check[postgresql]"]),
        ("## On one database", ["1 passed, 1 skipped"]),
        ("## Isolation", ["isolation clone", "1 passed"]),
        ("## Races and crashes", ["1 passed"]),
        ("## In CI", ["lint and types", "required: success"]),
    ],
    ids=lambda value: value.strip("# ") if isinstance(value, str) else "",
)
def test_what_a_section_shows_works(shell: Shell, heading: str, said: list[str]) -> None:
    shown = "".join(shell.run(block) for block in commands(PAGE, heading))
    for each in said:
        assert each in shown


def test_every_section_with_commands_is_played() -> None:
    (mark,) = (mark for mark in test_what_a_section_shows_works.pytestmark if mark.name == "parametrize")  # type: ignore[attr-defined]
    played = [command for heading, _ in mark.args[1] for command in commands(PAGE, heading)]
    assert sorted(played) == sorted(commands(PAGE))


def test_the_table_lists_every_job() -> None:
    listed = [row[0].strip("`") for row in rows(TEXT, "job")]
    assert listed == list(read(FILE.read_text("utf-8"))["jobs"])
