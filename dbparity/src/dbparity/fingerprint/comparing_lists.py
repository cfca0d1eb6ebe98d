"""The comparisons that are not fact by fact: variables by their names, runs by order and split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from dbparity.fingerprint.alike import means_the_same
from dbparity.fingerprint.rating import NOT_RATED, Row, rated
from dbparity.fingerprint.rating_tables import DECLARED, FACTS, UNCONTRACTED, UNDECLARED, VARIABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbparity.fingerprint.file import Facts

COLLATION = "collation"
SET, UNSET = "set", "not set"
ORDER, SPLIT, TESTS = "run/order", "run/split", "run/tests"


class Listed(NamedTuple):
    """A difference and its judgement."""

    fact: str
    a: Any
    b: Any
    row: Row


def collations(database: str, a: Facts, b: Facts) -> Iterator[Listed]:
    """What text is sorted by, what its letters are, and the version of either where it is the same."""
    ours, theirs = a.get(COLLATION) or {}, b.get(COLLATION) or {}
    orders, classes = (_sorted_by(ours), _sorted_by(theirs)), (ours.get("ctype"), theirs.get("ctype"))
    differing: list[tuple[str, Any, Any]] = []
    if orders[0] != orders[1]:
        differing.append((COLLATION, *orders))
    if classes[0] != classes[1]:
        differing.append(("ctype", *classes))
    if not differing:
        differing.append(("collation_version", _versions(ours), _versions(theirs)))
    for name, one, other in differing:
        if one != other:
            fact = f"databases/{database}/{name}"
            yield Listed(fact, one, other, means_the_same(name, one, other) or rated(FACTS, fact))


def _sorted_by(collation: Facts) -> str:
    parts = ("provider", "locale" if collation.get("locale") else "collate", "rules")
    return " ".join(str(collation[part]) for part in parts if collation.get(part))


def _versions(collation: Facts) -> str:
    recorded, actual = collation.get("recorded_version"), collation.get("actual_version")
    return f"{actual}" if recorded == actual else f"{actual}, made under {recorded}"


def variables(a: Facts, b: Facts) -> Iterator[Listed]:
    """Names that only one has, and values of declared ones that differ."""
    declared = set(a.get("declared", ())) | set(b.get("declared", ()))
    contract = "declared" in a or "declared" in b
    ours, theirs = set(a.get("names", ())), set(b.get("names", ()))
    values, others = a.get("values", {}), b.get("values", {})
    for name in sorted(ours ^ theirs | values.keys() | others.keys()):
        one = values.get(name, SET if name in ours else UNSET)
        other = others.get(name, SET if name in theirs else UNSET)
        if one != other:
            row = DECLARED if name in declared else _variable(name, contract=contract)
            yield Listed(f"environment/{name}", one, other, row)


def _variable(name: str, *, contract: bool) -> Row:
    known = rated(VARIABLES, name)
    if known is not NOT_RATED:
        return known
    return UNDECLARED if contract else UNCONTRACTED


def run(a: Facts, b: Facts) -> Iterator[Listed]:
    """What two runs did: which tests, in which order, in which processes, by which seed."""
    ours, theirs = a.get("order", {}), b.get("order", {})
    if _tests(ours) != _tests(theirs):
        yield Listed(TESTS, _only(ours, theirs), _only(theirs, ours), rated(FACTS, TESTS))
    elif len(ours) == len(theirs) and sorted(ours.values()) != sorted(theirs.values()):
        yield _ordered(ours, theirs)
    for name in sorted((a.keys() | b.keys()) - {"order"}):
        if a.get(name) != b.get(name):
            yield Listed(f"run/{name}", a.get(name), b.get(name), rated(FACTS, f"run/{name}"))


def _tests(order: Facts) -> set[str]:
    return {test for tests in order.values() for test in tests}


def _only(order: Facts, other: Facts) -> str:
    """How many tests one side ran, and one that the other did not."""
    tests, missing = _tests(order), sorted(_tests(order) - _tests(other))
    more = f", {len(missing)} of them alone: {missing[0]}" if missing else ""
    return f"{len(tests)} tests{more}"


def _ordered(a: Facts, b: Facts) -> Listed:
    """The same tests in as many processes: either divided otherwise, or in another order."""
    parts = [sorted(sorted(tests) for tests in order.values()) for order in (a, b)]
    if parts[0] != parts[1]:
        return Listed(SPLIT, _sizes(a), _sizes(b), rated(FACTS, SPLIT))
    # Each process beside the one that ran the same tests, whatever their names are.
    processes = zip(sorted(a.values(), key=sorted), sorted(b.values(), key=sorted), strict=True)
    pairs = (pair for one, other in processes for pair in enumerate(zip(one, other, strict=True), 1))
    number, (one, other) = next((number, pair) for number, pair in pairs if pair[0] != pair[1])
    return Listed(ORDER, f"test {number} is {one}", f"test {number} is {other}", rated(FACTS, ORDER))


def _sizes(order: Facts) -> str:
    return " + ".join(str(len(order[name])) for name in sorted(order)) + " tests"
