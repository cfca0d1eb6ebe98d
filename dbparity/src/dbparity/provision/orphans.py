"""Databases that no run needs any more: whose run is gone, and the clones that an earlier run kept.

A run that makes databases holds its id for as long as one of its processes lives. Nobody asks how old a
database is: what nobody holds belongs to nobody, and what somebody is connected to is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbparity.provision.errors import DatabaseRefusedError
from dbparity.provision.names import RunName, TemplateName, run_slug

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dbparity.provision.databases import Databases, Stored


@dataclass(frozen=True)
class Orphan:
    """A database that could go, and why it is there."""

    stored: Stored
    kind: str
    """"orphan" (its run is gone), "kept" (a failed test's), "template"."""
    checkout: str

    def __str__(self) -> str:
        note = self.stored.note
        about = f" of {note.about}" if note and self.kind == "kept" else ""
        busy = ", somebody is connected to it" if self.stored.connected else ""
        return f"{self.stored.name}: {self.kind}{about}, {self.stored.size / 2**20:.1f} MB{busy}"


def run_key(run: str) -> str:
    """What a living run holds."""
    return f"run {run_slug(run)}"


def find(databases: Databases, *, sizes: bool = False) -> list[Orphan]:
    """Every database of ours that no living run uses, templates included."""
    return list(_found(databases, sizes=sizes))


def collect(databases: Databases, checkout: str, *, keep: int = 0) -> list[str]:
    """Drop what runs that are gone have left; return the names.

    Of clones that were kept for people, only this checkout's go, and of those not the `keep` newest.
    Templates stay: see `Templates.collect`.
    """
    orphans = [each for each in find(databases) if each.kind != "template"]
    ours = [each for each in orphans if each.kind == "orphan" or each.checkout == checkout]
    return drop(databases, without_newest(ours, keep))


def without_newest(orphans: Iterable[Orphan], keep: int) -> list[Orphan]:
    """Spare the newest of the clones that were kept for people."""
    orphans = list(orphans)
    kept = sorted((each for each in orphans if each.kind == "kept"), key=_age)
    spared = {each.stored.name for each in kept[len(kept) - keep :]} if keep > 0 else set()
    return [each for each in orphans if each.stored.name not in spared]


def _age(orphan: Orphan) -> float:
    return orphan.stored.note.at if orphan.stored.note else 0.0


def drop(databases: Databases, orphans: Iterable[Orphan]) -> list[str]:
    """Drop them, except where somebody is connected or the server will not; return the names of those that went."""
    dropped = []
    for each in orphans:
        try:
            if databases.drop(each.stored.name, force=False):
                dropped.append(each.stored.name)
        except DatabaseRefusedError:
            continue  # another role's
    return dropped


def _found(databases: Databases, *, sizes: bool) -> Iterator[Orphan]:
    alive: dict[str, bool] = {}
    for each in databases.stored(sizes=sizes):
        if template := TemplateName.parse(each.name):
            if not databases.is_held(each.name):
                yield Orphan(each, "template", template.checkout)
            continue
        name = RunName.parse(each.name)
        if name is None:
            continue
        if name.run not in alive:
            alive[name.run] = databases.is_held(run_key(name.run))
        if not alive[name.run]:
            kept = each.note is not None and each.note.dbparity == "kept"
            yield Orphan(each, "kept" if kept else "orphan", name.checkout)
