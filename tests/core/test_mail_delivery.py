import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from dashtam.core.db import Database
from dashtam.core.mail import Counts, Letter, MemoryTransport, Outbox, Waiting, backlog
from dashtam.core.mail.delivery import pause_after
from dashtam.core.mail.outbox import LEASE, claim
from dashtam.core.sealing import SecretKey
from dashtam.core.tables import OutboxMail
from dashtam.settings import Settings
from dbparity.testing.postgres import PrivateCluster
from tests.core.mail_rig import TOKEN, Misbehaving, Rig, eventually, outbox_of, rigged, running

# Several workers, and some of them processes that are killed.
pytestmark = pytest.mark.dbparity(isolation="clone")

DAY = timedelta(days=1)


@pytest.fixture
async def rig(settings: Settings) -> AsyncIterator[Rig]:
    async with rigged(settings) as made:
        yield made


class TestAtLeastOnce:
    async def test_a_committed_mail_is_delivered_at_once_and_wiped(self, rig: Rig) -> None:
        transport = Misbehaving()
        async with running(rig.delivery(transport), transport):
            await rig.queue("ada@example.org")
            await transport.until(lambda: len(transport.messages) == 1)
            await eventually(lambda: _is_sent(rig))
        row = await rig.row()
        assert transport.messages[0]["Message-ID"] == row.message_id
        assert (row.attempts, row.payload, row.next_attempt_at, row.last_error) == (1, None, None, None)
        assert row.sent_at == rig.clock.now()

    async def test_a_rolled_back_mail_is_never_sent(self, rig: Rig) -> None:
        with pytest.raises(LookupError):
            await _queue_and_fail(rig)
        transport = MemoryTransport()
        assert await rig.delivery(transport).deliver_due() == Counts()
        assert (transport.messages, await rig.rows(), rig.outbox.woken.is_set()) == ([], [], False)

    async def test_mail_that_another_process_queued_is_found_by_looking(self, rig: Rig) -> None:
        transport = Misbehaving()
        async with running(rig.delivery(transport), transport):
            other = outbox_of(rig.settings)
            async with rig.database.write() as db:
                other.queue(db, "password-changed", "ada@example.org", rig.clock.now())
            await transport.until(lambda: transport.recipients() == ["ada@example.org"])

    @pytest.mark.parametrize("when", ["before-the-claim", "after-the-claim"])
    async def test_a_kill_between_commit_and_send_loses_nothing(self, rig: Rig, when: str) -> None:
        _run_until_killed(rig.settings, when)
        left = await rig.row()
        transport = MemoryTransport()
        if when == "after-the-claim":
            rig.clock.at = _due(left) - timedelta(seconds=1)
            assert await rig.delivery(transport).deliver_due() == Counts(), "sent again while it is leased"
        rig.clock.at = _due(left)
        assert await rig.delivery(transport).deliver_due() == Counts(sent=1)
        assert [message["Message-ID"] for message in transport.messages] == [left.message_id]
        assert (await rig.row()).payload is None

    async def test_a_failed_attempt_repeats_the_same_message(self, rig: Rig) -> None:
        await rig.queue("defer@example.org")
        seen: list[str] = []

        class Second(Misbehaving):
            async def send(self, message: object) -> None:
                seen.append(f"{message['Message-ID']} {message['Date']}")  # type: ignore[index]
                if len(seen) == 1:
                    await super().send(message)  # type: ignore[arg-type]

        delivery = rig.delivery(Second())
        assert await delivery.deliver_due() == Counts(put_off=1)
        rig.clock.at = _due(await rig.row())
        assert await delivery.deliver_due() == Counts(sent=1)
        assert len(seen) == 2
        assert len(set(seen)) == 1


class TestSeveralWorkers:
    async def test_no_mail_is_sent_twice(self, rig: Rig) -> None:
        wanted = [f"user{number:02}@example.org" for number in range(40)]
        for to in wanted:
            await rig.queue(to)
        others = [Database(rig.settings.database) for _ in range(3)]
        transport = Misbehaving()
        try:
            workers = [
                Rig(rig.settings, database, outbox_of(rig.settings), rig.clock).delivery(transport)
                for database in others
            ]
            counts = await asyncio.gather(*(worker.deliver_due() for worker in workers))
        finally:
            for database in others:
                await database.dispose()
        assert transport.recipients() == wanted
        assert sum(count.sent for count in counts) == len(wanted)

    async def test_what_another_worker_claimed_since_is_not_put_off_by_the_first(self, rig: Rig) -> None:
        await rig.queue("defer@example.org")
        transport = Misbehaving()

        class Slow(Misbehaving):
            async def send(self, message: object) -> None:  # the lease runs out while this one is sending
                rig.clock.move(LEASE)
                assert await rig.delivery(Misbehaving()).deliver_due() == Counts(put_off=1)
                await super().send(message)  # type: ignore[arg-type]

        assert await rig.delivery(Slow()).deliver_due() == Counts(put_off=1)
        row = await rig.row()
        assert row.attempts == 2
        assert _due(row) <= rig.clock.now() + pause_after(2) * 2
        assert transport.tries == []


