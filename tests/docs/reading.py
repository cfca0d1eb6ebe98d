"""What the tests read of a page: its blocks, its tables, its links, and the words it sets as code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
WRITTEN = [page for page in PAGES if page.parent.name != "reference"]

_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?<=\n\n)(?:(?: {4}.*)?\n)+")
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)|<(https?://[^>\s]+)>")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block of code and the language it is marked as; indented ones have none."""

    language: str
    text: str


def name(page: Path) -> str:
    """How a page is called in a test's id."""
    return str(page.relative_to(ROOT))


def blocks(text: str, language: str | None = None) -> list[Block]:
    """The blocks of code of a page, in its order."""
    fenced = [Block(found["language"], found["text"]) for found in _FENCE.finditer(text)]
    indented = [Block("", found[0]) for found in _INDENTED.finditer(_FENCE.sub("", text)) if found[0].strip()]
    return [block for block in (*fenced, *indented) if language is None or block.language == language]


def prose(text: str) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", text)


def codes(text: str) -> list[str]:
    """What is set as code within sentences and tables."""
    return _CODE.findall(prose(text))


def command_lines(text: str) -> Iterator[str]:
    """Every `dashtam` and `make` command that a page shows, in blocks and in sentences."""
    shown = [
        line for block in blocks(text) if block.language in {"", "sh"} for line in block.text.splitlines()
    ]
    for line in (*shown, *codes(text)):
        if re.match(r"(dashtam|make) [a-zA-Z]", line.strip()):
            yield line.strip()


def rows(text: str, first: str) -> list[list[str]]:
    """The rows of the table whose first column has this heading, below the heading."""
    lines = iter(prose(text).splitlines())
    for line in lines:
        if line.startswith(f"| {first} |"):
            next(lines)
            return [_cells(row) for row in _until_blank(lines)]
    raise AssertionError(f"there is no table that begins with {first!r}")


def links(text: str) -> list[str]:
    """Where a page points to."""
    return [inner or outer for inner, outer in _LINK.findall(prose(text))]


def anchors(text: str) -> set[str]:
    """The names by which the headings of a page can be linked to."""
    titles = (re.sub(r"[^\w\- ]", "", title.lower()) for title in _HEADING.findall(prose(text)))
    return {title.strip().replace(" ", "-") for title in titles}


def _until_blank(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith("|"):
            return
        yield line


def _cells(row: str) -> list[str]:
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
