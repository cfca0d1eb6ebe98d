"""How commands speak: results on standard output, everything else on standard error, JSON where asked for."""

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

if TYPE_CHECKING:
    from rich.console import Console

AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")]


def say(text: str = "") -> None:
    """A line of the result."""
    typer.echo(text)


def remark(text: str) -> None:
    """A line about what is going on, or wrong."""
    typer.echo(text, err=True)


def say_json(value: object) -> None:
    """The result as JSON."""
    say(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def say_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """The result in columns, never cut off: a pipe is as wide as it needs."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        say(line.rstrip())


def rich_console(*, stderr: bool = False) -> "Console":
    """A Rich console: colours and redrawing on a terminal only, and no colours where NO_COLOR is set."""
    from rich.console import Console

    return Console(file=sys.stderr if stderr else sys.stdout, highlight=False)


def when(moment: datetime | None) -> str:
    """A moment for people, to the second, in UTC."""
    return moment.strftime("%Y-%m-%d %H:%M:%SZ") if moment else "-"


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(type(value).__name__)
