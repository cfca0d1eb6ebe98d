"""What explains that a test ends otherwise under a rollback than under real commits. A rule that has no evidence
says nothing: a difference that no rule explains is reported as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from dbparity.crosscheck.trace import shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dbparity.crosscheck.trace import Note, Trace

EVIDENCE_LINES = 4
WORDS = 400
TIMES = re.compile(r"datetime\.datetime\(|\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
ORDERED = re.compile(r"\b(?:ORDER\s+BY|WHERE)\b(.*)", re.IGNORECASE)
CONFLICTS = ("IsolationConflictError", "SecondDriverError")


@dataclass(frozen=True)
class Cause:
    """Why, in one sentence, and what was seen that says so."""

    kind: str
    """Stable: isolation-conflict, deferred-constraint, missing-commit, second-connection, ids, frozen-now."""
    sentence: str
    evidence: tuple[str, ...]
    remedy: str


def causes(rolled_back: Trace, committed: Trace) -> list[Cause]:
    """Every rule that has evidence, the most certain first."""
    return [cause for rule in RULES if (cause := rule(rolled_back, committed)) is not None]


def isolation_conflict(rolled_back: Trace, committed: Trace) -> Cause | None:
    """The application did what one shared transaction cannot show; dbparity stopped it with these words."""
    said = [each["message"] for each in rolled_back.failures if each["type"].endswith(CONFLICTS)]
    said += [each.told["message"] for each in rolled_back.of("error") if each.told["type"] in CONFLICTS]
    said += rolled_back.found("isolation-conflict")
    if not said or any(each["type"].endswith(CONFLICTS) for each in committed.failures):
        return None
    return Cause(
        "isolation-conflict",
        "under savepoint all connections share one transaction, and here they do what only separate ones can.",
        tuple(dict.fromkeys(shortened(each, WORDS) for each in said))[:EVIDENCE_LINES],
        "Run it under commits: @pytest.mark.dbparity(isolation='clone').",
    )


def deferred_constraint(rolled_back: Trace, committed: Trace) -> Cause | None:
    """A constraint that is checked at COMMIT, and against other rows than savepoint isolation can check it."""
    found = [each for each in committed.of("error") if _is_deferred(each)]
    if not found or any(_is_deferred(each) for each in rolled_back.of("error")):
        return None
    error = found[0]
    writes = [each for each in committed.of("statement") if each.written and _same(each, error)]
    return Cause(
        "deferred-constraint",
        "a deferred constraint is checked at COMMIT, against committed rows; under savepoint, if at all, within the "
        "test's one transaction, where rows count that other sessions have not committed.",
        (
            f"at COMMIT: {shortened(error.told['message'])}",
            *(f"in that transaction: {each.line()}" for each in writes[-EVIDENCE_LINES + 1 :]),
        ),
        "The test is right under commits: mend what violates the constraint, or expect the error there. Mark it "
        "isolation='delete' or 'clone'.",
    )


def missing_commit(rolled_back: Trace, committed: Trace) -> Cause | None:
    """Rows are read on one connection while another has not committed them."""
    if rolled_back.is_bad or not committed.is_bad:
        return None
    for write, read in _uncommitted_reads(committed):
        end = next((each for each in committed.notes[write.number :] if _ends(each, write)), None)
        ended = f"that transaction ended with {end.line()}" if end else "that transaction was never ended"
        return Cause(
            "missing-commit",
            f"{write.written} is read before the transaction that writes it has committed: under savepoint other "
            "connections see such rows, under commits nobody does.",
            (
                f"written: {write.line()}",
                f"read:    {read.line()}",
                ended,
                *(
                    f"found under {rolled_back.isolation}: {each}"
                    for each in rolled_back.found("dirty-view")[:1]
                ),
            ),
            "Commit before others are to see it.",
        )
    return None


def second_connection(rolled_back: Trace, committed: Trace) -> Cause | None:
    """Somebody asks the database past SQLAlchemy, and sees what is committed: under savepoint nothing."""
    outsiders = committed.of("outside") or rolled_back.of("outside")
    if committed.is_bad or not rolled_back.is_bad or not outsiders:
        return None
    written = [each for each in rolled_back.of("statement") if each.written]
    before = [each for each in rolled_back.of("outside") if any(row.number < each.number for row in written)]
    if not before:
        return None
    return Cause(
        "second-connection",
        "a connection that is not SQLAlchemy's looks for rows that exist, under savepoint, only in the test's own "
        "transaction.",
        (
            *(f"opened: {each.line()}" for each in before[: EVIDENCE_LINES - 1]),
            f"not yet visible to it: {[each for each in written if each.number < before[0].number][-1].line()}",
        ),
        "Run it under commits: @pytest.mark.dbparity(isolation='clone').",
    )


def ids(rolled_back: Trace, committed: Trace) -> Cause | None:
    """The test knows which id its rows get; sequences move on through every rollback."""
    bad, good = (rolled_back, committed) if rolled_back.is_bad else (committed, rolled_back)
    if not bad.is_bad or good.is_bad:
        return None
    for table, number, other in _moved_ids(bad, good):
        asked = [each for each in bad.of("statement") if other in each.told.get("integers", ())]
        named = re.search(rf"(?<![\w.]){number}(?![\w.])", bad.last_line())
        expected = re.search(rf"(?<![\w.]){other}(?![\w.])", bad.last_line())
        if not (named and expected) and not any(table in each.read for each in asked):
            continue
        quoted = [f"asked for: {each.line()} with {other}" for each in asked if table in each.read][:1]
        return Cause(
            "ids",
            f"the test expects its row of {table} to have the id {other}: sequences are not rolled back, and stand "
            "where earlier tests left them.",
            (
                f"{table}: id {number} under {bad.isolation}, {other} under {good.isolation}",
                *(quoted or [bad.last_line()]),
            ),
            "Use the id that the database gave; or isolation='delete' with reset_sequences=True.",
        )
    return None


def frozen_now(rolled_back: Trace, committed: Trace) -> Cause | None:
    """now() is the transaction's start: under savepoint, the test's."""
    if rolled_back.is_bad == committed.is_bad:
        return None
    frozen, moving = _clocks(rolled_back), _clocks(committed)
    if len(frozen) < 2 or len(set(frozen.values())) > 1 or len(set(moving.values())) < 2:  # noqa: PLR2004 - two times
        return None
    bad = rolled_back if rolled_back.is_bad else committed
    why = _speaks_of_time(bad)
    if not why:
        return None
    one = next(iter(frozen.values()))
    return Cause(
        "frozen-now",
        "now() and CURRENT_TIMESTAMP stand still within a transaction, and under savepoint the whole test is one.",
        (
            f"{rolled_back.isolation}: {len(frozen)} transactions, all at {one}",
            f"{committed.isolation}: {len(moving)} transactions, {len(set(moving.values()))} different times",
            *why,
        ),
        "Run it under commits, give the times explicitly, or use clock_timestamp().",
    )


RULES: Sequence[Callable[[Trace, Trace], Cause | None]] = (
    isolation_conflict,
    deferred_constraint,
    missing_commit,
    second_connection,
    ids,
    frozen_now,
)


def _is_deferred(error: Note) -> bool:
    return bool(error.told.get("at_commit")) and error.told["type"] == "IntegrityError"


def _same(one: Note, other: Note) -> bool:
    return one.transaction == other.transaction


def _ends(note: Note, write: Note) -> bool:
    return note.kind in {"commit", "rollback"} and _same(note, write)


def _uncommitted_reads(trace: Trace) -> Iterator[tuple[Note, Note]]:
    """Pairs of a write and a later SELECT on another connection, the write's transaction still being open."""
    opened: list[Note] = []
    for note in trace.notes:
        if note.kind in {"commit", "rollback"}:
            opened = [each for each in opened if not _same(each, note)]
        elif note.kind == "statement" and note.written:
            opened.append(note)
        elif note.kind == "statement":
            for write in opened:
                if write.connection != note.connection and write.written in note.read:
                    yield write, note


