"""A report's first sentence, and what was seen beside tables and revisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbparity.schema.report import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbparity.schema.facts import Facts


def hint_of(verdict: Verdict, facts: Facts) -> str:
    """Say in one sentence what is the matter."""
    told = _OVERLAP if facts.overlapping else _HINTS[verdict]
    return told.format(
        noted=", ".join(facts.stamps) or "nothing",
        table=facts.version.name,
        missing=len(facts.tables.missing),
        models=len(facts.tables.models),
        heads=len(facts.graph.heads) if facts.graph else 0,
        unknown=", ".join(facts.unknown),
        pending=_newer(len(facts.pending)),
        unwritten=", ".join(facts.unwritten[:3]),
        where=facts.tables.elsewhere or facts.other_database,
        who=facts.holders[0].sentence if facts.holders else "",
    )


def _newer(count: int) -> str:
    return "1 newer revision is not applied" if count == 1 else f"{count} newer revisions are not applied"


_OVERLAP = "{table} says {noted}, though one of them follows the other: Alembic refuses to work on it"
_HINTS = {
    Verdict.READY: "",
    Verdict.EMPTY: "nothing is there: none of the {models} tables of the models, and no {table}",
    Verdict.PENDING: "{table} says {noted}, and {pending}",
    Verdict.STAMPED_BUT_EMPTY: "{table} says {noted}, and not one table of the models is there",
    Verdict.PARTLY_APPLIED: "{table} says {noted}, and the tables are something in between: {missing} of {models}"
    " are missing",
    Verdict.UNVERSIONED: "tables of the models are there, and {table} says nothing",
    Verdict.VERSION_EMPTY: "{table} is there without a revision, and none of the {models} tables of the models",
    Verdict.UNKNOWN_REVISION: "{table} says {unknown}, which is none of these migrations' revisions",
    Verdict.MULTIPLE_HEADS: "the migrations have {heads} heads, so `upgrade head` refuses to run",
    Verdict.DRIFT: "{table} says {noted}, and the tables are not what the models say",
    Verdict.WRONG_SCHEMA: "{where}",
    Verdict.EMPTY_MIGRATION: "{table} says {noted}, and no revision makes {unwritten}: an empty one stands for it",
    Verdict.BUSY: "{who}",
}


def evidence_of(verdict: Verdict, facts: Facts) -> tuple[str, ...]:
    """Tell what was seen and is not said by the first way itself."""
    return tuple(_seen(verdict, facts))


def _seen(verdict: Verdict, facts: Facts) -> Iterator[str]:
    if verdict is not Verdict.WRONG_SCHEMA and facts.other_database:
        yield facts.other_database
    if facts.unset:
        yield facts.unset
    for name in facts.version.elsewhere:
        yield f"another table {facts.version.name} is in schema {name}"
    if verdict in {Verdict.EMPTY, Verdict.VERSION_EMPTY, Verdict.PENDING} and facts.graph:
        idle = [each for each in facts.pending if each.idle]
        yield from (f"{each.at(each.body.line)}: upgrade() does nothing" for each in idle)
    for kind, name in facts.traces.leftovers:
        yield f"{kind.lower()} {name} is there without a table that uses it"
