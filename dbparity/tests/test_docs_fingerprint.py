"""What the page on fingerprints says is what happens: its commands run, its tables are those of the code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pages import EXAMPLES, blocks, keys, page, rows
from test_docs_examples import QUIET

from dbparity.fingerprint import FORMAT, Effect
from dbparity.fingerprint.compare_command import ALIKE, DIFFERENT, USAGE
from dbparity.fingerprint.packages import Role
from dbparity.fingerprint.rating import rated
from dbparity.fingerprint.rating_postgresql import SETTINGS
from dbparity.fingerprint.rating_tables import PACKAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = page("fingerprint.md")


def told(heading: str) -> Iterator[tuple[str, str]]:
    """Each name of a table's first column with the rating beside it."""
    for names, rating in rows(PAGE, heading):
        yield from ((name, rating.strip("`")) for name in names.split("`")[1::2])


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A copy of an example, with a database that its tests have made."""
    folder = tmp_path / "shop"
    shutil.copytree(
        EXAMPLES / "sync_sqlmodel", folder, ignore=shutil.ignore_patterns("*.db", "__pycache__", ".*")
    )
    return folder


def test_the_commands_run_one_after_the_other(shop: Path) -> None:
    named = {name: value for name, value in os.environ.items() if not name.endswith("DATABASE_URL")}
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    quiet = " ".join(f"'{each}'" for each in QUIET)
    environment = named | {"PATH": path, "PYTEST_ADDOPTS": quiet, "DBPARITY_HOME": str(shop / "home")}
    done = [
        subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=shop,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        for script in blocks(PAGE, "sh")
    ]
    assert [each.returncode for each in done] == [0, 0, 0, 0], done
    assert "no difference" in done[-1].stdout
    assert "4 passed" in done[-1].stderr
    sections = set(json.loads((shop / "mine.json").read_text())) | set(
        json.loads((shop / "ci.json").read_text())
    )
    listed = set(keys(PAGE, "section")) - {"sessions"}  # the example has no factory of its own
    assert sections - {"kind", "format", "about"} == listed


def test_the_ratings_are_those_of_the_code() -> None:
    assert keys(PAGE, "rating") == list(map(str, Effect))
    settings = dict(told("setting"))
    assert len(settings) > 15
    assert settings == {name: rated(SETTINGS, name).effect for name in settings}
    roles = dict(told("role"))
    assert roles == {str(role): str(effect) for role, (effect, _) in PACKAGES.items()}
    assert set(roles) == set(map(str, Role))


def test_exit_codes_and_format() -> None:
    assert (ALIKE, DIFFERENT, USAGE, FORMAT) == (0, 1, 2, 1)
    text = " ".join(PAGE.split())
    assert "0 where nothing can change results, 1 where something can, 2 for a wrong command" in text
