"""What a check is: one question about a deployment, answered by a verdict, its evidence and a remedy."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

Subject = TypeVar("Subject")


def _always(_: object) -> bool:
    return True


class Verdict(StrEnum):
    """How an answer is to be taken, from good to bad."""

    OK = "ok"
    SKIPPED = "skipped"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a check found. `evidence` says what was seen, never a secret; `remedy` what to do about it."""

    verdict: Verdict
    evidence: str
    remedy: str = ""


class FoundError(Exception):
    """Ends a check with this answer, from however deep within it."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.evidence)
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Check(Generic[Subject]):
    """A question about a `Subject`. It is asked once every check that it `needs` has found nothing failing."""

    name: str
    """Area and subject, such as "database.answers"; stable, for programs."""
    title: str
    """What holds on a sound deployment, such as "The database answers"."""
    ask: Callable[[Subject], Awaitable[Answer]]
    needs: tuple[str, ...] = ()
    applies: Callable[[Subject], bool] = _always
    """Whether the question can arise for this subject at all; where not, it stands in no report."""

    @property
    def area(self) -> str:
        """What the check is about, in a word."""
        return self.name.partition(".")[0]


def ok(evidence: str) -> Answer:
    """All is well, and this shows it."""
    return Answer(Verdict.OK, evidence)


def warning(evidence: str, remedy: str) -> Answer:
    """The service works, and somebody should look at this."""
    return Answer(Verdict.WARNING, evidence, remedy)


def failure(evidence: str, remedy: str) -> Answer:
    """The service does not work, or not safely."""
    return Answer(Verdict.FAILURE, evidence, remedy)


def skipped(why: str) -> Answer:
    """The question does not arise here, or cannot be answered from here."""
    return Answer(Verdict.SKIPPED, why)


def gravest(answers: Sequence[Answer]) -> Answer:
    """The first of the worst of them."""
    return max(answers, key=lambda answer: list(Verdict).index(answer.verdict))


def in_thread(look: Callable[[Subject], Answer]) -> Callable[[Subject], Awaitable[Answer]]:
    """Let this answer in a thread: it may have to wait, as for a disk, and the other checks must not."""

    async def ask(subject: Subject) -> Answer:
        return await asyncio.to_thread(look, subject)

    return ask
