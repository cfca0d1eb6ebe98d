"""How long `dashtam doctor --local` takes, as a command, beside one that only asks what state the database is in."""

import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from statistics import median

from benchmarks.databases import Place
from benchmarks.figure import Figure, Target, ratios

_ROUNDS_A_SECOND = 0.5
_WARNINGS = 5


@dataclass(frozen=True, slots=True)
class _Run:
    """A command's wall time, and the processor time that it and its children took."""

    seconds: float
    processor: float


def doctor(place: Place, seconds: float) -> list[Figure]:
    """Wall time of a checkup from inside; the hash-cost measurement alone takes 0.3 s of it."""
    rounds = max(1, round(seconds * _ROUNDS_A_SECOND))
    runs = [(_run(place, "doctor", "--local"), _run(place, "migrate", "status")) for _ in range(rounds)]
    ours, bare = [one.seconds for one, _ in runs], [other.seconds for _, other in runs]
    ratio, spread = ratios(ours, bare)
    processor = median(one.processor for one, _ in runs)
    how = f"median of {rounds} runs; {processor:.2g} s of processor time"
    target = Target("s", median(ours), 3.0)
    row = ("doctor", place.database, "from inside", "s", median(ours), median(bare))
    return [Figure(*row, "dashtam migrate status", ratio, spread, how, target)]


def _run(place: Place, *arguments: str) -> _Run:
    command, spent = [sys.executable, "-m", "dashtam", *arguments], _processor()
    began = time.perf_counter()
    done = subprocess.run(command, env=place.environment, capture_output=True, check=False)
    taken = time.perf_counter() - began
    assert done.returncode in {0, _WARNINGS}, done.stdout.decode() + done.stderr.decode()
    return _Run(taken, _processor() - spent)


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
