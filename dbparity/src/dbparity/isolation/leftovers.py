"""Whether a run that was killed has left rows in the database: else they would be taken for seeds ever after.

While a run empties tables, a small file in the user's workspace says what the database held before it. A run
that ends takes the file away; one that is killed leaves it to the next.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from dbparity.config import Strictness
from dbparity.findings import Finding
from dbparity.provision.workspace import workspace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from dbparity.targets import Identity

LEFTOVER_ROWS = "leftover-rows"


class Leftovers:
    """What one database held when the last run began."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._counts: dict[str, int] = {}

    def begin(self, held: Mapping[str, int]) -> Finding | None:
        """Compare with what the last run found, if it has not ended; note what this one finds."""
        before = self._read()
        # What a killed run found is still the truth: what it left behind is not.
        self._counts = dict(held) if before is None else before
        self._path.write_text(json.dumps(self._counts), encoding="utf-8")
        more = [
            f"{table}: {rows} rows, and {self._counts.get(table, 0)} before that run"
            for table, rows in sorted(held.items())
            if rows != self._counts.get(table, 0)
        ]
        if not more:
            return None
        return Finding(
            LEFTOVER_ROWS,
            f"an earlier run on {self._identity} was killed and has left its rows; they are taken for rows "
            "that belong there.",
            tuple(more),
            "Build the database anew, or delete these rows, before the next run.",
            Strictness.WARN,
        )

    def end(self) -> None:
        """Everything is as it was."""
        self._path.unlink(missing_ok=True)

    @property
    def _path(self) -> Path:
        folder = workspace() / "emptied"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / f"{hashlib.sha256(str(self._identity).encode()).hexdigest()[:16]}.json"

    def _read(self) -> dict[str, int] | None:
        try:
            return {str(key): int(value) for key, value in json.loads(self._path.read_text("utf-8")).items()}
        except (OSError, ValueError, AttributeError):
            return None
