"""Passwords: the policy for new ones, and hashing, which never runs on the event loop nor without bound.

Hashes are Argon2id in PHC format (RFC 9106; parameters from the OWASP Password Storage Cheat Sheet). A password
is normalised once, to NFKC (NIST SP 800-63B-4, on Unicode in passwords), and never truncated.
"""

import asyncio
import base64
import binascii
import hmac
import os
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from argon2 import extract_parameters
from argon2.exceptions import HashingError, InvalidHashError
from argon2.low_level import ARGON2_VERSION, Type, hash_secret

from dashtam.core import blocklist, problems
from dashtam.core.problems import retry_after

T = TypeVar("T")

MAX_BYTES = 1024
_SALT_BYTES = 16
_HASH_BYTES = 32
_MOST_MEMORY_KIB, _MOST_PASSES, _MOST_LANES = 1024 * 1024, 64, 16
_SHORTEST_SALT, _SHORTEST_HASH, _LONGEST_FIELD = 8, 16, 64
_SALT_FIELD = 4  # $argon2id$v=19$m=…,t=…,p=…$salt$hash


@dataclass(frozen=True, slots=True)
class HashCost:
    """Argon2id's parameters: memory in KiB, passes, lanes."""

    memory_kib: int = 19 * 1024
    time_cost: int = 2
    parallelism: int = 1


@dataclass(frozen=True, slots=True)
class _Recipe:
    """Everything that decides a hash but the password."""

    cost: HashCost
    salt: bytes
    hash_bytes: int = _HASH_BYTES

    def hash(self, password: str) -> str:
        return hash_secret(
            normalised(password).encode(),
            self.salt,
            time_cost=self.cost.time_cost,
            memory_cost=self.cost.memory_kib,
            parallelism=self.cost.parallelism,
            hash_len=self.hash_bytes,
            type=Type.ID,
        ).decode()


class Passwords:
    """Hashes and verifies, at most `threads` at once with at most `queue` waiting; beyond that it refuses."""

    def __init__(self, cost: HashCost, *, threads: int, queue: int, min_length: int) -> None:
        self._cost = cost
        self._min_length = min_length
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._threads = threads
        self._room = threads + queue
        self._taken = 0

    async def refuse_unfit(self, password: str, *, email: str, name: str) -> None:
        """Raise the problem of a password that no account may newly have: too short, too long, too common."""
        length = min(len(password), len(normalised(password)))
        if length < self._min_length:
            detail = f"A password needs at least {self._min_length} characters; any words will do."
            raise problems.PASSWORD_TOO_SHORT(detail)
        if len(password.encode()) > MAX_BYTES:
            raise problems.PASSWORD_TOO_LONG()
        if await self._run(_is_guessable, password, email, name):
            raise problems.PASSWORD_BLOCKED()

    async def hash(self, password: str, *, like: Sequence[str | None] = ()) -> str:
        """The password's hash, with a fresh salt.

        `like` is for an address on which other passwords are registered: the new hash gets the salt and
        parameters of the first readable of theirs, so that a login can try all by hashing once (see `verify`).
        """
        return await self._run(self._like(like).hash, password)

    async def verify(self, password: str, stored: str | None, others: Sequence[str] = ()) -> str | None:
        """Which of the stored hashes is this password's: `stored`, one of `others`, or None.

        Exactly one hash is computed whatever is given, with the parameters of the first readable one, else
        with those of today: nobody can tell by the time whether there is an account.
        """
        candidates = [candidate for candidate in (stored, *others) if candidate]
        computed = await self._run(self._like(candidates).hash, password)
        matches = [
            candidate
            for candidate in candidates
            if hmac.compare_digest(candidate.encode(), computed.encode())
        ]
        return matches[0] if matches else None

    def is_outdated(self, stored: str) -> bool:
        """Whether the hash was made with less than today's parameters."""
        recipe = _recipe(stored)
        if recipe is None:
            return True
        old, new = recipe.cost, self._cost
        return (
            old.memory_kib * old.time_cost < new.memory_kib * new.time_cost
            or old.parallelism < new.parallelism
        )

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _like(self, stored: Sequence[str | None]) -> _Recipe:
        """The recipe of the first readable hash; where there is none, today's with a fresh salt."""
        readable = next(filter(None, map(_recipe, stored)), None)
        return readable or _Recipe(self._cost, os.urandom(_SALT_BYTES))

    async def _run(self, work: Callable[..., T], *args: str) -> T:
        if self._taken >= self._room:
            raise retry_after(problems.SERVICE_BUSY, 1)
        self._taken += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *args)
        except HashingError:
            raise retry_after(problems.SERVICE_BUSY, 1) from None
        finally:
            self._taken -= 1


def normalised(password: str) -> str:
    """The password as it is hashed: NFKC, so that it is the same from every keyboard."""
    return unicodedata.normalize("NFKC", password)


def _is_guessable(password: str, email: str, name: str) -> bool:
    return (
        blocklist.is_common(password)
        or blocklist.context_reason(password, email=email, name=name) is not None
    )


def is_readable(stored: str) -> bool:
    """Whether a stored hash is an Argon2id one that can be verified at all."""
    return _recipe(stored) is not None


def _recipe(stored: str | None) -> _Recipe | None:
    """How a stored hash was made; None for what is no Argon2id hash of today's version."""
    if not stored:
        return None
    try:
        made = extract_parameters(stored)
        field = stored.split("$")[_SALT_FIELD]
        salt = base64.b64decode(field + "=" * (-len(field) % 4), validate=True)
    except (InvalidHashError, binascii.Error, ValueError, IndexError):
        return None
    if made.type is not Type.ID or made.version != ARGON2_VERSION:
        return None
    recipe = _Recipe(HashCost(made.memory_cost, made.time_cost, made.parallelism), salt, made.hash_len)
    return recipe if _is_sane(recipe) else None


def _is_sane(recipe: _Recipe) -> bool:
    """Whether this can be computed, by Argon2's own lower and our settings' upper bounds: damage is neither."""
    cost = recipe.cost
    return (
        1 <= cost.parallelism <= _MOST_LANES
        and 8 * cost.parallelism <= cost.memory_kib <= _MOST_MEMORY_KIB
        and 1 <= cost.time_cost <= _MOST_PASSES
        and _SHORTEST_SALT <= len(recipe.salt) <= _LONGEST_FIELD
        and _SHORTEST_HASH <= recipe.hash_bytes <= _LONGEST_FIELD
    )
