"""The command that mends a state, and what is lost by it.

Commands are those of Alembic as typed in the project's folder; one that ends in a semicolon is SQL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbparity.schema.report import Remedy, Verdict, Way

if TYPE_CHECKING:
    from collections.abc import Callable

    from dbparity.schema.facts import Facts

UPGRADE = "upgrade head"
AGAIN = "stamp --purge base"
"""Forget what is noted, so that an upgrade begins at the beginning."""

ALL = "every row in this database"


def remedy_for(verdict: Verdict, facts: Facts, ways: tuple[Way, ...]) -> Remedy:
    """Return what mends the most likely of these ways."""
    if facts.graph is None and verdict not in {Verdict.WRONG_SCHEMA, Verdict.BUSY}:
        return _by_hand(verdict)
    number = ways[0].number if ways else 0
    special = _BY_WAY.get(number)
    return special(facts) if special else _BY_VERDICT[verdict](facts)


def _by_hand(verdict: Verdict) -> Remedy:
    """Where no migrations are known, what builds the tables is not known either."""
    if verdict in {Verdict.PARTLY_APPLIED, Verdict.DRIFT}:
        return Remedy(
            loses=ALL, first="Drop the tables and make them again: metadata.create_all(), or migrations."
        )
    return Remedy(first="Make the tables: by metadata.create_all(engine), or by the migrations.")


def _alembic(facts: Facts, *words: str) -> tuple[str, ...]:
    loaded = facts.graph
    return tuple(loaded.command(each) if loaded else f"alembic {each}" for each in words)


def _upgrade(facts: Facts) -> Remedy:
    return Remedy(_alembic(facts, UPGRADE))


def _again(facts: Facts) -> Remedy:
    """Nothing of the models is there, so nothing is lost; what a new upgrade would stumble over goes first."""
    drops = tuple(
        f'DROP {kind} "{name}";' for kind, name in facts.traces.leftovers if kind in {"TYPE", "SEQUENCE"}
    )
    return Remedy((*drops, *_alembic(facts, AGAIN, UPGRADE)))


def _anew(facts: Facts) -> Remedy:
    """Take everything away and build it again: only for a database whose rows nobody needs."""
    first = "If its rows are needed, restore a whole backup instead."
    if facts.sqlite:
        return Remedy((f"rm {facts.here.database}", *_alembic(facts, UPGRADE)), ALL, first)
    named = {name.partition(".")[0] for name in facts.tables.models if "." in name}
    schemas = sorted({facts.here.schema or "public", *named})
    drops = tuple(f"DROP SCHEMA {each} CASCADE; CREATE SCHEMA {each};" for each in schemas)
    return Remedy((*drops, *_alembic(facts, UPGRADE)), ALL, first)


def _note(facts: Facts) -> Remedy:
    """Tables are there without a revision: note the newest one if they are what it makes."""
    if facts.tables.differences:
        return _anew(facts)
    return Remedy(_alembic(facts, "stamp head"), first="The tables are what the models say.")


def _regenerate(facts: Facts) -> Remedy:
    named = ", ".join(each.path.name for each in facts.idle)
    first = f"Import the modules of the models in env.py, set target_metadata, and delete {named}."
    words = ('revision --autogenerate -m "what was missing"', UPGRADE)
    if len(facts.idle) < len(facts.applied):
        first = first.replace(f", and delete {named}", "; the empty revision can stay")
        return Remedy(_alembic(facts, *words), first=first)
    return Remedy(_alembic(facts, AGAIN, *words), first=first)


def _mend_environment(facts: Facts) -> Remedy:
    ways = facts.environment.notes
    lines = [note.sentence.split(" runs ")[0] for note in ways if note.way in {4, 5, 7}]
    first = (
        f"Mend {lines[0] if lines else 'env.py'}: commit what runs before configure() (or use engine.begin()),"
        " and run the migrations inside `with context.begin_transaction()`."
    )
    if not facts.tables.none_there:
        return _replaced(_anew(facts), first)
    return Remedy(_alembic(facts, UPGRADE), first=first)


def _replaced(remedy: Remedy, first: str) -> Remedy:
    return Remedy(remedy.commands, remedy.loses, f"{first} {remedy.first}")


def _locate(facts: Facts) -> Remedy:
    folders = ", ".join(str(each) for each in facts.graph.folders) if facts.graph else "versions"
    first = (
        f"Set script_location (or version_locations) to the folder with the revisions: {folders} has none."
    )
    return Remedy(_alembic(facts, UPGRADE), first=first)


def _unguard(facts: Facts) -> Remedy:
    where = facts.guarded[0].split(" makes ", maxsplit=1)[0] if facts.guarded else "the revisions"
    first = f"Take the condition out of {where}, or run the upgrade where it holds."
    return Remedy(_again(facts).commands, first=first)


def _point(facts: Facts) -> Remedy:
    if facts.tables.elsewhere or facts.version.elsewhere:
        return _search(facts)
    first = f"Let the migrations go to {facts.here}: by sqlalchemy.url, or the variable that env.py reads."
    return Remedy(_alembic(facts, UPGRADE), first=first)


def _search(facts: Facts) -> Remedy:
    """Let search_path reach the tables, or the version table stand beside them."""
    if not facts.tables.missing:
        schema, name = facts.version.elsewhere[0], facts.version.name
        first = (
            f'Set version_table to "{schema}.{name}" (with --version-table here), or move it to the tables:'
        )
        return Remedy(
            (f"ALTER TABLE {schema}.{name} SET SCHEMA {facts.here.schema or 'public'};",), first=first
        )
    first = "Let every connection, env.py's too, look into the schema that holds the tables; for new ones:"
    path = ", ".join(dict.fromkeys([*facts.tables.schemas, "public"]))
    return Remedy((f'ALTER DATABASE "{facts.here.database}" SET search_path TO {path};',), first=first)


def _clean_template(facts: Facts) -> Remedy:
    drop = f"DROP TABLE {facts.version.quoted};"
    first = f"In template1, else the next database is born the same: {drop} Then here:"
    return Remedy(_again(facts).commands, first=first)


def _mend_revision(facts: Facts) -> Remedy:
    named = facts.pending[0].path.name if facts.pending else "the revision"
    first = f"Read the upgrade's error and mend {named}."
    if facts.lost or (facts.revisions == () and not facts.tables.none_there):
        return _replaced(_anew(facts), first)
    if facts.ahead:
        half = ", ".join(name for name, _ in facts.ahead)
        drops = tuple(f"DROP TABLE {name};" for name, _ in reversed(facts.ahead))
        return Remedy((*drops, *_alembic(facts, UPGRADE)), f"the rows of {half}", first)
    return Remedy(_alembic(facts, UPGRADE), first=first)


def _merge(facts: Facts) -> Remedy:
    if facts.overlapping:
        first = "If the tables are those of the newest revision:"
        return Remedy(_alembic(facts, "stamp --purge heads"), first=first)
    return Remedy(_alembic(facts, 'merge heads -m "merge"', UPGRADE))


def _switch(facts: Facts) -> Remedy:
    first = f"Check out the branch that has {', '.join(facts.unknown)}. Or, if the rows are not needed:"
    rest = _anew(facts)
    return Remedy(rest.commands, rest.loses, first)


def _write(facts: Facts) -> Remedy:
    if facts.tables.differences and not facts.unwritten:
        return Remedy(
            _alembic(facts, 'revision --autogenerate -m "what differs"', UPGRADE),
            first="If the models are right; read the new revision before it runs, it may drop columns.",
        )
    return Remedy(_alembic(facts, 'revision --autogenerate -m "what the models gained"', UPGRADE))


def _wait(facts: Facts) -> Remedy:
    pids = [holder.pid for holder in facts.holders if holder.pid is not None]
    first = "Wait until it has ended."
    if not pids:
        return Remedy(first=first)
    first = f"{first} If it never will, end it; what it has not committed is undone:"
    kill = f"kill {pids[0]}" if facts.sqlite else f"SELECT pg_terminate_backend({pids[0]});"
    return Remedy((kill,), "the work of that transaction", first)


_BY_WAY: dict[int, Callable[[Facts], Remedy]] = {
    3: _regenerate,
    4: _mend_environment,
    5: _mend_environment,
    6: _mend_environment,
    7: _mend_environment,
    8: _locate,
    10: _unguard,
    11: _point,
    12: _point,
    13: _clean_template,
    15: _mend_revision,
}
_BY_VERDICT: dict[Verdict, Callable[[Facts], Remedy]] = {
    Verdict.EMPTY: _upgrade,
    Verdict.PENDING: _upgrade,
    Verdict.VERSION_EMPTY: _upgrade,
    Verdict.STAMPED_BUT_EMPTY: _again,
    Verdict.PARTLY_APPLIED: _anew,
    Verdict.UNVERSIONED: _note,
    Verdict.UNKNOWN_REVISION: _switch,
    Verdict.MULTIPLE_HEADS: _merge,
    Verdict.DRIFT: _write,
    Verdict.WRONG_SCHEMA: _point,
    Verdict.EMPTY_MIGRATION: _regenerate,
    Verdict.BUSY: _wait,
}
