"""The detectors, in the order in which they start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbparity.config import BadConfigError
from dbparity.isolation.blocked import BLOCKED
from dbparity.isolation.delete import SCHEMA_CHANGED, SEEDS_LOST, UNSEEN_WRITE
from dbparity.isolation.leftovers import LEFTOVER_ROWS
from dbparity.isolation.routing import OTHER_DATABASE, UNLED_ENGINE
from dbparity.isolation.witness import CONFLICT, DIRTY_VIEW, LIMIT
from dbparity.plugin.environment import DETECTOR as ENVIRONMENT
from dbparity.plugin.sensitive import DETECTOR as SCHEMA
from dbparity.sessions.clients import Clients
from dbparity.sessions.fidelity import Fidelity
from dbparity.sessions.leaks import Leaks
from dbparity.sessions.loops import Loops
from dbparity.sessions.stale import StaleReads
from dbparity.sessions.state import LeftBehind
from dbparity.sessions.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dbparity.config import Config
    from dbparity.watch import Detector

NAMES = frozenset(
    {BLOCKED, CONFLICT, DIRTY_VIEW, ENVIRONMENT, LEFTOVER_ROWS, LIMIT, OTHER_DATABASE, SCHEMA, SCHEMA_CHANGED}
    | {SEEDS_LOST, UNLED_ENGINE, UNSEEN_WRITE}
)
"""What is found by no detector of its own, and can be made a warning, a failure or nothing all the same."""


def detectors(config: Config) -> list[Detector]:
    """What watches a project of this configuration; none where there is none."""
    if not config.configured:
        return []
    made = [Timeline(), StaleReads(), Fidelity(config), Loops(), Leaks(), LeftBehind(config), Clients()]
    _check(config, NAMES | {each.name for each in made})
    return made


def _check(config: Config, names: Iterable[str]) -> None:
    for name in config.detectors.keys() - set(names):
        msg = f"[tool.dbparity.detectors] has no detector {name!r}. It knows {', '.join(sorted(names))}."
        raise BadConfigError(msg)
