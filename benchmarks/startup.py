"""How soon the service answers after it is started, and how much memory it then holds, beside a bare FastAPI."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from statistics import median

from benchmarks.databases import Place
from benchmarks.figure import Figure, Target, ratios
from benchmarks.servers import Server, dashtam, floor

_STARTS_A_SECOND = 1.5
_SETTLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Start:
    seconds: float
    rss: float
    pss: float


def startup(place: Place, seconds: float) -> list[Figure]:
    """Cold start to the first healthy answer, on a migrated database; then idle memory once settled."""
    env = _with_bytecode(place)
    settle = min(seconds, _SETTLE_SECONDS)
    ours, bare = [], []
    for _ in range(1 + max(1, round(seconds * _STARTS_A_SECOND))):
        ours.append(_start(lambda: dashtam(env), settle))
        bare.append(_start(lambda: floor("framework", env), settle))
    del ours[0], bare[0]  # they compiled what the others loaded
    soon, resident = [one.seconds for one in ours], [one.rss for one in ours]
    soon_bare, resident_bare = [one.seconds for one in bare], [one.rss for one in bare]
    how = f"median of {len(ours)} starts, bytecode and files cached"
    own = f"RSS; PSS {median(one.pss for one in ours):.0f} MB, floor {median(one.pss for one in bare):.0f} MB"
    return [
        _row(place, "cold start", soon, soon_bare, how, Target("s", median(soon), 1.0)),
        _row(place, "idle memory", resident, resident_bare, own, Target("MB", median(resident), 110)),
    ]


def _with_bytecode(place: Place) -> dict[str, str]:
    """The environment with compiled modules kept, in a folder of this run, as an installed service has them."""
    kept = {key: value for key, value in place.environment.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(place.folder / "bytecode")}


def _start(server: Callable[[], AbstractContextManager[Server]], settle: float) -> _Start:
    started = time.perf_counter()
    with server() as running:
        running.wait_for("/health")
        seconds = time.perf_counter() - started
        time.sleep(settle)
        memory = running.memory()
    return _Start(seconds, memory["Rss"], memory["Pss"])


def _row(place: Place, case: str, ours: list[float], bare: list[float], how: str, target: Target) -> Figure:
    row = ("startup", place.database, case, target.words, median(ours), median(bare), "FastAPI")
    return Figure(*row, *ratios(ours, bare), how, target)
