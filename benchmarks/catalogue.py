"""The benchmarks by name, and how to run one of them."""

from collections.abc import Callable, Sequence

from benchmarks import (
    doctor,
    isolation,
    isolation_databases,
    journey,
    login,
    proving,
    schema,
    serving,
    startup,
    watching,
)
from benchmarks.databases import Place, placed
from benchmarks.figure import Figure

Benchmark = Callable[[Place, float], Sequence[Figure]]

BENCHMARKS: dict[str, Benchmark] = {
    "profile": serving.profile,
    "refresh": serving.refresh,
    "login": login.login,
    "startup": startup.startup,
    "journey": journey.journey,
    "doctor": doctor.doctor,
    "schema": schema.schema,
    "isolation": isolation.isolation,
    "isolation-databases": isolation_databases.isolation_databases,
    "watching": watching.watching,
    "proving": proving.proving,
}

SQLITE_ONLY = {"startup", "journey"}
"""Measured on the embedded database alone: what they are about has nothing to do with PostgreSQL."""


def run(name: str, database: str, seconds: float) -> Sequence[Figure]:
    """Run one benchmark on a fresh, migrated database; nothing for one that is not measured there."""
    if name in SQLITE_ONLY and database != "sqlite":
        return []
    with placed(database) as place:
        return BENCHMARKS[name](place, seconds)
