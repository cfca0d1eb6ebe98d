"""Two fingerprints side by side: each difference with what it can do to tests, the worst first."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from dbparity.fingerprint import comparing_lists as lists
from dbparity.fingerprint.alike import means_the_same
from dbparity.fingerprint.packages import Role
from dbparity.fingerprint.rating import WORST_FIRST, Effect, rated
from dbparity.fingerprint.rating_postgresql import SETTINGS
from dbparity.fingerprint.rating_tables import FACTS, PACKAGE_SOURCE, PACKAGES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbparity.fingerprint.file import Facts
    from dbparity.fingerprint.rating import Row

NOT_COMPARED = frozenset({"kind", "format", "about"})
PLACE = "place"
TESTED = "tested"
LIBPQ = "libpq"
IF_BOTH = frozenset({"connection"})
"""What one side may not have been able to ask for."""
ABSENT = None
"""What a fact is where there is none: a setting at its default, a package that is not installed."""


@dataclass(frozen=True)
class Difference:
    """One fact that is not the same in both."""

    fact: str
    """Its place, by names with slashes between: "databases/postgresql/settings/TimeZone"."""
    a: Any
    b: Any
    effect: Effect
    why: str
    source: str

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "fact": self.fact,
            "a": self.a,
            "b": self.b,
            "effect": str(self.effect),
            "why": self.why,
            "source": self.source,
        }


@dataclass(frozen=True)
class Comparison:
    """All differences, the worst first, and what could not be compared."""

    differences: list[Difference]
    one_sided: list[str] = field(default_factory=list)
    """Sections that only one of the two has: what was not asked for does not differ."""

    @property
    def changes_results(self) -> bool:
        """Whether any of the differences can."""
        return any(each.effect is Effect.RESULTS for each in self.differences)

    def by_effect(self) -> Iterator[tuple[Effect, list[Difference]]]:
        """The differences in their groups."""
        for effect in WORST_FIRST:
            if found := [each for each in self.differences if each.effect is effect]:
                yield effect, found


def compare(a: Facts, b: Facts) -> Comparison:
    """What differs between two fingerprints, and what that can do."""
    sections = sorted((a.keys() | b.keys()) - NOT_COMPARED)
    both = [name for name in sections if name in a and name in b]
    found = [each for name in both for each in _section(name, a[name], b[name])]
    found.sort(key=lambda each: (WORST_FIRST.index(each.effect), each.fact))
    return Comparison(
        found, [f"{name}: only {'A' if name in a else 'B'} has it" for name in sections if name not in both]
    )


def _section(name: str, a: Facts, b: Facts) -> Iterator[Difference]:
    match name:
        case "packages":
            yield from _packages(a, b)
        case "databases":
            yield from _databases(a, b)
        case "environment":
            yield from (_listed(each) for each in lists.variables(a, b))
        case "engines":
            yield from _engines(a, b)
        case "run":
            yield from (_listed(each) for each in lists.run(a, b))
        case _:
            yield from _facts((name,), a, b)


def _listed(found: lists.Listed) -> Difference:
    return _difference(found.fact, found.a, found.b, found.row)


def _facts(path: tuple[str, ...], a: Any, b: Any) -> Iterator[Difference]:  # noqa: ANN401 - whatever JSON can say
    """The differences of two tables, table within table."""
    if isinstance(a, dict) and isinstance(b, dict):
        for name in sorted(a.keys() | b.keys()):
            if name in IF_BOTH and not (_was_asked(a, name) and _was_asked(b, name)):
                continue
            yield from _facts((*path, name), a.get(name, ABSENT), b.get(name, ABSENT))
        return
    if a == b:
        return
    if ABSENT in (a, b) and (isinstance(a, dict) or isinstance(b, dict)):
        yield from _facts(path, a or {}, b or {})
        return
    fact = "/".join(path)
    yield _difference(fact, a, b, means_the_same(path[-1], a, b) or _row(path, fact))


def _was_asked(side: Facts, name: str) -> bool:
    return "unknown" not in (side.get(name) or {"unknown": None})


def _row(path: tuple[str, ...], fact: str) -> Row:
    return rated(SETTINGS, path[-1]) if "settings" in path[:-1] else rated(FACTS, fact)


def _databases(a: Facts, b: Facts) -> Iterator[Difference]:
    for name in sorted(a.keys() | b.keys()):
        if name in a and name in b:
            yield from (_listed(each) for each in lists.collations(name, a[name], b[name]))
            yield from _facts(("databases", name), *_fact_by_fact(a[name], b[name]))
        else:
            row = rated(FACTS, "databases")
            sides = [TESTED if name in side else ABSENT for side in (a, b)]
            yield _difference(f"databases/{name}", sides[0], sides[1], row)


def _engines(a: Facts, b: Facts) -> Iterator[Difference]:
    """Engines that both runs have used are left out; the others are laid beside each other as far as they go."""
    for backend in sorted(a.keys() & b.keys()):
        ours = [each for each in a[backend] if each not in b[backend]]
        theirs = [each for each in b[backend] if each not in a[backend]]
        for one, other in zip_longest(ours, theirs):
            if one is not None and other is not None:
                yield from _facts(("engines", backend), one, other)
            else:
                fact = f"engines/{backend}"
                yield _difference(fact, _pool(one), _pool(other), rated(FACTS, "engines"))


def _pool(engine: Facts | None) -> str | None:
    """An engine in a few words."""
    if engine is None:
        return None
    pool = engine["pool"]
    return f"{engine['driver']}, {pool['class']}" + (f" of {pool['size']}" if "size" in pool else "")


def _fact_by_fact(a: Facts, b: Facts) -> Iterator[Facts]:
    """Both without what is compared as a whole, and without what another driver does not have."""
    left_out = {PLACE, lists.COLLATION} | (set() if a.get("driver") == b.get("driver") else {LIBPQ})
    for side in (a, b):
        yield {name: value for name, value in side.items() if name not in left_out}


def _packages(a: Facts, b: Facts) -> Iterator[Difference]:
    """By version; the stronger of the two roles counts: a run knows of imports that a command does not."""
    for name in sorted(a.keys() | b.keys()):
        sides = [side.get(name) or {} for side in (a, b)]
        versions = [side.get("version", ABSENT) for side in sides]
        if versions[0] == versions[1]:
            continue
        role = min((_role(side) for side in sides if side), key=tuple(Role).index)
        effect, why = PACKAGES[role]
        yield Difference(f"packages/{name}", versions[0], versions[1], effect, why, PACKAGE_SOURCE)


def _role(package: Facts) -> Role:
    try:
        return Role(str(package.get("role")))
    except ValueError:
        return Role.UNKNOWN


def _difference(fact: str, a: Any, b: Any, row: Row) -> Difference:  # noqa: ANN401 - whatever JSON can say
    return Difference(fact, a, b, row.effect, row.why, row.source)
