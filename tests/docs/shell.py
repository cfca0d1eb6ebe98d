"""Runs the shell commands of a page as they stand there, in order, in a folder of their own."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from dashtam.settings import Settings
from dbparity.testing.installed import Account
from tests.docs.reading import ROOT, blocks

SECONDS = 120
_ENDING_SECONDS = 20


def commands(page: str, heading: str = "", *, language: str = "sh") -> list[str]:
    """The blocks of a page, or of its section below `heading`, in their order."""
    text = (ROOT / page).read_text("utf-8")
    if heading:
        level, _, _ = heading.partition(" ")
        text = text.split(f"\n{heading}\n")[1].split(f"\n{level} ")[0]
    return [block.text for block in blocks(text, language)]


class Shell:
    """A terminal: what one run exports the next one has, and what it leaves running runs until the end."""

    def __init__(
        self, folder: Path, environment: Mapping[str, str] | None = None, *, account: Account | None = None
    ) -> None:
        self.folder = folder
        self._exported, self._runs = folder / ".exported", 0
        self._exported.unlink(missing_ok=True)  # by an earlier terminal in this folder
        self._user = (account.uid, account.gid) if account and account.switch else (None, None)
        # No setting of whoever runs the tests, and our commands first.
        kept = {key: value for key, value in os.environ.items() if not _is_setting(key)}
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        own = {"PATH": path, "HOME": str(folder), "PYTHONIOENCODING": "utf-8"}
        self._environment = kept | own | dict(environment or {})
        self._groups: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for group in self._groups:
            _end(group)

    def run(self, script: str, *, replace: Mapping[str, str] | None = None, seconds: float = SECONDS) -> str:
        """Run a script as a reader would type it, stopping at the first failure; what it said.

        `replace` says which of its words are other ones here, such as a port; each must occur.
        """
        for word, other in (replace or {}).items():
            assert word in script, f"{word!r} is not in these commands"
            script = script.replace(word, other)
        self._runs += 1
        log = self.folder / f".said{self._runs}"
        whole = f"if [ -f {self._exported} ]; then . {self._exported}; fi\n{script}\ndeclare -px > {self._exported}\n"
        with log.open("w+", encoding="utf-8") as said:  # a pipe would stay open with what it leaves running
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", whole],
                cwd=self.folder, env=self._environment, stdin=subprocess.DEVNULL, stdout=said,
                stderr=subprocess.STDOUT, start_new_session=True,
                user=self._user[0], group=self._user[1],
            )  # fmt: skip
            try:
                code = process.wait(seconds)
            finally:
                self._remember(process.pid)
            said.seek(0)
            text = said.read()
        assert code == 0, f"ended with {code}\n{text}"
        return text

    def _remember(self, group: int) -> None:
        """Note what the run has left running. A group without a process is nobody's: its number is given away anew."""
        with suppress(ProcessLookupError):
            os.killpg(group, 0)
            self._groups.append(group)


def play(script: str, folder: Path, *, replace: Mapping[str, str] | None = None) -> str:
    """Run one script in a shell of its own; what it said."""
    with Shell(folder) as shell:
        return shell.run(script, replace=replace)


def tree(folder: Path, *parts: str) -> Path:
    """A copy of these parts of the tree, for commands that are typed in a checkout."""
    for part in parts:
        source, target = ROOT / part, folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return folder


def _end(group: int) -> None:
    """End what still runs, in good order if it can."""
    until = time.monotonic() + _ENDING_SECONDS
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGTERM)
        while time.monotonic() < until:
            os.killpg(group, 0)
            time.sleep(0.02)
        os.killpg(group, signal.SIGKILL)


def _is_setting(variable: str) -> bool:
    """Whether it is one of the service's, or names the file of one."""
    return variable.removesuffix("_FILE").lower() in Settings.model_fields
