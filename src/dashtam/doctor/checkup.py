"""A checkup: every check asked, all at the same time, each with a deadline and after those that it needs."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic

from dashtam.doctor.check import Answer, Check, FoundError, Subject, Verdict, failure, skipped

DEADLINE_SECONDS = 2.0
"""How long a check may take before that is its answer."""


@dataclass(frozen=True, slots=True)
class Result(Generic[Subject]):
    """A check, what it found, and how long that took."""

    check: Check[Subject]
    answer: Answer
    seconds: float

    stopped: bool = False
    """Not asked, because of what a check that it needs has found."""

    @property
    def verdict(self) -> Verdict:
        """The verdict of the answer."""
        return self.answer.verdict


async def examine(
    subject: Subject, checks: Sequence[Check[Subject]], *, deadline: float = DEADLINE_SECONDS
) -> AsyncIterator[Result[Subject]]:
    """The results in the order of `checks`, each as soon as it and those before it are there.

    Of checks that do not apply to the subject there are none.
    """
    tasks: dict[str, asyncio.Task[Result[Subject]]] = {}
    for check in (check for check in checks if check.applies(subject)):
        before = [tasks[name] for name in check.needs]  # a check stands below those that it needs
        tasks[check.name] = asyncio.create_task(_ask(check, subject, before, deadline))
    try:
        for task in tasks.values():
            yield await task
    finally:
        for task in tasks.values():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _ask(
    check: Check[Subject], subject: Subject, before: list[asyncio.Task[Result[Subject]]], deadline: float
) -> Result[Subject]:
    for needed in before:
        if (found := await asyncio.shield(needed)).verdict in {Verdict.FAILURE, Verdict.SKIPPED}:
            return Result(check, skipped(f"not examined: {_why(found)}"), 0.0, stopped=True)
    began = time.perf_counter()
    answer = await _answer(check, subject, deadline)
    return Result(check, answer, time.perf_counter() - began)


async def _answer(check: Check[Subject], subject: Subject, deadline: float) -> Answer:
    try:
        async with asyncio.timeout(deadline):
            return await check.ask(subject)
    except FoundError as found:
        return found.answer
    except TimeoutError:
        return failure(
            f"no answer within {deadline:g} s", "Look at what is slow or hangs there, and ask again."
        )
    except PermissionError as error:
        return failure(
            f"{error.filename or 'something'} may not be looked at by this user",
            "If the service runs as another user, ask as that one; if not, let its user own what lies there.",
        )
    except Exception as error:  # noqa: BLE001  one check that breaks must not hide what the others find
        return failure(
            f"the check itself broke: {type(error).__name__}", "This is a fault of the doctor: report it."
        )


def _why(found: Result[Subject]) -> str:
    if found.verdict is Verdict.FAILURE:
        return f"{found.check.name} fails"
    return found.answer.evidence.removeprefix("not examined: ")
