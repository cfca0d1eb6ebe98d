"""Identifiers: UUIDs of version 7, in the order of their time, unguessable within it."""

import os
import time
from collections import Counter
from itertools import pairwise
from uuid import RFC_4122

from dashtam.core.ids import new_id


def test_an_id_is_a_uuid_of_version_7_of_this_moment() -> None:
    before = time.time_ns() // 1_000_000
    ids = [new_id() for _ in range(1000)]
    after = time.time_ns() // 1_000_000
    assert {(id_.version, id_.variant) for id_ in ids} == {(7, RFC_4122)}
    assert all(before <= id_.int >> 80 <= after for id_ in ids)


def test_ids_are_unique_and_those_of_one_millisecond_in_no_order() -> None:
    ids = [new_id() for _ in range(20_000)]
    assert len(set(ids)) == len(ids)
    rising = sum(a < b for a, b in pairwise(ids) if a.int >> 80 == b.int >> 80)
    same = sum(a.int >> 80 == b.int >> 80 for a, b in pairwise(ids))
    assert same > 1000
    assert 0.4 < rising / same < 0.6


def test_every_random_bit_is_random() -> None:
    ids = [new_id() for _ in range(4000)]
    fixed = {*range(48), 48, 49, 50, 51, 64, 65}  # the time, the version and the variant
    ones = Counter(bit for id_ in ids for bit in range(128) if id_.int >> (127 - bit) & 1)
    for bit in set(range(128)) - fixed:
        assert 0.4 < ones[bit] / len(ids) < 0.6, bit


def test_ids_of_two_processes_differ() -> None:
    """Forked processes share no state that an id is made of."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover  measured in nobody's process
        os.write(writer, new_id().bytes)
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read()[6:] != new_id().bytes[6:]
