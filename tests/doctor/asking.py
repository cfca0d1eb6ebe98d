"""How the tests ask the doctor: one check by its name, with those that it needs, and a whole table."""

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

from dashtam.doctor import LOCAL, REMOTE
from dashtam.doctor.check import Answer, Check, Verdict
from dashtam.doctor.checkup import Result, examine
from dashtam.doctor.inside.database import END_OF_LIFE
from dashtam.doctor.local import Local
from dashtam.doctor.remote import Remote

_PATIENCE_SECONDS = 20  # that this machine is busy is no fault of the deployment


async def answer(subject: Local | Remote, name: str) -> Answer:
    """What the check of this name answers about the subject, as it is now."""
    checks: tuple[Check[Any], ...] = LOCAL if isinstance(subject, Local) else REMOTE
    wanted = _with_needs(checks, name)
    found = await _examined(subject, [check for check in checks if check.name in wanted])
    return next(result.answer for result in found if result.check.name == name)


async def complaints(subject: Local | Remote) -> dict[str, Answer]:
    """Every warning and failure about the subject, by the check's name: nothing on a sound deployment.

    But for the PostgreSQL that the tests are run on: that it is past its end is true of it, and asked elsewhere.
    """
    checks: tuple[Check[Any], ...] = LOCAL if isinstance(subject, Local) else REMOTE
    bad = {Verdict.WARNING, Verdict.FAILURE}
    found = [each for each in await _examined(subject, checks) if each.verdict in bad]
    today = subject.clock.now().date()
    return {each.check.name: each.answer for each in found if not has_ended(each.answer, today)}


def has_ended(found: Answer, today: date) -> bool:
    """Whether this only says of a PostgreSQL that its end, as it stands in the doctor's table, is past."""
    said = re.fullmatch(
        r"PostgreSQL (\d+)\S*.*, which gets no more security fixes since (\S+)", found.evidence
    )
    return said is not None and str(end := END_OF_LIFE[int(said[1])]) == said[2] and end < today


def _with_needs(checks: tuple[Check[Any], ...], name: str) -> set[str]:
    check = next(check for check in checks if check.name == name)
    return {name}.union(*(_with_needs(checks, need) for need in check.needs))


async def _examined(subject: Local | Remote, checks: Sequence[Check[Any]]) -> list[Result[Any]]:
    try:
        return [result async for result in examine(subject, checks, deadline=_PATIENCE_SECONDS)]
    finally:
        if isinstance(subject, Local):
            await subject.forget()  # the test may change it and ask again
