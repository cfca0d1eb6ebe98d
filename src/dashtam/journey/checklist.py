"""The journey as a live checklist in the terminal. The only module of the journey that knows Rich."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from dashtam.journey.redact import visible
from dashtam.journey.result import (
    CleanedUp,
    Event,
    Result,
    StepEnded,
    StepOutcome,
    StepStarted,
    explain_failure,
)
from dashtam.journey.steps import STEPS

_MARKS: Final = {"passed": ("✓", "ok", "green"), "failed": ("✗", "FAILED", "bold red")}


class Checklist:
    """Listens to a journey: redraws a list of all steps on a terminal, prints a line a step elsewhere.

    Use as a context manager around `play(..., on_event=checklist)`, then call `show_result`.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._ended: dict[int, StepOutcome] = {}
        self._running: int | None = None
        self._ascii = console.options.ascii_only
        self._spinner = Spinner("line" if self._ascii else "dots", style="cyan")
        self._live = Live(console=console, get_renderable=self._list, refresh_per_second=12)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running = None
        if self._live.is_started:
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take note of an event and show it."""
        if isinstance(event, StepStarted):
            self._running = event.number
        elif isinstance(event, StepEnded):
            self._running = None
            self._ended[event.outcome.number] = event.outcome
            if not self._live.is_started:
                self._print_line(event.outcome)
        elif isinstance(event, CleanedUp):
            self._running = None

    def show_result(self, result: Result) -> None:
        """Print the verdict, and for a failed journey the whole story."""
        if result.failure is not None:
            self._console.print()
            for line in explain_failure(result.failure):
                self._console.print(Text(self._writable(line)), soft_wrap=True)
            self._console.print()
        style = "bold green" if result.passed else "bold red"
        facts = self._writable(f"  {result.total_ms:.0f} ms  {result.base_url}")
        verdict = Text.assemble((result.score, style), facts)
        self._console.print(verdict, soft_wrap=True)
        quiet = "dim" if result.clean_up.left_behind is None else "bold red"
        self._console.print(
            Text(self._writable(f"Clean-up: {result.clean_up.detail}"), quiet), soft_wrap=True
        )

    def _list(self) -> Table:
        table = Table.grid(padding=(0, 1))
        table.add_column(justify="right")
        table.add_column()
        table.add_column()
        table.add_column(justify="right")
        table.add_column()
        for step in STEPS:
            if outcome := self._ended.get(step.number):
                table.add_row(*self._cells(outcome))
            elif step.number == self._running:
                table.add_row(str(step.number), self._spinner, step.name)
            else:
                table.add_row(Text(str(step.number), "dim"), "", Text(step.name, "dim"))
        return table

    def _cells(self, outcome: StepOutcome) -> tuple[Text, ...]:
        mark, word, style = _MARKS[outcome.status]
        remark = f"slow, budget {outcome.budget_ms} ms" if outcome.slow else ""
        return (
            Text(str(outcome.number)),
            Text(word if self._ascii else mark, style),
            Text(outcome.name),
            Text(f"{outcome.ms:.0f} ms", "dim"),
            Text(remark, "yellow"),
        )

    def _print_line(self, outcome: StepOutcome) -> None:
        number, mark, name, ms, remark = self._cells(outcome)
        number.align("right", 2)
        name.align("left", max(len(step.name) for step in STEPS))
        ms.align("right", 8)
        line = Text(" ").join((number, mark, name, ms, remark))
        line.rstrip()
        self._console.print(line, soft_wrap=True)

    def _writable(self, line: str) -> str:
        """Leave out what this terminal cannot show, and what would steer it."""
        return visible(line).encode(self._console.encoding, "replace").decode(self._console.encoding)
