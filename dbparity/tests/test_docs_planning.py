"""What planning.md shows and tells is so."""

from __future__ import annotations

import re
import shutil
from dataclasses import fields
from typing import TYPE_CHECKING

from pages import EXAMPLES, blocks, keys, page, sentences

from dbparity.planning import OldCode, PlannedStatement, live_sqlite
from dbparity.planning.report import EVERYBODY, NOBODY, WRITERS

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PAGE = "planning.md"


def test_the_block_plans_an_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "shop"
    shutil.copytree(EXAMPLES / "sync_sqlmodel", folder, ignore=shutil.ignore_patterns("*.db"))
    monkeypatch.chdir(folder)
    (block,) = blocks(page(PAGE), "python")
    shown: dict[str, object] = {}
    exec(compile(block, PAGE, "exec"), shown)  # noqa: S102 - our own page
    assert "revision to run, from nothing to 0001." in capsys.readouterr().out
    engine = shown["engine"]
    engine.dispose()  # type: ignore[attr-defined]


def test_every_attribute_is_told() -> None:
    told = set(re.findall(r"`(\w+)`", " ".join(f"`{key}`" for key in keys(page(PAGE), "attribute"))))
    assert told | {"sql", "sets"} == {each.name for each in fields(PlannedStatement)} | {"waits"}


def test_the_words_are_those_of_the_code() -> None:
    said = sentences(PAGE)
    assert all(
        f"`{each}`" in said for each in (EVERYBODY, WRITERS, NOBODY, *(each.value for each in OldCode))
    )
    assert live_sqlite.COUNTED == 2_000_000
    assert "up to two million" in said
