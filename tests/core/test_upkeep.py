"""What the service does by itself: purging what is over, in batches, and waiting for a database that is away."""

from datetime import timedelta

import pytest
from sqlalchemy import func, update
from sqlmodel import SQLModel, select

from dashtam.core import upkeep
from dashtam.core.tables import AuditEvent, OneTimeToken, OutboxMail, Session, ThrottleCounter, User
from dashtam.settings import Settings
from tests.makers import CHEAP, Deployment, deployed


async def rows(service: Deployment, table: type[SQLModel]) -> int:
    async with service.service.database.read() as db:
        return (await db.exec(select(func.count()).select_from(table))).one()


async def purge(service: Deployment) -> dict[str, int]:
    return await upkeep.purge(service.service, service.clock.now())


async def settled(service: Deployment) -> None:
    """Wait until every mail is delivered and marked so."""
    while True:
        async with service.service.database.read() as db:
            waiting = select(func.count()).select_from(OutboxMail).where(OutboxMail.next_attempt_at != None)  # noqa: E711
            if not (await db.exec(waiting)).one():
                return


async def test_what_is_over_goes_after_a_month_and_nothing_that_still_counts(service: Deployment) -> None:
    account = await service.logged_in()
    await service.post("/password-resets", {"email": account.email})
    await service.mails(account.email, 2)
    await settled(service)
    tables = (User, Session, OneTimeToken, OutboxMail, ThrottleCounter, AuditEvent)
    before = {table: await rows(service, table) for table in tables}
    assert min(before.values()) > 0
    assert set((await purge(service)).values()) == {0}
    assert {table: await rows(service, table) for table in tables} == before

    service.clock.move(hours=2)
    gone = await purge(service)
    assert gone["throttle_counters"] == before[ThrottleCounter]
    assert sum(gone.values()) == before[ThrottleCounter]

    service.clock.move(days=29)
    again = await service.logged_in(account.email)
    service.clock.move(days=3)
    await purge(service)
    after = {table: await rows(service, table) for table in tables}
    assert after[User] == before[User]
    assert after[AuditEvent] > before[AuditEvent] - 1
    assert (after[OneTimeToken], after[OutboxMail]) == (0, 0)
    assert (await service.post("/auth/refresh", {"refresh_token": again.refresh_token})).status_code == 200


async def test_an_ended_session_is_kept_a_month_for_those_who_look_into_it(service: Deployment) -> None:
    account = await service.logged_in()
    await service.post("/auth/logout", headers=account.bearer)
    service.clock.move(days=29)
    assert (await purge(service))["sessions"] == 0
    service.clock.move(days=2)
    assert (await purge(service))["sessions"] == 1


async def test_more_than_a_batch_is_purged_whole(service: Deployment) -> None:
    now = service.clock.now()
    async with service.service.database.write() as db:
        db.add_all(
            ThrottleCounter(key=f"k{n}", count=1, ends_at=now - timedelta(days=1)) for n in range(1203)
        )
        db.add(ThrottleCounter(key="running", count=1, ends_at=now + timedelta(days=1)))
    assert (await purge(service))["throttle_counters"] == 1203
    assert await rows(service, ThrottleCounter) == 1


@pytest.mark.parametrize("token", ["", "Zk3vQx8pLw2nRt6yBs9dHf4gJm7cXa5eUo1i-smoke"])
async def test_a_journeys_account_goes_after_an_hour_where_journeys_are_played(
    settings: Settings, token: str
) -> None:
    made = settings.model_copy(update={"smoke_token": type(settings.smoke_token)(token)})
    async with deployed(made, hash_cost=CHEAP) as service:
        for email in (
            "journey-a@journey.invalid",
            "journey-b@notjourney.invalid",
            "journey-c@sub.journey.invalid",
            "journey-d@JOURNEY.invalid",
            "somebody@journey.invalid",
        ):
            await service.register(email)
        assert (await purge(service)).get("users", 0) == 0
        service.clock.move(hours=1, seconds=1)
        assert (await purge(service)).get("users", 0) == (2 if token else 0)
        assert await rows(service, User) == (3 if token else 5)


async def test_an_account_that_nobody_verified_goes_when_its_registrations_are_long_over(
    service: Deployment,
) -> None:
    verified, pending = await service.verified(), await service.register()
    service.clock.move(days=20)
    again = await service.register()
    service.clock.move(days=12)
    assert (await purge(service))["users"] == 1, "the one of 32 days ago"
    assert (await service.log_in(verified)).status_code == 200
    await service.register(again)
    service.clock.move(days=20)
    assert (await purge(service))["users"] == 0, "it was registered again meanwhile"
    async with service.service.database.read() as db:
        left = (await db.exec(select(User.email_canonical))).all()
    assert sorted(left) == sorted([verified, again])
    assert pending not in left


async def test_keys_that_cannot_be_read_are_waited_for(service: Deployment) -> None:
    assert await upkeep.load_keys(service.service)
    async with service.service.database.write() as db:
        connection = await db.connection()
        await connection.exec_driver_sql("ALTER TABLE signing_keys RENAME TO elsewhere")
    assert not await upkeep.load_keys(service.service)
    async with service.service.database.write() as db:
        connection = await db.connection()
        await connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO signing_keys")
    assert await upkeep.load_keys(service.service)


async def test_no_clock_is_asked_but_the_one_that_was_given(service: Deployment) -> None:
    """The window of a counter is the clock's, however far it is moved."""
    await service.verified()
    async with service.service.database.write() as db:
        await db.exec(update(ThrottleCounter).values(ends_at=service.clock.now() + timedelta(minutes=5)))
    service.clock.move(days=-30)
    assert (await purge(service))["throttle_counters"] == 0
