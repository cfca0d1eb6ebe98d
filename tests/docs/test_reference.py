"""The reference pages are what the code makes of them, and a stale one is named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dashtam.core.problems import CATALOGUE
from dashtam.settings import Settings
from scripts import reference
from tests.docs.reading import ROOT

SCRIPT = ROOT / "scripts" / "reference.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The pages as they must be, to spoil."""
    reference.write(tmp_path / "reference")
    return tmp_path / "reference"


def check(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--check", "--folder", str(folder)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, env={**os.environ, **environment}
    )


def test_the_pages_in_the_tree_are_current() -> None:
    assert reference.stale(reference.FOLDER) == []


def test_pages_are_the_same_whatever_the_machine_is_set_up_for(folder: Path) -> None:
    checked = check(
        folder, API_V1_PREFIX="/elsewhere", PASSWORD_MIN_LENGTH="8", PYTHONHASHSEED="7", COLUMNS="40"
    )
    assert checked.returncode == 0, checked.stderr


def test_a_stale_page_is_named_and_nothing_is_written(folder: Path) -> None:
    page = folder / "settings.md"
    page.write_text(page.read_text("utf-8").replace("`SECRET_KEY`", "`SECRET`"), "utf-8")
    spoilt = page.read_bytes()
    checked = check(folder)
    assert checked.returncode == 1
    assert "reference/settings.md" in checked.stderr
    assert "problems.md" not in checked.stderr
    assert "make docs" in checked.stderr
    assert page.read_bytes() == spoilt


def test_a_missing_page_and_one_too_many_are_named(folder: Path) -> None:
    (folder / "cli.md").unlink()
    (folder / "environments.md").write_text("# Left over\n", "utf-8")
    assert reference.stale(folder) == ["cli.md", "environments.md"]


def test_writing_mends_a_stale_page(folder: Path) -> None:
    (folder / "api.md").write_text("# Nothing\n", "utf-8")
    assert reference.main(["--folder", str(folder)]) == 0
    assert reference.main(["--check", "--folder", str(folder)]) == 0


def test_every_setting_has_a_row_and_a_meaning() -> None:
    text = reference.settings_page()
    for field, info in Settings.model_fields.items():
        assert text.count(f"| `{field.upper()}` |") == 1
        assert info.description, f"{field} has no description"


def test_every_problem_has_a_row() -> None:
    rows = [line for line in reference.problems_page().splitlines() if line.startswith("| `urn:")]
    assert len(rows) == len(CATALOGUE)


def test_every_heading_of_the_settings_stands_before_a_field_that_exists() -> None:
    assert reference.HEADINGS.keys() <= Settings.model_fields.keys()
    assert next(iter(reference.HEADINGS)) == next(iter(Settings.model_fields))
