"""Something of an application that tests share: its entries, who left them there, and who meets them later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dbparity.findings import Finding
from dbparity.request import current_request
from dbparity.sessions.ledger import MISSING, Change, Ledger, Setter, token
from dbparity.sessions.watched import NOTHING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from dbparity.origin import Origin
    from dbparity.sessions.scene import Scene
    from dbparity.watch import RunningTest

LEFT_BEHIND = "left-behind"


class Shared:
    """One such thing. Its kinds say what their entries are called and what is to be done about them."""

    remedy = ""

    def __init__(self, scene: Scene, made_in: Origin | None = None) -> None:
        self.scene = scene
        self.changed = scene.guarded(self._changed)
        """An entry was set or removed just now: its key, what it was and what it is."""
        self.read = scene.guarded(self._read)
        """An entry is asked for just now, by its key."""
        self.ledger = Ledger()
        self._made_in = made_in
        self._names: dict[Hashable, str] = {}
        self._removed: dict[Hashable, tuple[Change, Setter]] = {}

    def identify(self, key: Any) -> Hashable:  # noqa: ANN401 - whatever its entries are called
        """The ledger's key for an entry; never something that keeps the application's objects alive."""
        return str(key)

    def named(self, key: Any) -> str:  # noqa: ANN401 - the same
        """What people call the entry."""
        return str(key)

    def evidence(self, key: Any) -> tuple[str, ...]:  # noqa: ANN401, ARG002 - the same
        """What else is to be said of the entry."""
        return ()

    def is_reading(self) -> bool:
        """Whether what asks for an entry now does so to use it."""
        return True

    def _changed(self, key: Any, before: Any, after: Any) -> None:  # noqa: ANN401 - the same
        known = self.identify(key)
        old, new = _token(before), _token(after)
        setter = self.scene.setter(self._made_in)
        self._names[known] = self.named(key)
        undone = self.ledger.note(known, old, new, setter)
        removed = self._removed.pop(known, None)
        if removed and removed[0].token == new:
            self.ledger.reinstate(known, removed[0], old)
        if setter is not None:
            self._note_removed(known, undone, setter)

    def _note_removed(self, known: Hashable, undone: list[Change], setter: Setter) -> None:
        for each in undone:
            owners = [by for by in each.setters if self.scene.is_standing(by.fixture)]
            if owners and not any(by.is_same_code(setter) for by in owners):
                self._removed[known] = each, setter

    def _read(self, key: Any) -> None:  # noqa: ANN401 - the same
        """Report the entry if it was left behind by another test."""
        if not self.ledger:
            return
        change = self.ledger.current(self.identify(key))
        test = self.scene.viewer
        if change is None or test is None or change.reported or not change.is_foreign(test):
            return
        if self.is_reading():
            change.reported = True
            self.scene.report(self._finding(key, change, test))

    def _finding(self, key: Any, change: Change, test: RunningTest) -> Finding:  # noqa: ANN401 - the same
        request = current_request()
        met = (f"met in {request}",) if request else ()
        return Finding(
            LEFT_BEHIND,
            f"{self.named(key)}, set by {change.setter}, is in force in {test.nodeid}.",
            (*self.evidence(key), *met),
            self.remedy,
        )

    def report_removed(self) -> None:
        """Report what a shared fixture has set for this test and another test has taken away."""
        test = self.scene.viewer
        for known, (change, remover) in list(self._removed.items()):
            owner = next((by for by in change.setters if self.scene.is_standing(by.fixture)), None)
            if owner is None:
                del self._removed[known]
            elif test and remover.is_foreign(test) and not owner.is_foreign(test) and not change.reported:
                change.reported = True
                what = f"{self._names[known]}, set by {owner}, was removed by {remover}"
                message = f"{what}: {test.nodeid} runs without it."
                remedy = "Remove only what the test itself has set."
                self.scene.report(Finding(LEFT_BEHIND, message, (), remedy))

    def left_by(self, test: RunningTest) -> Iterator[str]:
        """What this test, or a fixture set up for it, has set and not undone."""
        for known, change in self.ledger.in_force():
            by = next((by for by in change.setters if by.test == test.nodeid), None)
            if by is not None:
                yield f"{self._names[known]}, set by {by}"


def _token(value: Any) -> Hashable:  # noqa: ANN401 - the same
    return MISSING if value is NOTHING else token(value)
