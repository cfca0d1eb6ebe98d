"""Who changed what tests share, what it was before, and for whom the change is not meant.

Every kind of shared state (overrides, `app.state`, variables, attributes) is a set of keys with values. A ledger
keeps for each key that differs from what it was before the first test the values it has had since, and who set
each. Whoever puts an earlier value back makes the later ones undone: saving and restoring leaves no trace.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from dbparity.origin import Origin
    from dbparity.watch import RunningTest

MISSING: Hashable = ("no value",)
KEPT = 8
_PLAIN = (str, bytes, int, float, bool, type(None))


@dataclass(frozen=True)
class Fixture:
    """A pytest fixture that has been set up."""

    name: str
    scope: str
    home: str = ""
    """The node id of the folder, file or class whose tests can ask for it; empty: all can."""

    @property
    def is_shared(self) -> bool:
        """Whether it outlives the test that it was set up for."""
        return self.scope != "function"

    def serves(self, test: RunningTest) -> bool:
        """Whether this test asked for it, itself or through another fixture."""
        asked = getattr(test, "fixtures", None) or test.notes.get("fixtures")
        if asked is not None and self.name not in asked:
            return False
        return not self.home or test.nodeid == self.home or test.nodeid.startswith(self._below)

    @property
    def _below(self) -> tuple[str, str]:
        return f"{self.home}/", f"{self.home}::"

    def __str__(self) -> str:
        """Fit for a sentence; pytest's own names for set-up functions are put in the user's words."""
        for prefix, said in (("_xunit_", "set-up of the"), ("_unittest_", "set-up of the")):
            if self.name.startswith(prefix):
                return f"the {said} {self.scope}"
        return f"the {self.scope}-scoped fixture `{self.name}`"


@dataclass(frozen=True)
class Setter:
    """Who changed something: a test, or a fixture during it, and the line."""

    test: str
    fixture: Fixture | None = None
    origin: Origin | None = None

    def is_foreign(self, test: RunningTest) -> bool:
        """Whether the change was not made for this test: neither by it nor by a shared fixture it asked for."""
        if self.test == test.nodeid:
            return False
        return self.fixture is None or not (self.fixture.is_shared and self.fixture.serves(test))

    def is_same_code(self, other: Setter) -> bool:
        """Whether the same fixture is at work, setting up or tearing down."""
        if self.fixture is not None and self.fixture == other.fixture:
            return True
        mine, its = self.origin, other.origin
        return bool(mine and its and (mine.file, mine.function) == (its.file, its.function))

    def __str__(self) -> str:
        """Fit for a sentence: "the session-scoped fixture `client` (conftest.py:31) during test_a"."""
        place = f" ({self.origin})" if self.origin else ""
        return f"{self.fixture}{place} during {self.test}" if self.fixture else f"{self.test}{place}"


@dataclass(eq=False)
class Change:
    """A value that a key has had, and everybody who gave it that value."""

    token: Hashable
    setters: list[Setter] = field(default_factory=list)
    reported: bool = False

    def is_foreign(self, test: RunningTest) -> bool:
        """Whether nobody made this change for this test."""
        return bool(self.setters) and all(each.is_foreign(test) for each in self.setters)

    @property
    def setter(self) -> Setter:
        """Who is to be named: the last who set it, other than to restore it."""
        return self.setters[-1]

    def made_by(self, setter: Setter, *, restoring: bool) -> None:
        """Note another one who set the same value."""
        if setter not in self.setters:
            self.setters.insert(len(self.setters) - restoring, setter)
            del self.setters[KEPT:-1]


def token(value: object) -> Hashable:
    """What tells a value from another without keeping it alive."""
    return (type(value), value) if type(value) in _PLAIN else id(value)


class Ledger:
    """The keys of one shared thing that differ from what they were before the first test."""

    def __init__(self) -> None:
        self._changes: dict[Hashable, list[Change]] = {}

    def note(self, key: Hashable, before: Hashable, after: Hashable, setter: Setter | None) -> list[Change]:
        """Note that a key was set; return the changes that are undone by it.

        `before` and `after` are tokens. Without a setter it is the application's own doing: the new normal.
        """
        if setter is None:
            self._changes.pop(key, None)
            return []
        if key not in self._changes and before == after:
            return []
        changes = self._changes.setdefault(key, [Change(before)])
        for depth, each in enumerate(changes):
            if each.token == after:
                return self._back_to(key, depth, setter)
        changes.append(Change(after, [setter]))
        del changes[1:-KEPT]
        return []

    def _back_to(self, key: Hashable, depth: int, setter: Setter) -> list[Change]:
        changes = self._changes[key]
        undone = changes[depth + 1 :]
        del changes[depth + 1 :]
        if depth == 0:
            del self._changes[key]
        else:
            changes[depth].made_by(setter, restoring=bool(undone))
        return undone

    def reinstate(self, key: Hashable, change: Change, before: Hashable) -> None:
        """Put back a change that was undone."""
        self._changes.setdefault(key, [Change(before)]).append(change)

    def current(self, key: Hashable) -> Change | None:
        """The change in force for this key; None where it is as it was before the first test."""
        changes = self._changes.get(key)
        return changes[-1] if changes else None

    def in_force(self) -> Iterator[tuple[Hashable, Change]]:
        """Every key that differs from what it was, and the change in force."""
        for key, changes in list(self._changes.items()):
            yield key, changes[-1]

    def __bool__(self) -> bool:
        return bool(self._changes)
