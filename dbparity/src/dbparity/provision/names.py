"""Names that tell whose a database is: the checkout, the run, the worker. No two runs can choose the same one."""

from __future__ import annotations

import hashlib
import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbparity.targets import identity_of

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import URL

PREFIX = "dbparity"
_RUN = re.compile(rf"{PREFIX}_([0-9a-f]{{8}})_([a-z0-9]{{2,16}})_([a-z0-9]{{1,16}})_(\d{{1,9}})")
_TEMPLATE = re.compile(rf"{PREFIX}_t_([0-9a-f]{{8}})_([0-9a-f]{{16}})")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class RunName:
    """The name of a database that one worker of one run uses: "dbparity_1f0c2a9e_5b1e77aa_gw0_3"."""

    checkout: str
    run: str
    worker: str
    number: int

    def __str__(self) -> str:
        return f"{PREFIX}_{self.checkout}_{self.run}_{self.worker}_{self.number}"

    @classmethod
    def parse(cls, text: str) -> RunName | None:
        """Read a name back; None for one that is not ours."""
        found = _RUN.fullmatch(text)
        return cls(found[1], found[2], found[3], int(found[4])) if found else None


@dataclass(frozen=True)
class TemplateName:
    """The name of a proven template: its checkout, and what its schema was built from."""

    checkout: str
    fingerprint: str

    def __str__(self) -> str:
        return f"{PREFIX}_t_{self.checkout}_{self.fingerprint}"

    @classmethod
    def parse(cls, text: str) -> TemplateName | None:
        """Read a name back; None for one that is not ours."""
        found = _TEMPLATE.fullmatch(text)
        return cls(found[1], found[2]) if found else None

    @classmethod
    def of(cls, checkout: str, fingerprint: str) -> TemplateName:
        """The template's name for a fingerprint of any length and spelling."""
        return cls(checkout, _digest(fingerprint, 16))


def checkout_of(root: Path, base: URL | str) -> str:
    """Eight digits for this working copy and the database that it configures."""
    return _digest(f"{root.resolve()}\0{identity_of(base)}", 8)


def fresh(checkout: str, run: str, worker: str) -> RunName:
    """A name that this process has not used yet."""
    return RunName(checkout, run_slug(run), _slug(worker), next(_numbers))


def run_slug(run: str) -> str:
    """The run's id as names carry it."""
    slug = _slug(run)
    return slug if len(slug) > 1 and slug == run else _digest(run, 16)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())[:16] or "0"


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]
