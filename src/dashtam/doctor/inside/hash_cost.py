"""What a password hash costs on this machine, by hashing for a moment; and how many logins that allows."""

import asyncio
import time

from dashtam.core.allowance import cores
from dashtam.core.passwords import HashCost, Passwords
from dashtam.core.problems import Problem
from dashtam.doctor.check import Answer, Check, failure, ok, warning
from dashtam.doctor.local import Local
from dashtam.settings import Settings

_SLOW_SECONDS = 1.0
"""The most that a hash should take (OWASP Password Storage Cheat Sheet)."""
_MEASURED_SECONDS = 0.15
_TRIES = 3
_PATIENCE_SECONDS = 1.5
_PASSWORD = "a password that is nobody's"  # noqa: S105


async def _cost(local: Local) -> Answer:
    settings = local.settings
    told = f"Argon2id, {settings.argon2_memory_kib} KiB, {settings.argon2_time_cost} passes"
    try:
        expected = settings.argon2_time_cost * await _one_pass(settings)
        if expected > _SLOW_SECONDS:
            return _slow(f"about {expected:.1f}", told)
        return await _measured(settings, told)
    except TimeoutError:
        return _slow(f"more than {_PATIENCE_SECONDS:g}", told)
    except Problem:
        return failure(
            f"a hash cannot be computed ({told}): the system refuses the memory",
            "Give the service more memory (ulimit -v, the container's limit), or lower ARGON2_MEMORY_KIB.",
        )


def _slow(seconds: str, told: str) -> Answer:
    return warning(
        f"a hash takes {seconds} s ({told})",
        "Lower ARGON2_TIME_COST or ARGON2_MEMORY_KIB; 2 passes over 19456 KiB are enough.",
    )


async def _measured(settings: Settings, told: str) -> Answer:
    at_once = min(settings.hash_threads or cores(), cores())  # more threads than cores do no more
    alone, together = await _a_second(settings, 1), await _a_second(settings, at_once)
    return ok(
        f"{1000 / alone:.0f} ms a hash ({told}); at most {alone:.0f} logins a second on one thread, "
        f"{together:.0f} on {at_once}"
    )


async def _one_pass(settings: Settings) -> float:
    """What a hash of one pass takes: so much is done whatever the cost that is set. The best of a few."""
    hasher = _hasher(settings, threads=1, passes=1)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            taken = [await _timed(hasher)]
            while len(taken) < _TRIES and sum(taken) < _MEASURED_SECONDS:
                taken.append(await _timed(hasher))
            return min(taken)
    finally:
        hasher.close()


async def _timed(hasher: Passwords) -> float:
    began = time.perf_counter()
    await hasher.hash(_PASSWORD)
    return time.perf_counter() - began


async def _a_second(settings: Settings, at_once: int) -> float:
    """How many hashes a second come out of so many threads."""
    hasher = _hasher(settings, at_once, settings.argon2_time_cost)
    began = time.perf_counter()

    async def hashes() -> int:
        done = 0
        while not done or time.perf_counter() < began + _MEASURED_SECONDS:
            await hasher.hash(_PASSWORD)
            done += 1
        return done

    try:
        counts = await asyncio.gather(*(hashes() for _ in range(at_once)))
        return sum(counts) / (time.perf_counter() - began)
    finally:
        hasher.close()


def _hasher(settings: Settings, threads: int, passes: int) -> Passwords:
    cost = HashCost(settings.argon2_memory_kib, passes, settings.argon2_parallelism)
    return Passwords(cost, threads=threads, queue=threads, min_length=settings.password_min_length)


CHECKS = (Check("machine.hash_cost", "A hash costs enough, and not too much", _cost, ("settings.valid",)),)
