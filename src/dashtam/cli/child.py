"""`dashtam serve` as a child process: started, its log kept back until wanted, waited for, stopped."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections import deque
from contextlib import suppress
from typing import Self

from dashtam.cli.exit_codes import ExitCode
from dashtam.cli.trouble import Refusal

_LONGEST_LINE = 1 << 20
_LINES_KEPT = 40
_STOP_SECONDS = 20


class ServerProcess:
    """One server, in a process group of its own: what a terminal sends reaches it through us alone, once."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._kept: deque[str] = deque(maxlen=_LINES_KEPT)
        self._is_shown = False
        self._shown_after = ""
        self._log = asyncio.create_task(self._read_log())
        self._end = asyncio.create_task(process.wait())

    @classmethod
    async def start(cls, host: str, port: int) -> Self:
        """Start it with the environment of this process. It ends by itself when we are gone."""
        command = (
            sys.executable,
            "-m",
            "dashtam",
            "serve",
            "--host",
            host,
            "--port",
            str(port),
            "--until-eof",
        )
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=STDOUT, limit=_LONGEST_LINE, start_new_session=True
        )
        return cls(process)

    def show_log(self, *, after: str = "") -> None:
        """Pass its log on from now, or from behind the line that names the request `after`."""
        self._shown_after = after
        self._is_shown = not after or any(
            after in line for line in self._kept
        )  # it may have been read already

    def kept_log(self) -> str:
        """What it logged lately, while it was not shown."""
        return "\n".join(self._kept)

    def pass_on(self, number: signal.Signals) -> None:
        """Send it a signal that was sent to us."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def ends_within(self, seconds: float) -> bool:
        """Wait so long; whether it has ended."""
        await asyncio.wait({self._end}, timeout=seconds)
        return self._end.done()

    async def wait(self) -> int:
        """Its exit code, once it has ended and its log is read; 128 + n when signal n killed it."""
        code = await asyncio.shield(self._end)
        await self._log
        return code if code >= 0 else 128 - code

    async def stop(self) -> int:
        """End it in good order, or the hard way if that takes too long; its exit code."""
        self.pass_on(signal.SIGTERM)
        if not await self.ends_within(_STOP_SECONDS):
            with suppress(ProcessLookupError):
                self._process.kill()
        return await self.wait()

    async def refuse_early_end(self) -> None:
        """Raise what to say if it has ended already."""
        if not self._end.done():
            return
        code = await self.wait()
        ended = ExitCode(code) if code in {ExitCode.USAGE, ExitCode.PORT_BUSY} else ExitCode.FAILED
        raise Refusal(
            f"The server ended before it was ready, with exit code {code}. It said:\n{self.kept_log()}", ended
        )

    async def _read_log(self) -> None:
        stream = self._process.stdout
        while stream is not None and (line := await stream.readline()):
            text = line.decode(errors="replace").rstrip("\n")
            if self._is_shown:
                sys.stderr.write(f"{text}\n")
            else:
                self._kept.append(text)
                self._is_shown = bool(self._shown_after) and self._shown_after in text
