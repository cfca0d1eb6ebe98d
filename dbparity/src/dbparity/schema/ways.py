"""Which of the known ways led to a state: candidates with what speaks for each, the most likely first.

Several ways leave the same state behind, so nothing is concluded beyond the evidence. A way that the catalogue
or a revision shows comes before one that env.py would allow, and that before one that is only possible.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from dbparity.schema.report import Verdict, Way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from dbparity.schema.facts import Facts

RULED_OUT, POSSIBLE, LIKELY, SHOWN, CERTAIN = range(-1, 4)

NAMES = {
    1: "`alembic stamp` noted the revision without running it",
    2: "the tables were dropped afterwards (metadata.drop_all(), as a test session's end does), and the version"
    " table is not among the models",
    3: "a revision was generated while env.py knew no models, so its body does nothing",
    4: "env.py ran a statement before configure(), so the upgrade was rolled back in silence",
    5: "env.py runs the migrations without begin_transaction(), so the upgrade was rolled back in silence",
    6: "the version table was there already, and env.py's upgrade after it was rolled back in silence",
    7: "env.py shares an async connection on which a statement had run, so the upgrade was rolled back in silence",
    8: "Alembic found no revisions: the script location is wrong, or its versions folder is empty",
    9: "`alembic downgrade base` took everything away",
    10: "a revision's work depends on a condition that did not hold when it ran",
    11: "the migrations go to another database than this connection",
    12: "tables and version table are in different schemas, by search_path or version_table_schema",
    13: "the version table was in the template that this database was made from (template1, as a rule)",
    14: "`alembic upgrade --sql` only printed the statements",
    15: "an upgrade failed in one of its revisions",
    16: "several upgrades run at once",
    17: "the migrations have several heads",
    18: "the database was migrated by other revisions than these: another branch, or an old volume",
    19: "every table was emptied (TRUNCATE, DELETE), and the version table with them",
}
CREATED = "create_all() made the tables, and no migration did"
"""The other half of way 19: the tables are there without the version, not the version without its rows."""

SWALLOWED = (4, 5, 7)


@dataclass(frozen=True)
class Candidate:
    """A way, and how much speaks for it."""

    strength: int
    way: Way


def ways_to(verdict: Verdict, facts: Facts) -> tuple[Way, ...]:
    """Return the ways that may have led to this verdict, the most likely first."""
    found = [candidate for look in _LOOKS.get(verdict, ()) for candidate in look(facts)]
    kept = [candidate for candidate in found if candidate.strength > RULED_OUT]
    return tuple(each.way for each in sorted(kept, key=attrgetter("strength"), reverse=True))


def _way(number: int, strength: int, *evidence: str, name: str = "") -> Candidate:
    said = tuple(sentence for sentence in evidence if sentence)
    return Candidate(strength, Way(number, name or NAMES[number], said))


def _not_yet(facts: Facts) -> Iterable[Candidate]:
    untouched = facts.traces.known and facts.traces.made == 0
    said = "no table was ever made in this database" if untouched else ""
    yield _way(0, LIKELY if untouched else POSSIBLE, said, name="nothing has been built here yet")


def _behind(facts: Facts) -> Iterable[Candidate]:
    newest = ", ".join(each.at(each.body.line) for each in facts.pending[:3])
    yield _way(
        0, LIKELY, newest and f"not applied: {newest}", name="newer revisions have not been applied yet"
    )


def _stamped(facts: Facts) -> Iterable[Candidate]:
    only = facts.traces.known and not facts.traces.vanished and facts.traces.made <= 1
    said = "nothing but the version table was ever made in this database" if only else ""
    yield _way(1, LIKELY if only else POSSIBLE, said)


def _dropped(facts: Facts) -> Iterable[Candidate]:
    if facts.graph is not None and not any(
        each.body.mentions(name) for each in facts.applied for name in facts.tables.missing
    ):
        return  # nothing is missing that had been made
    gone = facts.traces.dropped
    said = f"{_counted(gone)} dropped in this database" if gone else ""
    left = [f"{kind.lower()} {name} is still there" for kind, name in facts.traces.leftovers]
    yield _way(2, SHOWN + 1 if gone else SHOWN if left else POSSIBLE, said, *left)


def _generated_empty(facts: Facts) -> Iterable[Candidate]:
    if not facts.idle or not facts.unwritten:
        return
    bodies = [f"{each.at(each.body.line)}: upgrade() does nothing" for each in facts.idle]
    unwritten = f"no revision makes {', '.join(facts.unwritten[:5])}"
    yield _way(3, SHOWN, *bodies, unwritten, *facts.environment.about(3))


def _swallowed(facts: Facts) -> Iterable[Candidate]:
    gone = facts.traces.vanished
    rolled_back = f"{_counted(gone)} made here in a transaction that was rolled back" if gone else ""
    for number in SWALLOWED:
        if said := facts.environment.about(number):
            yield _way(number, SHOWN if gone else LIKELY + 1, *said, rolled_back)


def _swallowed_later(facts: Facts) -> Iterable[Candidate]:
    """The same, where a version table was there before: made by ensure_version or `stamp base`."""
    said = facts.environment.about(*SWALLOWED)
    numbers = [number for number in SWALLOWED if facts.environment.about(number)]
    gone = facts.traces.vanished
    rolled_back = f"{_counted(gone)} made here in a transaction that was rolled back" if gone else ""
    if said:
        named = " and ".join(f"way {number}" for number in numbers)
        yield _way(6, SHOWN, *said, rolled_back, name=f"{NAMES[6]} ({named})")


def _no_revisions(facts: Facts) -> Iterable[Candidate]:
    if facts.graph is not None and not facts.graph.revisions:
        looked = ", ".join(str(folder) for folder in facts.graph.folders)
        missing = [folder for folder in facts.graph.folders if not folder.is_dir()]
        yield _way(8, CERTAIN, f"{looked} {'does not exist' if missing else 'holds no revision'}")


def _downgraded(facts: Facts) -> Iterable[Candidate]:
    traces = facts.traces
    deleted = f"the version table had {_rows(traces.unnoted)}, since deleted" if traces.unnoted else ""
    dropped = f"{_counted(traces.dropped)} dropped in this database" if traces.dropped else ""
    yield _way(
        9, CERTAIN if deleted and dropped else LIKELY if deleted or dropped else POSSIBLE, deleted, dropped
    )


def _begun_only(facts: Facts) -> Iterable[Candidate]:
    never = facts.traces.known and not facts.traces.noted and facts.traces.made <= 1
    said = "nothing but the version table was ever made in this database" if never else ""
    name = "the version table was made (stamp base, ensure_version), and no upgrade has run since"
    yield _way(0, LIKELY if never else POSSIBLE, said, name=name)


def _guarded(facts: Facts) -> Iterable[Candidate]:
    if facts.guarded or facts.tables.none_there:  # a condition may stand in a function that a revision calls
        yield _way(10, SHOWN if facts.guarded else POSSIBLE, *facts.guarded)


def _other_database(facts: Facts) -> Iterable[Candidate]:
    if facts.other_database:
        yield _way(11, SHOWN, facts.other_database)


def _other_schema(facts: Facts) -> Iterable[Candidate]:
    elsewhere = [f"a table {facts.version.name} is in schema {name}" for name in facts.version.elsewhere]
    if facts.tables.elsewhere or elsewhere:
        noted = (
            f"this connection reads {facts.version.name}: {', '.join(facts.stamps)}" if facts.stamps else ""
        )
        said = (facts.tables.elsewhere, noted, *elsewhere, *facts.environment.about(12))
        yield _way(12, CERTAIN, *said)


def _inherited(facts: Facts) -> Iterable[Candidate]:
    if facts.traces.inherited:
        said = "the version table is older than this database itself, so it was copied with the template"
        # A clone of a sound database whose tables were dropped here has such a version table too.
        yield _way(13, POSSIBLE if facts.traces.dropped else CERTAIN, said)


def _printed(facts: Facts) -> Iterable[Candidate]:
    said = [f"{name} is what such an upgrade printed" for name in facts.scripts]
    ruled_out = bool(facts.traces.vanished)
    yield _way(14, RULED_OUT if ruled_out else LIKELY + 1 if said else POSSIBLE, *said)


def _failed(facts: Facts) -> Iterable[Candidate]:
    gone = facts.traces.vanished
    rolled_back = f"{_counted(gone)} made here in a transaction that was rolled back" if gone else ""
    ahead = [f"{name} is there, which {by.path.name} makes and is not noted" for name, by in facts.ahead]
    alone = [
        f"{each.path.name} commits in the middle (autocommit_block)"
        for each in facts.pending
        if each.body.alone
    ]
    apart = (
        "SQLite keeps what a failed migration has made" if facts.sqlite and (ahead or facts.stamps) else ""
    )
    said = (rolled_back, *ahead, *alone, facts.environment.commits_each, *facts.environment.about(15))
    # In a database that is merely behind, what was rolled back may have been anything at any time.
    shown = bool(ahead) or facts.broken_off or bool(gone and not facts.stamps)
    likely = any(said[1:])
    yield _way(15, SHOWN if shown else LIKELY if likely and not facts.stamps else POSSIBLE, *said, apart)


def _at_once(facts: Facts) -> Iterable[Candidate]:
    waiting = [each for holder in facts.holders for each in holder.waiting]
    said = [holder.sentence for holder in facts.holders]
    name = "an upgrade, or another change of the schema, is running"
    if waiting or len(said) > 1:
        yield _way(16, CERTAIN, *said, *waiting)
    else:
        yield _way(0, CERTAIN, *said, name=name)


def _several_heads(facts: Facts) -> Iterable[Candidate]:
    loaded = facts.graph
    if facts.overlapping:
        name = "the version table was written by hand, or by two upgrades at once"
        yield _way(
            0, CERTAIN, f"{', '.join(facts.overlapping)} is followed by another that is noted", name=name
        )
    elif loaded is not None:
        yield _way(
            17, CERTAIN, *(f"{head} is in {loaded.revisions[head].path.name}" for head in loaded.heads)
        )


def _foreign(facts: Facts) -> Iterable[Candidate]:
    if facts.graph is None:
        return
    said = []
    for revision in facts.unknown:
        pattern = f"__pycache__/*{revision}*.pyc" if revision.isalnum() else ""
        found = [path for folder in facts.graph.folders for path in (folder.glob(pattern) if pattern else ())]
        said += [f"{path.name} is left in __pycache__: {revision} was in this checkout" for path in found[:1]]
    yield _way(18, SHOWN, f"no revision here is {', '.join(facts.unknown)}", *said)


def _emptied(facts: Facts) -> Iterable[Candidate]:
    if facts.revisions is None:
        return
    traces = facts.traces
    truncated = "the version table was emptied by TRUNCATE" if traces.truncated else ""
    deleted = f"the version table had {_rows(traces.unnoted)}, since deleted" if traces.unnoted else ""
    there = not facts.tables.none_there
    said = "the tables are there, and the version table is empty" if there else ""
    yield _way(
        19,
        SHOWN if truncated or (deleted and there) else LIKELY if there else POSSIBLE,
        truncated,
        deleted,
        said,
    )


def _created_beside(facts: Facts) -> Iterable[Candidate]:
    if facts.revisions is None and not facts.version.elsewhere:
        said = "the tables are there, and there is no version table: an upgrade would stumble over them"
        yield _way(19, LIKELY, said, name=CREATED)
    elif facts.stamps and facts.ahead:
        names = ", ".join(name for name, _ in facts.ahead[:5])
        yield _way(19, LIKELY, f"an upgrade would make {names} once more", name=CREATED)


def _changed(facts: Facts) -> Iterable[Candidate]:
    if facts.unwritten:
        said = f"no revision makes {', '.join(facts.unwritten[:5])}"
        yield _way(0, SHOWN, said, name="the models changed, and nobody has written the revision for it")
    else:
        yield _way(0, LIKELY, name="the tables were changed by hand, or by revisions of another version")


def _counted(tables: int) -> str:
    return f"{tables} table{' was' if tables == 1 else 's were'}"


def _rows(count: int) -> str:
    return f"{count} revision{'' if count == 1 else 's'}"


_LOOKS: dict[Verdict, tuple[Callable[[Facts], Iterable[Candidate]], ...]] = {
    Verdict.EMPTY: (_no_revisions, _swallowed, _not_yet, _printed, _failed, _other_database),
    Verdict.VERSION_EMPTY: (_no_revisions, _swallowed_later, _downgraded, _begun_only, _emptied),
    Verdict.STAMPED_BUT_EMPTY: (_inherited, _dropped, _stamped, _guarded, _generated_empty),
    Verdict.EMPTY_MIGRATION: (_generated_empty,),
    Verdict.PARTLY_APPLIED: (_failed, _guarded, _dropped, _swallowed, _created_beside, _generated_empty),
    Verdict.PENDING: (_behind, _failed, _other_database),
    Verdict.UNVERSIONED: (_other_schema, _swallowed, _emptied, _created_beside),
    Verdict.UNKNOWN_REVISION: (_no_revisions, _foreign),
    Verdict.MULTIPLE_HEADS: (_several_heads,),
    Verdict.WRONG_SCHEMA: (_other_schema, _other_database),
    Verdict.DRIFT: (_changed, _guarded),
    Verdict.BUSY: (_at_once,),
}
