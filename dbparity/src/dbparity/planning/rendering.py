"""A plan laid out for people: what it comes to first, then revision by revision."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from dbparity.planning.effect import OldCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dbparity.planning.report import Held, Plan, PlannedRevision, PlannedStatement

SQL_SHOWN = 300
LABEL = 10
_OLD_CODE = {
    OldCode.GOES_ON: "goes on",
    OldCode.MAY_BREAK: "MAY BREAK",
    OldCode.UNKNOWN: "UNKNOWN",
}


def rendered(plan: Plan, width: int) -> str:
    """Lay the plan out."""
    at = ", ".join(plan.current) or "nothing"
    if plan.nothing_to_do:
        return "\n".join([f"Nothing to do: the database is at {at}.", *plan.notes])
    lines = [*_summary(plan, at, width), ""]
    for revision in plan.revisions:
        lines += [*_revision(revision, width), ""]
    return "\n".join(lines).rstrip()


def _summary(plan: Plan, at: str, width: int) -> Iterator[str]:
    count = len(plan.revisions)
    yield f"{count} revision{'' if count == 1 else 's'} to run, from {at} to {plan.revisions[-1].id}."
    yield from _labelled("time", [f"{plan.estimate}, and the waiting for locks"], width)
    yield from _labelled("old code", [_OLD_CODE[plan.old_code]], width)
    yield from _labelled("rewritten", [", ".join(plan.rewrites) or "no table"], width)
    yield from _labelled("locked", _locked(plan), width)
    yield from _labelled("rows", _sizes(plan), width)
    yield from _labelled("note", plan.notes, width)


def _locked(plan: Plan) -> list[str]:
    if plan.dialect == "sqlite":
        if any(each.write_lock for each in plan.statements):
            return [f"the database, for all other writers: {plan.estimate}"]
        return []
    return [_hold(each) for each in plan.held] or ["nothing that readers or writers wait for"]


def _hold(held: Held) -> str:
    who = "nobody reads or writes" if held.lock.mode.stops_reads else "nobody writes"
    long = ", for how long is unknown" if held.estimate.low is None else f" for {held.estimate}"
    return f"{held.lock.table} ({held.lock.mode}): {who}{long}"


def _sizes(plan: Plan) -> list[str]:
    known = [
        f"{each.table} {'about ' if each.estimated else ''}{each.rows:,}"
        for each in plan.sizes
        if each.rows is not None
    ]
    return [", ".join(known)] if known else []


def _revision(revision: PlannedRevision, width: int) -> Iterator[str]:
    title = f": {revision.title}" if revision.title else ""
    yield f"{revision.id}{title}"
    for number, statement in enumerate(revision.statements, 1):
        yield from _statement(number, statement, width)
    if revision.obstacle:
        yield from _labelled("NO PLAN", [f"{revision.obstacle}. What follows it is not known."], width)
    elif not revision.statements:
        yield "  no statement"
    yield from _labelled("note", revision.notes, width)


def _statement(number: int, statement: PlannedStatement, width: int) -> Iterator[str]:
    sql = " ".join(statement.sql.split())
    shown = sql if len(sql) <= SQL_SHOWN else f"{sql[:SQL_SHOWN]} …"
    times = f" ({statement.sets:,} times)" if statement.sets > 1 else ""
    yield from textwrap.wrap(
        f"{number:3}. {shown}{times}", width, subsequent_indent="     ", break_on_hyphens=False
    )
    yield from _labelled("lock", _lock_words(statement), width, 5)
    works = [f"rewrites {table}" for table in statement.rewrites]
    works += [f"reads all of {table}" for table in statement.scans]
    if works:
        yield from _labelled("work", [f"{'; '.join(works)}: {statement.estimate}"], width, 5)
    yield from _labelled("old code", [f"{_OLD_CODE[statement.old_code]}. {statement.reason}"], width, 5)
    if statement.outside and not statement.alone:
        yield from _labelled("FAILS", ["Inside a transaction; it needs autocommit_block()."], width, 5)
    yield from _labelled("FAILS", [statement.fails] if statement.fails else [], width, 5)
    yield from _labelled("safer", [statement.hint] if statement.hint else [], width, 5)


def _lock_words(statement: PlannedStatement) -> list[str]:
    if statement.write_lock:
        return ["the database's write lock"]
    waits = {"everybody": "readers and writers wait", "writers": "writers wait", "nobody": "nobody waits"}
    listed = ", ".join(str(each) for each in statement.locks)
    return [f"{listed}: {waits[statement.waits]}"] if listed else []


def _labelled(label: str, texts: Iterable[str], width: int, indent: int = 2) -> Iterator[str]:
    for text in texts:
        for line in textwrap.wrap(
            text, width - LABEL - indent, break_long_words=False, break_on_hyphens=False
        ):
            yield f"{'':{indent}}{label:<{LABEL}}{line}"
            label = ""
