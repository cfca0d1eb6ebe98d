"""Templates: a schema built once, proven, and copied for every test that wants a database of its own.

A template has its name only when it is whole: it is built under a name of the building run, sealed, and renamed.
A builder that is killed leaves a database of a run that is gone, which is collected, and no template.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dbparity.provision.databases import Note
from dbparity.provision.errors import DatabaseRefusedError
from dbparity.provision.names import TemplateName, checkout_of, fresh
from dbparity.provision.orphans import run_key

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy.engine import URL

    from dbparity.provision.databases import Databases, Held


class Templates:
    """The template of one schema, shared by the workers of a run and by later runs of the same checkout."""

    def __init__(
        self,
        databases: Databases,
        build: Callable[[URL], object],
        fingerprint: Callable[[], str],
        *,
        root: Path,
        run: str,
        worker: str,
    ) -> None:
        self.databases = databases
        self.checkout = checkout_of(root, databases.base)
        self.built = False
        """Whether it was this process that built it."""
        self._build = build
        self._fingerprint = fingerprint
        self._run, self._worker = run, worker
        self._held: list[Held] = []
        self._name = ""

    def ensure(self) -> str:
        """The template's name; it is built first where there is none for this schema."""
        if not self._name:
            fingerprint = self._fingerprint()
            self._held.append(self.databases.hold(run_key(self._run)))
            name = str(TemplateName.of(self.checkout, fingerprint))
            # Held before it is looked for: whoever collects old templates leaves this one alone from here on.
            self._held.append(self.databases.hold(name))
            self._make(name, fingerprint)
            self._name = name
            self.collect()
        return self._name

    def clone(self) -> tuple[str, URL]:
        """A new database like the template: its name, and the URL that leads to it."""
        name = str(fresh(self.checkout, self._run, self._worker))
        template = self.ensure()
        try:
            return name, self.databases.clone(template, name)
        except DatabaseRefusedError:
            if self.databases.is_proven(template):
                raise
        self._name = ""  # somebody has dropped it under us: build it anew, once
        return name, self.databases.clone(self.ensure(), name)

    def collect(self) -> list[str]:
        """Drop this checkout's templates of other schemas, unless a living run still copies them."""
        dropped = []
        for each in self.databases.stored():
            template = TemplateName.parse(each.name)
            if template is None or template.checkout != self.checkout or each.name == self._name:
                continue
            if not self.databases.is_held(each.name) and self.databases.drop(each.name, force=False):
                dropped.append(each.name)
        return dropped

    def close(self) -> None:
        """Let go of the template, and of the run's name."""
        for each in self._held:
            each.close()
        self._held.clear()

    def _make(self, name: str, fingerprint: str) -> None:
        if self.databases.is_proven(name):
            return
        with self.databases.building(name):
            if self.databases.is_proven(name):
                return
            building = str(fresh(self.checkout, self._run, self._worker))
            try:
                self._build(self.databases.create(building))
                self.databases.seal(building, name, Note("template", fingerprint, time.time()))
            except BaseException:
                self.databases.drop(building)
                raise
            self.built = True
