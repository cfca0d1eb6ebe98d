"""The pytest runs of a crosscheck: real ones, in processes of their own, with a deadline."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbparity.crosscheck.comparison import Comparison, compared, repeated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROBE = "dbparity.crosscheck.probe"
NO_TESTS = 5
TAIL = 15
GRACE_SECONDS = 10.0
RAN = {0, 1}
"""pytest's exit codes after which there is something to compare: all passed, some failed."""


NOTHING = (
    "None of these tests runs under {mode}: their markers decide otherwise, or they have no database of dbparity's "
    "(is there a [tool.dbparity] in pyproject.toml?)."
)


class RunError(RuntimeError):
    """A run that gave nothing to compare; `exit_code` is what the command ends with."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Asked:
    """What is to be compared."""

    nodeids: Sequence[str]
    modes: tuple[str, str]
    arguments: Sequence[str] = ()
    """For pytest, as they are."""
    seconds: float = 1800.0
    """For each run."""
    root: Path = Path()


def crosscheck(asked: Asked) -> Comparison:
    """Run the tests under both isolations and compare; what differs is run again, to tell isolation from chance."""
    first = _report(asked, asked.modes[0])
    ran = [each for each in first["tests"] if each["outcome"] != "skipped"]
    if not ran:
        raise RunError("No test ran: all are skipped.", NO_TESTS)
    if all(each["isolation"] != asked.modes[0] for each in ran):
        raise RunError(NOTHING.format(mode=asked.modes[0]))
    found = compared(asked.modes, first, _report(asked, asked.modes[1]))
    if not found.differences:
        return found
    return repeated(found, *(_report(asked, mode) for mode in asked.modes))


def _report(asked: Asked, mode: str) -> Mapping[str, Any]:
    """One run; its report."""
    with tempfile.TemporaryDirectory(prefix="dbparity-crosscheck-") as folder:
        path = Path(folder) / "report.json"
        command = [
            sys.executable, "-m", "pytest", *asked.nodeids, f"--dbparity-isolation={mode}",
            f"--dbparity-report=json:{path}", "-p", "no:randomly", "-p", PROBE, *asked.arguments,
        ]  # fmt: skip
        output = Path(folder) / "output"
        code = _run(command, output, asked)
        said = output.read_text("utf-8", errors="replace")
        if code == NO_TESTS:
            raise RunError(f"No test ran:\n{_tail(said)}", NO_TESTS)
        if code not in RAN or not path.is_file():
            raise RunError(f"The run under {mode} ended with pytest's exit code {code}:\n{_tail(said)}")
        document: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
        return document


def _run(command: Sequence[str], output: Path, asked: Asked) -> int:
    """Start it in a session of its own, so that a deadline ends its workers too."""
    with output.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603 - this interpreter, and the user's own arguments
            command,
            cwd=asked.root,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(asked.seconds)
        except subprocess.TimeoutExpired as error:
            said = _tail(output.read_text("utf-8", errors="replace"))
            msg = f"A run took more than {asked.seconds:.0f} s (--timeout):\n{said}"
            raise RunError(msg) from error
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Interrupt it, so that it takes its databases away; end it with force where it does not."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)


def _tail(said: str) -> str:
    return "\n".join(said.rstrip().splitlines()[-TAIL:])