class TestBadAddresses:
    async def test_one_bad_address_never_stalls_the_others(self, rig: Rig) -> None:
        good = [f"good{number:02}@example.org" for number in range(40)]
        for to in ("hang@example.org", "refuse@example.org", "defer@example.org", "break@example.org", *good):
            await rig.queue(to)
        transport = Misbehaving()
        async with running(rig.delivery(transport), transport):
            await transport.until(lambda: transport.recipients() == good)
            assert transport.hanging == 1

    async def test_a_hundred_that_hang_leave_room_for_new_mail(self, rig: Rig) -> None:
        for number in range(100):
            await rig.queue(f"hang{number}@example.org")
        async with rig.database.write() as db:
            assert (
                len(await claim(db, rig.clock.now(), 1000, fresh=True)) == 100
            )  # tried once, and the worker died
        rig.clock.move(LEASE)
        transport = Misbehaving()
        async with running(rig.delivery(transport), transport):
            await transport.until(lambda: transport.hanging == 8)
            await rig.queue("good@example.org")
            await transport.until(lambda: transport.recipients() == ["good@example.org"])
            assert transport.hanging == 8

    async def test_a_send_that_hangs_is_cut_off_and_put_off(self, rig: Rig) -> None:
        await rig.queue("hang@example.org")
        assert await rig.delivery(Misbehaving(), send_seconds=0.05).deliver_due() == Counts(put_off=1)
        row = await rig.row()
        assert row.last_error == "not done within 0.05 s"
        assert _due(row) > rig.clock.now()

    async def test_pauses_double_up_to_an_hour_and_are_spread(self) -> None:
        longest = [max(pause_after(attempt) for _ in range(200)) for attempt in range(1, 30)]
        shortest = [min(pause_after(attempt) for _ in range(200)) for attempt in range(1, 30)]
        for attempt, (low, high) in enumerate(zip(shortest, longest, strict=True)):
            full = min(timedelta(seconds=5) * 2**attempt, timedelta(hours=1))
            assert full / 2 <= low < full * 0.75 < high <= full

    async def test_a_refused_recipient_is_given_up_and_nothing_of_the_mail_is_kept(self, rig: Rig) -> None:
        await rig.queue("refuse@example.org")
        assert await rig.delivery(Misbehaving()).deliver_due() == Counts(given_up=1)
        row = await rig.row()
        assert (row.next_attempt_at, row.payload, row.sent_at) == (None, None, None)
        assert row.last_error == "550 no such user"

    async def test_what_still_fails_after_a_day_is_given_up(self, rig: Rig) -> None:
        await rig.queue("defer@example.org")
        delivery, spent = rig.delivery(Misbehaving()), Counts(put_off=1)
        tries = 0
        while spent == Counts(put_off=1):
            spent = await delivery.deliver_due()
            tries += 1
            rig.clock.at = (await rig.row()).next_attempt_at or rig.clock.at
        row = await rig.row()
        assert spent == Counts(given_up=1)
        assert DAY <= rig.clock.now() - row.created_at < DAY + timedelta(hours=1)
        assert 24 < tries == row.attempts < 60
        assert (row.payload, row.last_error) == (None, "451 come back later")

    async def test_a_mail_older_than_a_day_is_tried_once(self, rig: Rig) -> None:
        await rig.queue("good@example.org")
        await rig.queue("defer@example.org")
        rig.clock.move(2 * DAY)
        assert await rig.delivery(Misbehaving()).deliver_due() == Counts(sent=1, given_up=1)

    async def test_a_row_of_another_key_is_given_up(self, rig: Rig) -> None:
        other = Outbox(SecretKey(b"another key that is long enough to be one"), rig.settings)
        async with rig.database.write() as db:
            other.queue(db, "password-changed", "ada@example.org", rig.clock.now())
        await rig.queue("good@example.org")
        assert await rig.delivery(Misbehaving()).deliver_due() == Counts(sent=1, given_up=1)
        assert "SECRET_KEY" in str((await rig.rows())[0].last_error)

    async def test_a_payload_moved_to_another_row_does_not_open(self, rig: Rig) -> None:
        await rig.queue("ada@example.org")
        await rig.queue("mallory@example.org", "password-changed")
        async with rig.database.write() as db:
            ada, mallory = (await rig.rows())[0], (await rig.rows())[1]
            mallory.payload, mallory.template = ada.payload, ada.template
            db.add(await db.merge(mallory))
        assert await rig.delivery(Misbehaving()).deliver_due() == Counts(sent=1, given_up=1)


