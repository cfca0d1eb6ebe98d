"""Logging in, against the Argon2 hash that it cannot do without, computed on the same core."""

import time
from statistics import median

from argon2.low_level import Type, hash_secret

from benchmarks.databases import PASSWORD, Person, Place, people
from benchmarks.figure import Figure, Target, ratios
from benchmarks.load import Load, press
from benchmarks.servers import cores, dashtam, running_on
from benchmarks.serving import Same, measured, post
from dashtam.settings import Settings

_CROWD = 16
_ROUND_SECONDS = 0.5


def login(place: Place, seconds: float) -> list[Figure]:
    """POST /auth/login, on one core: how much longer than the hash, and how many for each hash there could be."""
    core, other = cores()
    crowd = people(place, _CROWD)
    rounds = max(1, round(seconds / _ROUND_SECONDS))
    with dashtam(place.environment, core) as server:
        server.wait_for("/health")
        figures = []
        for people_at_once in (crowd[:1], crowd):
            callers = [_logging_in(place, one) for one in people_at_once]
            with running_on(other):
                press(server.port, callers, 0.1)
            logins: list[Load] = []
            hashes: list[Load] = []
            for _ in range(rounds):
                with running_on(core):
                    hashes.append(raw_hashes(place.settings, seconds / rounds))
                with running_on(other):
                    logins.append(measured(server, callers, seconds / rounds))
            figures.append((_beyond if len(callers) == 1 else _rate)(place, logins, hashes))
    return figures


def raw_hashes(settings: Settings, seconds: float) -> Load:
    """Compute the hash over and over for so long, on this thread."""
    taken: list[float] = []
    started, worked = time.perf_counter(), time.thread_time()
    now = started
    while not taken or now < started + seconds:
        hash_secret(
            PASSWORD.encode(),
            b"sixteen bytes of",
            time_cost=settings.argon2_time_cost,
            memory_cost=settings.argon2_memory_kib,
            parallelism=settings.argon2_parallelism,
            hash_len=32,
            type=Type.ID,
        )
        before, now = now, time.perf_counter()
        taken.append((now - before) * 1000)
    cpu = time.thread_time() - worked
    return Load(now - started, sorted(taken), cpu / (now - started), cpu * 1000 / len(taken))


def _logging_in(place: Place, person: Person) -> Same:
    form = {"email": person.email, "password": PASSWORD}
    return Same(post(f"{place.settings.api_v1_prefix}/auth/login", form))


def _beyond(place: Place, logins: list[Load], hashes: list[Load]) -> Figure:
    ours, alone = ([load.percentile(0.5) for load in loads] for loads in (logins, hashes))
    beyond = median(login - hashed for login, hashed in zip(ours, alone, strict=True))
    row = ("login", place.database, "1 connection", "ms", median(ours), median(alone), "hash alone")
    target = Target("ms beyond the hash", beyond, 2.0)
    return Figure(*row, *ratios(ours, alone), _how(logins, hashes), target)


def _rate(place: Place, logins: list[Load], hashes: list[Load]) -> Figure:
    ours, alone = ([load.rate for load in loads] for loads in (logins, hashes))
    ratio, spread = ratios(ours, alone)
    row = ("login", place.database, f"{_CROWD} connections", "/s", median(ours), median(alone), "hash alone")
    target = Target("ratio", ratio, 0.95, at_least=True)
    return Figure(*row, ratio, spread, _how(logins, hashes), target)


def _how(logins: list[Load], hashes: list[Load]) -> str:
    ours, alone = (median(load.cpu_ms for load in loads) for loads in (logins, hashes))
    return f"{len(logins)} rounds of medians; {ours:.1f} ms CPU a login, {alone:.1f} a hash"
