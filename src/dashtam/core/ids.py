"""Identifiers: UUIDv7 (RFC 9562 section 5.7), so that rows made together lie together in the index."""

import os
import time
from uuid import UUID

_VERSION_7 = 0x7 << 76
_VARIANT_RFC = 0b10 << 62
_RAND_A = (1 << 12) - 1
_RAND_B = (1 << 62) - 1


def new_id() -> UUID:
    """A new UUIDv7: 48 bits of Unix milliseconds, then 74 bits from the system's random source."""
    random = int.from_bytes(os.urandom(10), "big")
    milliseconds = time.time_ns() // 1_000_000
    return UUID(
        int=(milliseconds << 80)
        | _VERSION_7
        | ((random >> 62 & _RAND_A) << 64)
        | _VARIANT_RFC
        | (random & _RAND_B)
    )