class TestRequests:
    """Mails that strangers ask for: what they become is found out at delivery."""

    async def test_a_request_becomes_its_mail_once_however_often_it_is_tried(self, rig: Rig) -> None:
        prepared: list[Waiting] = []

        async def prepare(db: AsyncSession, mail: Waiting, now: datetime) -> Letter:
            assert now == rig.clock.now()
            prepared.append(mail)
            return Letter("verify-email", "Defer@example.org", mail.values)

        await rig.queue("defer@example.org", "resend-verification")
        transport = Misbehaving()
        delivery = rig.delivery(transport, resend_verification=prepare, verify_email=prepare)
        assert await delivery.deliver_due() == Counts(sent=1), "Defer is not defer: this one is taken"
        assert prepared == [
            Waiting("defer@example.org", "resend-verification", {"token": TOKEN}, rig.clock.now(), False)
        ]
        row = await rig.row()
        assert (row.to, row.template, row.payload) == ("Defer@example.org", "verify-email", None)
        assert transport.messages[0]["Subject"] == "Verify your e-mail address"

    async def test_a_prepared_mail_is_not_prepared_again(self, rig: Rig) -> None:
        calls: list[str] = []

        async def prepare(db: AsyncSession, mail: Waiting, now: datetime) -> Letter:
            calls.append(mail.to)
            return Letter("password-reset", mail.to, mail.values)

        await rig.queue("defer@example.org", "password-reset")
        delivery = rig.delivery(Misbehaving(), password_reset=prepare)
        assert await delivery.deliver_due() == Counts(put_off=1)
        rig.clock.at = _due(await rig.row())
        assert await delivery.deliver_due() == Counts(put_off=1)
        assert calls == ["defer@example.org"]

    async def test_a_request_that_comes_to_nothing_sends_nothing_and_leaves_no_row(self, rig: Rig) -> None:
        async def prepare(db: AsyncSession, mail: Waiting, now: datetime) -> None:
            return None

        await rig.queue("stranger@example.org", "password-reset")
        transport = MemoryTransport()
        assert await rig.delivery(transport, password_reset=prepare).deliver_due() == Counts()
        assert (transport.messages, await rig.rows()) == ([], [])

    async def test_what_a_preparation_wrote_goes_when_it_fails(self, rig: Rig) -> None:
        async def prepare(db: AsyncSession, mail: Waiting, now: datetime) -> Letter:
            rig.outbox.queue(db, "password-changed", "side-effect@example.org", now)
            await db.flush()
            raise LookupError

        await rig.queue("ada@example.org", "password-reset")
        transport = MemoryTransport()
        assert await rig.delivery(transport, password_reset=prepare).deliver_due() == Counts(put_off=1)
        row = await rig.row()
        assert (transport.messages, row.to) == ([], "ada@example.org")
        assert str(row.last_error).startswith("LookupError at test_mail_delivery.py")


class TestTheJourneysMail:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"smoke_token": type(settings.secret_key)("s" * 40)})

    async def test_it_never_leaves_is_kept_ten_minutes_and_wiped_then(self, rig: Rig) -> None:
        await rig.queue("trip@journey.invalid")
        await rig.queue("trip@sub.journey.invalid")
        transport = Misbehaving()
        delivery = rig.delivery(transport)
        assert await delivery.deliver_due() == Counts(sent=2)
        assert transport.tries == ["trip@sub.journey.invalid"]

        async with rig.database.read() as db:
            (shown,) = await rig.outbox.smoke_mail(db, "trip@journey.invalid")
            assert f"#token={TOKEN}" in shown.text
            assert await rig.outbox.smoke_mail(db, "trip@sub.journey.invalid") == []
            assert (await backlog(db)).waiting == 0

        rig.clock.move(timedelta(minutes=10))
        assert await delivery.deliver_due() == Counts()
        async with rig.database.read() as db:
            assert await rig.outbox.smoke_mail(db, "trip@journey.invalid") == []
        assert [(row.payload, row.next_attempt_at) for row in await rig.rows()] == [(None, None)] * 2

    async def test_without_a_smoke_token_it_is_mail_like_any_other(self, rig: Rig) -> None:
        plain = rig.settings.model_copy(update={"smoke_token": type(rig.settings.secret_key)("")})
        rig.outbox = outbox_of(plain)
        await rig.queue("trip@journey.invalid")
        transport = Misbehaving()
        await rig.delivery(transport).deliver_due()
        assert transport.tries == ["trip@journey.invalid"]