def _moved_ids(bad: Trace, good: Trace) -> Iterator[tuple[str, int, int]]:
    """Table, id in the failing run, id of the same row in the passing one, where they differ."""
    there, here = _ids(good), _ids(bad)
    for table, numbers in here.items():
        for number, other in zip_longest(numbers, there.get(table, ())):
            if number is not None and other is not None and number != other:
                yield table, number, other


def _ids(trace: Trace) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for each in trace.of("id"):
        numbers = found.setdefault(str(each.told["table"]), [])
        if each.told["id"] not in numbers:
            numbers.append(int(each.told["id"]))
    return found


def _clocks(trace: Trace) -> dict[tuple[int, int], str]:
    """What the clock showed to each transaction that used it."""
    return {each.transaction: each.told["now"] for each in trace.of("statement") if each.told.get("now")}


def _speaks_of_time(trace: Trace) -> list[str]:
    """What ties the failure to those times: it shows one, names such a column, or rows were chosen by one."""
    if TIMES.search(trace.messages):
        return ["the failure compares times"]
    for note in reversed(trace.of("statement")):
        chosen = ORDERED.search(note.sql) if note.read else None
        if chosen and any(re.search(rf"\b{each}\b", chosen.group(1)) for each in trace.clock_columns):
            return [f"rows are chosen by such a time: {note.line()}"]
    named = [each for each in sorted(trace.clock_columns) if re.search(rf"\b{each}\b", trace.words)]
    if named:
        return [f"the failing lines name {named[0]}, whose default is now()"]
    return []
