"""The verdict on a database, from facts alone: reality first, then what the version table claims about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbparity.schema.report import Verdict

if TYPE_CHECKING:
    from dbparity.schema.facts import Facts


def verdict_of(facts: Facts) -> Verdict:
    """Name the state of the database as if nobody were changing it; `busy` comes before all this."""
    if facts.tables.none_there and facts.tables.elsewhere:
        return Verdict.WRONG_SCHEMA
    if facts.graph is None:
        return _without_graph(facts)
    if facts.unknown:
        return Verdict.UNKNOWN_REVISION
    if facts.overlapping:
        return Verdict.MULTIPLE_HEADS
    if not facts.stamps:
        return _unnoted(facts)
    return _at_head(facts) if facts.at_head else _behind(facts)


def _without_graph(facts: Facts) -> Verdict:
    """As `compare` says: no revision is judged where no migrations are known."""
    if facts.tables.none_there:
        return _nothing(facts) if not facts.stamps else Verdict.STAMPED_BUT_EMPTY
    if facts.tables.missing:
        return Verdict.PARTLY_APPLIED
    return Verdict.DRIFT if facts.tables.differences else Verdict.READY


def _nothing(facts: Facts) -> Verdict:
    if facts.revisions is not None:
        return Verdict.VERSION_EMPTY
    return Verdict.WRONG_SCHEMA if facts.other_database else Verdict.EMPTY


def _unnoted(facts: Facts) -> Verdict:
    if not facts.tables.none_there:
        half = facts.tables.missing and facts.sqlite and facts.revisions is not None
        return Verdict.PARTLY_APPLIED if half else Verdict.UNVERSIONED
    several = facts.graph is not None and len(facts.graph.heads) > 1
    return Verdict.MULTIPLE_HEADS if several else _nothing(facts)


def _at_head(facts: Facts) -> Verdict:
    tables = facts.tables
    if not tables.differences:
        return Verdict.READY
    lost = set(tables.missing) - set(facts.unwritten)
    if facts.idle and facts.unwritten and not lost:
        return Verdict.EMPTY_MIGRATION
    if tables.none_there:
        return Verdict.STAMPED_BUT_EMPTY
    return Verdict.PARTLY_APPLIED if lost else Verdict.DRIFT


def _behind(facts: Facts) -> Verdict:
    tables = facts.tables
    if tables.none_there and any(
        each.body.mentions(name) for each in facts.applied for name in tables.models
    ):
        return Verdict.STAMPED_BUT_EMPTY
    if facts.lost or facts.ahead or facts.broken_off:
        return Verdict.PARTLY_APPLIED
    several = facts.graph is not None and len(facts.graph.heads) > 1
    return Verdict.MULTIPLE_HEADS if several else Verdict.PENDING