class TestTroubleWithTheDatabase:
    async def test_a_worker_that_starts_before_the_schema_delivers_once_it_is_there(
        self, tmp_path: Path, settings: Settings, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "dashtam")
        early = settings.model_copy(update={"database_url": f"sqlite+aiosqlite:///{tmp_path}/early.db"})
        async with rigged(early) as rig:
            transport = Misbehaving()
            async with running(rig.delivery(transport), transport):
                await eventually(_logged(caplog, "cannot read the outbox"))
                async with rig.database.writer.begin() as connection:
                    await connection.run_sync(OutboxMail.metadata.create_all)
                await rig.queue("ada@example.org")
                await transport.until(lambda: transport.recipients() == ["ada@example.org"])
        assert sum("cannot read the outbox" in record.message for record in caplog.records) == 1
        assert sum("reads the outbox again" in record.message for record in caplog.records) == 1

    @pytest.mark.parametrize("dbparity_database_url", ["postgresql"], indirect=True)
    async def test_a_worker_outlives_the_loss_of_every_connection(
        self, rig: Rig, cluster: PrivateCluster
    ) -> None:
        transport = Misbehaving()
        async with running(rig.delivery(transport), transport):
            await rig.queue("first@example.org")
            await transport.until(lambda: len(transport.messages) == 1)
            await asyncio.to_thread(
                cluster.sql,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name LIKE 'dashtam/%'",
            )
            await eventually(lambda: _queued(rig, "second@example.org"))
            await transport.until(lambda: "second@example.org" in transport.recipients())


async def test_stopping_lets_what_is_on_its_way_arrive(rig: Rig) -> None:
    arrived = asyncio.Event()

    class Slow(Misbehaving):
        async def send(self, message: object) -> None:
            async with self.changed:
                self.tries.append("x")
                self.changed.notify_all()
            await asyncio.wait_for(release.wait(), 20)
            arrived.set()

    release, transport = asyncio.Event(), Slow()
    await rig.queue("ada@example.org")
    task = asyncio.create_task(rig.delivery(transport).run())
    await transport.until(lambda: transport.tries == ["x"])
    task.cancel()
    release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert arrived.is_set()
    assert (await rig.row()).sent_at is not None


async def _queue_and_fail(rig: Rig) -> None:
    async with rig.database.write() as db:
        rig.outbox.queue(db, "verify-email", "ada@example.org", rig.clock.now(), token=TOKEN)
        await db.flush()
        raise LookupError


async def _is_sent(rig: Rig) -> bool:
    return (await rig.row()).sent_at is not None


async def _queued(rig: Rig, to: str) -> bool:
    try:
        await rig.queue(to)
    except Exception:  # noqa: BLE001  the pool notices one dead connection after the other
        return False
    return True


def _logged(caplog: pytest.LogCaptureFixture, words: str) -> Callable[[], Awaitable[bool]]:
    async def found() -> bool:
        return any(words in record.message for record in caplog.records)

    return found


def _due(row: OutboxMail) -> datetime:
    assert row.next_attempt_at is not None
    return row.next_attempt_at


def _run_until_killed(settings: Settings, when: str) -> None:
    """A real process that commits a mail and is killed with SIGKILL before it is sent."""
    environment = {
        **os.environ,
        "ENVIRONMENT": "test",
        "DATABASE_URL": settings.database.replace("+aiosqlite", "").replace("+asyncpg", ""),
        "SECRET_KEY": settings.secret_key.get_secret_value(),
        "VAR_DIR": str(settings.var_dir),
        "PUBLIC_URL": settings.public_url,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, "-m", "tests.core.mail_victim", when]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        assert victim.stdout.readline() == "now\n"
        os.kill(victim.pid, signal.SIGKILL)
        assert victim.wait(20) == -signal.SIGKILL
