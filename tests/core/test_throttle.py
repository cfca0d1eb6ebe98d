"""Counting tries: atomically, in windows, for subjects that the table does not name."""

import asyncio

import pytest
from sqlmodel import select

from dashtam.core.problems import Problem
from dashtam.core.sealing import SecretKey
from dashtam.core.tables import ThrottleCounter
from dashtam.core.throttle import Limit, Throttle, source
from dashtam.settings import Rate
from tests.makers import Deployment

FEW = Limit("few", "ada@example.org", Rate(3, 60))
MORE = Limit("more", "ada@example.org", Rate(5, 600))


async def count(service: Deployment, *limits: Limit) -> dict[str, float]:
    async with service.service.database.write() as db:
        return await service.service.throttle.count(db, service.clock.now(), *limits)


async def counts(service: Deployment) -> list[int]:
    async with service.service.database.read() as db:
        return sorted((await db.exec(select(ThrottleCounter.count))).all())


async def test_a_limit_is_exceeded_by_the_try_after_the_last_and_says_until_when(service: Deployment) -> None:
    assert [await count(service, FEW) for _ in range(3)] == [{}, {}, {}]
    exceeded = await count(service, FEW)
    assert exceeded.keys() == {"few"}
    assert 0 < exceeded["few"] <= 60


async def test_several_limits_are_counted_together_and_each_by_itself(service: Deployment) -> None:
    for _ in range(3):
        assert await count(service, FEW, MORE) == {}
    assert (await count(service, FEW, MORE)).keys() == {"few"}
    assert (await count(service, MORE)) == {}
    assert (await count(service, FEW, MORE)).keys() == {"few", "more"}
    assert await counts(service) == [5, 6]


async def test_a_window_that_is_over_starts_anew_and_a_running_one_is_not_prolonged(
    service: Deployment,
) -> None:
    for _ in range(4):
        await count(service, FEW)
        service.clock.move(seconds=14)
    assert await count(service, FEW) != {}, "56 s after the first try the window still runs"
    service.clock.move(seconds=5)
    assert await count(service, FEW) == {}
    assert await counts(service) == [1]


async def test_no_try_is_lost_when_many_are_counted_at_once(service: Deployment) -> None:
    limits = [Limit(kind, "one", Rate(10, 60)) for kind in "abc"]
    orders = [limits, limits[::-1], [limits[1], limits[2], limits[0]]]
    results = await asyncio.gather(*(count(service, *orders[n % 3]) for n in range(60)))
    assert sum(result == {} for result in results) == 10
    assert await counts(service) == [60, 60, 60]


async def test_another_subject_or_kind_has_a_counter_of_its_own(service: Deployment) -> None:
    for _ in range(4):
        await count(service, FEW)
    for other in (Limit("few", "bob@example.org", FEW.rate), Limit("fewer", FEW.subject, FEW.rate)):
        assert await count(service, other) == {}


async def test_admitting_is_kept_and_refusing_says_when_to_come_back(service: Deployment) -> None:
    throttle, database = service.service.throttle, service.service.database
    for _ in range(3):
        await throttle.admit(database, service.clock.now(), FEW)
    with pytest.raises(Problem) as caught:
        await throttle.admit(database, service.clock.now(), FEW)
    assert (caught.value.type.slug, caught.value.type.status) == ("too-many-requests", 429)
    assert 1 <= int(caught.value.headers["Retry-After"]) <= 60
    assert await counts(service) == [4]


async def test_forgetting_and_giving_back_touch_only_what_they_name(service: Deployment) -> None:
    for _ in range(3):
        await count(service, FEW, MORE)
    async with service.service.database.write() as db:
        await service.service.throttle.forget(db, FEW)
        await service.service.throttle.give_back(db, MORE)
    assert await counts(service) == [2]
    for _ in range(3):
        async with service.service.database.write() as db:
            await service.service.throttle.give_back(db, MORE, FEW)
    assert await counts(service) == [0], "never below nothing"


async def test_a_counter_that_cannot_be_read_lets_nobody_pass(service: Deployment) -> None:
    """Whatever goes wrong in a check refuses the login (ASVS 16.5.3)."""
    email = await service.verified()
    async with service.service.database.write() as db:
        connection = await db.connection()
        await connection.exec_driver_sql("DROP TABLE throttle_counters")
    answer = await service.log_in(email)
    assert answer.status_code == 503
    assert "access_token" not in answer.text


async def test_the_table_names_nobody_and_another_key_counts_elsewhere(service: Deployment) -> None:
    await count(service, FEW)
    async with service.service.database.read() as db:
        (key,) = (await db.exec(select(ThrottleCounter.key))).all()
    assert key.startswith("few:")
    assert "ada" not in key
    assert len(key) <= 96
    other = Throttle(SecretKey(b"another key, of the same length."))
    async with service.service.database.write() as db:
        await other.count(db, service.clock.now(), FEW)
    assert await counts(service) == [1, 1]


def test_a_source_is_an_ipv4_address_or_the_64_of_an_ipv6_one() -> None:
    assert source("192.0.2.1") == "192.0.2.1"
    assert source("2001:db8:0:1:2:3:4:5") == source("2001:db8:0:1::") == "2001:db8:0:1::/64"
    assert source("2001:db8:0:2::1") != source("2001:db8:0:1::1")
    assert source(None) == "unknown"
