"""What the page on environments shows is what happens: its contract, its reports, its Python, its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pages import blocks, keys, page, sentences

from dbparity.cli import main
from dbparity.environment import load_contract
from dbparity.environment.parsing import KEYS, TOP
from dbparity.environment.values import Type
from dbparity.environment.violations import Kind, Violation

if TYPE_CHECKING:
    from pathlib import Path

PAGE = page("environments.md")
FILES = {
    ".env.test": "STAGE=test\nDEBUG=false\nAPI_PREFIX=/api\n",
    ".env.ci": "STAGE=ci\nDEBUG=true\n",
    ".env.prod.example": "STAGE=prod\nDEBUG=false\nAPI_PREFIX=/api\nSHOP_SECRET=\n",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with the page's contract, and files of which one deviates as the page shows."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "env").mkdir()
    (contract,) = [block for block in blocks(PAGE, "toml") if "[variables." in block]
    (tmp_path / "env" / "contract.toml").write_text(contract)
    for name, text in FILES.items():
        (tmp_path / "env" / name).write_text(text)
    return tmp_path


def test_the_command_says_what_the_page_shows(capsys: pytest.CaptureFixture[str]) -> None:
    command, *report = blocks(PAGE, "console")[0].splitlines()
    assert main(command.removeprefix("$ dbparity ").split()) == 1
    assert capsys.readouterr().out.splitlines() == report


def test_the_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks(PAGE, "python")
    exec(compile(block, "environments.md", "exec"), {})  # noqa: S102 - our own page
    said = capsys.readouterr().out.splitlines()
    assert "this process: SHOP_POOL must be an integer, such as 16" in said


def test_the_tables_list_what_there_is(folder: Path) -> None:
    assert set(keys(PAGE, "at the top")) == set(TOP) - {"variables"}
    assert set(keys(PAGE, "of a variable")) == set(KEYS)
    assert {f"`{each}`" for each in Type} <= set(sentences("environments.md").replace(",", " ").split())
    fields = set(Violation(Kind.DIFFERS, "DEBUG", "ci", ".env.ci", "differs").as_dict())
    assert {each for each in fields if f"`{each}`" in PAGE} == fields
    assert load_contract(folder / "env" / "contract.toml").prefixes == ("SHOP_",)
