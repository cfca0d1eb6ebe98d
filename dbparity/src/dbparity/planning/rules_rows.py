"""Statements about rows, on PostgreSQL: what they lock besides the rows, and how many rows that may be."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dbparity.planning.effect import UNKNOWN, Effect, Kind, Work, breaking, going_on, lock, strongest
from dbparity.planning.locks import Lock, TableLock
from dbparity.planning.rules_tables import read_whole
from dbparity.planning.tokens import parts

if TYPE_CHECKING:
    from dbparity.planning.catalogue import Catalogue
    from dbparity.planning.tokens import Reader

_BATCHES = "In batches with a COMMIT after each, outside of the migration, nobody waits for long."


def insert(words: Reader, at: Catalogue, sets: int = 1) -> Effect:
    """INSERT: of rows that it brings, or of those that a query finds."""
    words.take("INTO")
    name = at.table(words.name()).name
    own = at.whole(name)
    words.take("AS")
    words.group()
    sources = _read(words, name, at)
    at.table(name).rows = None
    if sources:
        work = [Work(Kind.CHANGE_ROWS, source) for source in sources]
    else:
        brought = _brought(words)
        work = [Work(Kind.INSERT_ROWS, own[-1], rows=brought and brought * sets)]
    return going_on(
        f"Old code finds more rows in {name}.",
        *_locks(own, sources, at.referred(name)),
        work=work,
    )


def _brought(words: Reader) -> int | None:
    """How many rows stand behind VALUES; what a function brings is not known."""
    if not words.seek("VALUES"):
        return None if words.has("FROM") else 1
    found = words.rest
    return sum(1 for part in parts(found) if part and part[0].text == "(") or 1


def update(words: Reader, at: Catalogue) -> Effect:
    """UPDATE."""
    own = _written(words, at)
    name = own[0]
    sources = _read(words, name, at)
    limited = words.has("WHERE")
    what = "The rows that it changes" if limited else f"All rows of {name}"
    return going_on(
        f"{what} are locked until the COMMIT; the columns stay the same for old code.",
        *_locks(own, sources, at.referred(name)),
        work=_changing(own, sources),
        hint=_BATCHES,
    )


def delete(words: Reader, at: Catalogue) -> Effect:
    """DELETE."""
    words.take("FROM")
    own = _written(words, at)
    name = own[0]
    sources = _read(words, name, at)
    limited = words.has("WHERE")
    what = "the rows that it finds" if limited else f"any row of {name}"
    locks = _locks(own, sources, [])
    touched = [TableLock(other, Lock.ROW_EXCLUSIVE) for each in own for other in at.referring(each)]
    searched = _without_index(name, at)
    slow = (
        f" An index on what refers to {name} saves reading {', '.join(searched)} for each row."
        if searched
        else ""
    )
    return breaking(
        f"Old code no longer finds {what}.",
        *strongest((*locks, *touched)),
        work=_changing(own, (*sources, *searched)),
        hint=_BATCHES + slow,
    )


def merge(words: Reader, at: Catalogue) -> Effect:
    """MERGE."""
    words.take("INTO")
    own = _written(words, at)
    name = own[0]
    sources = _read(words, name, at)
    return breaking(
        f"Old code finds other rows in {name}.",
        *_locks(own, sources, at.referred(name)),
        work=_changing(own, sources),
        hint=_BATCHES,
    )


def select(words: Reader, at: Catalogue) -> Effect:
    """SELECT."""
    sources = read_whole(words.found, at)
    reads = going_on(
        "It only reads.",
        *lock(Lock.ROW_SHARE if words.has("FOR") else Lock.ACCESS_SHARE, *sources),
        work=[Work(Kind.SCAN, source) for source in sources],
    )
    if words.at("SETVAL (") or words.at("PG_CATALOG . SETVAL ("):
        return replace(reads, reason="Old code takes numbers from where the sequence now is.")
    said = " ".join(token.text for token in words.found)
    if (not sources and words.has("(")) or at.is_volatile(said):
        return UNKNOWN
    return reads


def copy(words: Reader, at: Catalogue) -> Effect:
    """COPY."""
    name = at.table(words.name()).name
    words.group()
    reads = words.take("TO")
    work = Work(Kind.SCAN, name) if reads else Work(Kind.INSERT_ROWS, name)
    mode = Lock.ACCESS_SHARE if reads else Lock.ROW_EXCLUSIVE
    return going_on(
        "It only reads." if reads else f"Old code finds more rows in {name}.",
        *lock(mode, name),
        *lock(Lock.ROW_SHARE, *([] if reads else at.referred(name))),
        work=[work],
    )


def lock_table(words: Reader, at: Catalogue) -> Effect:
    """LOCK TABLE."""
    words.take("TABLE")
    names = [each for name in words.names() for each in at.whole(name)]
    mode = Lock.ACCESS_EXCLUSIVE
    if words.take("IN"):
        said = [token.upper for token in words.rest]
        named = "_".join(said[: said.index("MODE")] if "MODE" in said else said)
        mode = Lock[named] if named in Lock.__members__ else mode
    return going_on("Nothing changes but who may go on meanwhile.", *lock(mode, *names))


def _read(words: Reader, name: str, at: Catalogue) -> tuple[str, ...]:
    """The other tables that the statement reads, also in its WITH."""
    own = at.whole(name)
    return tuple(each for each in read_whole(words.found, at) if each not in own)


def _written(words: Reader, at: Catalogue) -> list[str]:
    """The table whose rows are changed, before all that is written with it."""
    only = words.take("ONLY")
    name = at.table(words.name()).name
    return [name] if only else at.whole(name)


def _changing(own: list[str], sources: tuple[str, ...]) -> list[Work]:
    return [
        *(Work(Kind.CHANGE_ROWS, each) for each in own),
        *(Work(Kind.SCAN, source) for source in sources),
    ]


def _without_index(name: str, at: Catalogue) -> tuple[str, ...]:
    """The tables that are searched from end to end for what refers to a row that goes."""
    return tuple(
        other
        for other in at.referring(name)
        if any(
            key.refers == name
            and not any(set(key.columns) <= set(index.columns) for index in at.tables[other].indexes.values())
            for key in at.tables[other].foreign_keys()
        )
    )


def _locks(own: list[str], sources: tuple[str, ...], referred: list[str]) -> tuple[TableLock, ...]:
    read = lock(Lock.ACCESS_SHARE, *sources)
    return strongest((*lock(Lock.ROW_EXCLUSIVE, *own), *read, *lock(Lock.ROW_SHARE, *referred)))
