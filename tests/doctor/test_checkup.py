"""The checkup itself: order, needs, deadlines, and checks that break."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from dashtam.doctor import LOCAL, REMOTE
from dashtam.doctor.check import Answer, Check, FoundError, Verdict, failure, ok, skipped, warning
from dashtam.doctor.checkup import Result, examine
from dashtam.doctor.local import Local, local
from dashtam.doctor.report import as_dict, lines, summary, worst
from dashtam.settings import load


async def _well(subject: str) -> Answer:
    return ok(f"{subject} is well")


async def _bad(subject: str) -> Answer:
    return failure(f"{subject} is broken", "Mend it.")


async def _hanging(_: str) -> Answer:
    await asyncio.Event().wait()
    raise AssertionError


async def _breaking(_: str) -> Answer:
    raise LookupError("secret")


async def _shut_out(_: str) -> Answer:
    raise PermissionError(13, "Permission denied", "/srv/var/dashtam.db")


async def _found_within(subject: str) -> Answer:
    raise FoundError(warning(f"{subject} is odd", "Look at it."))


async def _checkup(*checks: Check[str], deadline: float = 5) -> list[Result[str]]:
    return [result async for result in examine("it", checks, deadline=deadline)]


async def test_results_come_in_the_order_of_the_table():
    results = await _checkup(Check("a.b", "B", _well), Check("a.a", "A", _bad))
    assert [(each.check.name, each.verdict) for each in results] == [("a.b", "ok"), ("a.a", "failure")]


async def test_what_needs_a_failing_check_is_not_examined_and_says_which():
    results = await _checkup(
        Check("a.first", "First", _bad),
        Check("a.second", "Second", _well, needs=("a.first",)),
        Check("a.third", "Third", _well, needs=("a.second",)),
    )
    assert [each.answer.evidence for each in results[1:]] == ["not examined: a.first fails"] * 2


async def test_a_check_that_hangs_fails_at_its_deadline():
    (result,) = await _checkup(Check("a.slow", "Slow", _hanging), deadline=0.02)
    assert result.verdict is Verdict.FAILURE
    assert "no answer within 0.02 s" in result.answer.evidence


async def test_a_check_that_breaks_hides_neither_the_others_nor_lets_out_what_it_held():
    broken, well = await _checkup(Check("a.x", "X", _breaking), Check("a.y", "Y", _well))
    assert (broken.verdict, well.verdict) == (Verdict.FAILURE, Verdict.OK)
    assert "LookupError" in broken.answer.evidence
    assert "secret" not in str(as_dict([broken], 0))


async def test_what_this_user_may_not_look_at_is_no_fault_of_the_doctor():
    (result,) = await _checkup(Check("a.x", "X", _shut_out))
    assert result.verdict is Verdict.FAILURE
    assert result.answer.evidence == "/srv/var/dashtam.db may not be looked at by this user"
    assert "If the service runs as another user, ask as that one" in result.answer.remedy


async def test_an_answer_that_is_found_deep_within_a_check_is_its_answer():
    (result,) = await _checkup(Check("a.x", "X", _found_within))
    assert (result.verdict, result.answer.evidence) == (Verdict.WARNING, "it is odd")


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([ok("")], Verdict.OK),
        ([ok(""), skipped("")], Verdict.OK),
        ([ok(""), warning("", "")], Verdict.WARNING),
        ([warning("", ""), failure("", ""), ok("")], Verdict.FAILURE),
    ],
)
def test_the_worst_verdict_counts(answers: list[Answer], expected: Verdict):
    assert worst([Result(Check("a.a", "A", _well), each, 0) for each in answers]) is expected


async def test_a_check_that_does_not_apply_stands_in_no_report():
    results = await _checkup(
        Check("a.x", "X", _bad, applies=lambda subject: subject == "that"),
        Check("a.y", "Y", _well, applies=lambda subject: subject == "it"),
    )
    assert [each.check.name for each in results] == ["a.y"]


async def test_what_several_checks_ask_for_is_found_once_until_it_is_forgotten(tmp_path: Path):
    times: list[Local] = []
    may_end = asyncio.Event()

    async def find(local: Local) -> int:
        times.append(local)
        await may_end.wait()
        return len(times)

    async with local(settings=load(var_dir=tmp_path, environment="test")) as here:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await here.once(find)
        may_end.set()
        assert {await here.once(find), await here.once(find)} == {1}, "who gave up spoiled it for nobody"
        await here.forget()
        assert await here.once(find) == 2


async def test_the_report_shows_evidence_and_remedy_and_counts():
    results = await _checkup(Check("a.x", "All is well", _bad), Check("a.y", "Y", _well))
    assert lines(results[0]) == ["  ✗ All is well: it is broken", "      → Mend it."]
    assert summary(results, 0.26) == "2 checks in 0.3 s: 1 well, 1 failing."


@pytest.mark.parametrize("checks", [LOCAL, REMOTE], ids=["local", "remote"])
def test_every_check_of_the_tables_stands_once_and_below_those_it_needs(checks: tuple[Check[object], ...]):
    names = [check.name for check in checks]
    assert [name for name, times in Counter(names).items() if times > 1] == []
    assert [check.name for at, check in enumerate(checks) if not set(check.needs) <= set(names[:at])] == []
    assert all("." in name for name in names)
