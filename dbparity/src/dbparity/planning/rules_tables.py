"""CREATE, DROP and TRUNCATE of tables, views and sequences, on PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbparity.planning import definitions
from dbparity.planning.catalogue import Table
from dbparity.planning.effect import Effect, Kind, Sum, Work, breaking, going_on, lock
from dbparity.planning.locks import Lock, TableLock
from dbparity.planning.tokens import Reader, parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbparity.planning.catalogue import Catalogue
    from dbparity.planning.tokens import Token

TIES_BACK_SINCE = 15
"""The version of PostgreSQL since which writers to the tables that refer to it wait for a new partition."""
_READ_AFTER = ("FROM", "JOIN", "USING")


def create_table(words: Reader, at: Catalogue) -> Effect:
    """CREATE TABLE, also as a partition and AS SELECT."""
    kept = words.take("IF NOT EXISTS")
    name = words.name()
    if kept and at.table(name).known:
        return going_on("The table is there already.")
    if words.take("PARTITION OF"):
        return _partition(name, words.name(), at)
    if words.has("AS"):
        return _as_select(name, words, at)
    inside = words.group()
    made = definitions.table(name, inside)
    at.tables[name] = made
    like = [Reader(item[1:]).name() for item in parts(inside) if item[0].upper == "LIKE"]
    referred = []
    for key in made.foreign_keys():
        key.refers = at.table(key.refers).name if key.refers != name else name
        referred += at.family(key.refers) if key.refers != name else []
    parents = [at.table(each).name for each in words.names()] if words.take("INHERITS (") else []
    for parent in parents:
        at.table(parent).children.append(name)
    return going_on(
        f"Old code does not know {name}.",
        *lock(Lock.ACCESS_EXCLUSIVE, name),
        *lock(Lock.SHARE_ROW_EXCLUSIVE, *sorted(set(referred) - {name})),
        *lock(Lock.SHARE_UPDATE_EXCLUSIVE, *parents),
        *lock(Lock.ACCESS_SHARE, *(at.table(each).name for each in like)),
    )


def _partition(name: str, parent: str, at: Catalogue) -> Effect:
    above = at.table(parent)
    above.children.append(name)
    at.tables[name] = Table(name, 0, 0, new=True, known=True, columns=dict(above.columns))
    beside, work = beside_partition(above, at)
    return going_on(
        f"Old code uses {above.name} as before.",
        *lock(Lock.ACCESS_EXCLUSIVE, name, above.name),
        *beside,
        work=work,
        hint="CREATE TABLE ... (LIKE ...) and then ATTACH PARTITION: that locks out nobody.",
    )


def beside_partition(above: Table, at: Catalogue) -> tuple[tuple[TableLock, ...], list[Work]]:
    """What a partition that comes takes beside itself: those that foreign keys tie, and the DEFAULT partition."""
    back = Lock.SHARE_ROW_EXCLUSIVE if at.version >= TIES_BACK_SINCE else Lock.ACCESS_SHARE
    rest = [above.rest] if above.rest else []
    tied = (*lock(Lock.SHARE_ROW_EXCLUSIVE, *at.referred(above.name)), *lock(back, *at.referring(above.name)))
    locks = (*tied, *lock(Lock.ACCESS_EXCLUSIVE, *rest))
    return locks, [Work(Kind.SCAN, each) for each in rest]


def _as_select(name: str, words: Reader, at: Catalogue) -> Effect:
    at.tables[name] = Table(name, new=True, known=True)
    sources = read_whole(words.rest, at)
    return going_on(
        f"Old code does not know {name}.",
        *lock(Lock.ACCESS_EXCLUSIVE, name),
        *lock(Lock.ACCESS_SHARE, *sources),
        work=[Work(Kind.SCAN, source) for source in sources],
    )


def create_view(words: Reader, at: Catalogue, *, replaced: bool = False, stored: bool = False) -> Effect:
    """CREATE [OR REPLACE] [MATERIALIZED] VIEW."""
    words.take("IF NOT EXISTS")
    name = words.name()
    before = at.table(name)
    there, name = before.known, before.name
    sources = read_tables(words.rest, at)
    at.tables[name] = Table(name, new=not there, known=True, kind="view", sources=list(sources))
    locks = (*lock(Lock.ACCESS_EXCLUSIVE, name), *lock(Lock.ACCESS_SHARE, *sources))
    if replaced and there:
        return breaking(f"Old code that reads {name} gets what the new definition says.", *locks)
    if not stored:
        return going_on(f"Old code does not know {name}.", *locks)
    whole = read_whole(words.rest, at)
    work = [Work(Kind.SCAN, source) for source in whole]
    return going_on(f"Old code does not know {name}.", *locks, *lock(Lock.ACCESS_SHARE, *whole), work=work)


def refresh(words: Reader, at: Catalogue) -> Effect:
    """REFRESH MATERIALIZED VIEW."""
    quietly = words.take("CONCURRENTLY")
    name = at.table(words.name()).name
    mode = Lock.EXCLUSIVE if quietly else Lock.ACCESS_EXCLUSIVE
    sources = [each for source in at.table(name).sources for each in at.whole(source)]
    work = [
        Work(Kind.SCAN if quietly else Kind.REWRITE, name),
        *(Work(Kind.SCAN, source) for source in sources),
    ]
    hint = "" if quietly else "CONCURRENTLY lets others read meanwhile; it takes a unique index."
    return going_on(
        "Old code reads fresher rows.",
        *lock(mode, name),
        *lock(Lock.ACCESS_SHARE, *sources),
        work=work,
        hint=hint,
    )


def drop_table(words: Reader, at: Catalogue) -> Effect:
    """DROP TABLE, VIEW, MATERIALIZED VIEW, SEQUENCE."""
    words.take("IF EXISTS")
    names = [at.table(each).name for each in words.names()]
    cascade = bool(words.take("CASCADE"))
    total = Sum()
    for name in names:
        others = {*at.referred(name), *((*at.referring(name), *at.views(name)) if cascade else ())}
        if (above := at.parent(name)) is not None:
            others |= {above.name, above.rest} - {""}
        locks = lock(Lock.ACCESS_EXCLUSIVE, *at.family(name), *sorted(others - {name}))
        total.add(
            breaking(
                f"Old code that uses {name} fails.",
                *locks,
                hint="Deploy code that no longer uses it first; drop it in a later release.",
            )
        )
        at.drop(name)
    return total.total()


def truncate(words: Reader, at: Catalogue) -> Effect:
    """TRUNCATE."""
    words.take("TABLE")
    names = [each for name in words.names() for each in at.family(name)]
    cascade = words.has("CASCADE")
    waiting = list(names)
    while cascade and waiting:
        more = [each for each in at.referring(waiting.pop()) if each not in names]
        names += more
        waiting += more
    return breaking(
        f"The rows of {', '.join(names)} are gone for old code too.", *lock(Lock.ACCESS_EXCLUSIVE, *names)
    )


def alter_sequence(words: Reader, at: Catalogue) -> Effect:
    """ALTER SEQUENCE."""
    words.take("IF EXISTS")
    name = at.table(words.name()).name
    if words.at("RENAME") or words.at("SET SCHEMA") or words.at("OWNER TO"):
        return breaking(f"Old code that names {name} fails.", *lock(Lock.ACCESS_EXCLUSIVE, name))
    own = lock(Lock.SHARE_ROW_EXCLUSIVE, name)
    if words.take("OWNED BY"):
        table = at.table(words.name().rpartition(".")[0] or "none")
        return going_on(
            "Old code takes numbers as before.", *own, *lock(Lock.ACCESS_SHARE, *[table.name] * table.known)
        )
    return going_on("Old code takes numbers as before, from where the sequence now is.", *own)


def read_tables(found: Sequence[Token], at: Catalogue) -> tuple[str, ...]:
    """The tables that a query reads, as far as they are known by name."""
    names: list[str] = []
    for place, token in enumerate(found[:-1]):
        if token.upper in _READ_AFTER or (token.upper == "," and names):
            rest = found[place + 1 :]
            skip = 1 if rest and rest[0].upper in {"ONLY", "LATERAL"} else 0
            name = ".".join(_dotted(rest[skip:]))
            name = at.schemas.get(name, name)
            if name in at.tables and at.tables[name].known:
                names.append(name)
    return tuple(dict.fromkeys(names))


def read_whole(found: Sequence[Token], at: Catalogue) -> tuple[str, ...]:
    """The same with their partitions, and with what views read."""
    return tuple(dict.fromkeys(each for name in read_tables(found, at) for each in at.whole(name)))


def _dotted(found: Sequence[Token]) -> list[str]:
    names = []
    for place, token in enumerate(found):
        if place % 2 == 0 and token.identifier:
            names.append(token.identifier)
        elif not (place % 2 and token.text == "."):
            break
    return names
