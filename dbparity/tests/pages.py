"""What the tests read of dbparity's pages: their blocks, tables, links, and the words set as code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
PAGES = sorted([ROOT / "README.md", EXAMPLES / "README.md", *(ROOT / "docs").glob("*.md")])

_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_CELL = re.compile(r"(?<!\\)\|")


def name(page: Path) -> str:
    """How a page is called in a test's id, and in its tables."""
    return page.relative_to(ROOT).as_posix()


def page(named: str) -> str:
    """The text of a page of docs/."""
    return (ROOT / "docs" / named).read_text("utf-8")


def sentences(named: str) -> str:
    """The same on one line."""
    return " ".join(page(named).split())


def blocks(text: str, language: str) -> list[str]:
    """The blocks of a language, in their order."""
    return [found["text"] for found in _FENCE.finditer(text) if found["language"] == language]


def prose(text: str) -> str:
    """The page without its blocks."""
    return _FENCE.sub("", text)


def codes(text: str) -> list[str]:
    """What is set as code in sentences and tables."""
    return _CODE.findall(prose(text))


def rows(text: str, heading: str) -> list[list[str]]:
    """The rows below the table head that begins with this cell."""
    lines = iter(prose(text).splitlines())
    for line in lines:
        if line.startswith(f"| {heading} |"):
            next(lines)
            return [_cells(row) for row in _until_blank(lines)]
    raise AssertionError(f"there is no table that begins with {heading!r}")


def keys(text: str, heading: str) -> list[str]:
    """What the first column of that table sets as code."""
    return [code for row in rows(text, heading) for code in _CODE.findall(row[0])]


def links(text: str) -> list[str]:
    """Where a page points to."""
    return _LINK.findall(prose(text))


def anchors(text: str) -> set[str]:
    """The names by which the headings of a page can be linked to."""
    titles = (re.sub(r"[^\w\- ]", "", title.lower()) for title in _HEADING.findall(prose(text)))
    return {title.strip().replace(" ", "-") for title in titles}


def commands(text: str) -> list[str]:
    """Every `dbparity …` that a page shows, in blocks and in sentences."""
    shown = [line for block in blocks(text, "console") for line in block.splitlines()]
    lines = [line.removeprefix("$ ") for line in shown if line.startswith("$ ")] + codes(text)
    return [line for line in lines if re.match(r"dbparity [a-z-]", line)]


def _until_blank(lines: Iterator[str]) -> list[str]:
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append(line)
    return found


def _cells(row: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in _CELL.split(row)[1:-1]]
