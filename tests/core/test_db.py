import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlmodel import col, select

from dashtam.core.db import Database, after_commit
from dashtam.core.tables import AuditEvent

pytestmark = pytest.mark.dbparity(isolation="clone")  # commits, locks and connections are what is tested


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.dispose()


def event(kind: str) -> AuditEvent:
    return AuditEvent(at=datetime.now(UTC), kind=kind)


async def kinds(database: Database) -> list[str]:
    async with database.read() as db:
        return list((await db.exec(select(AuditEvent.kind).order_by(col(AuditEvent.id)))).all())


async def test_a_transaction_is_committed_at_the_end_of_its_block(database: Database):
    async with database.write() as db:
        db.add(event("kept"))
        await db.flush()
        assert await kinds(database) == [], "nobody sees it before"
    assert await kinds(database) == ["kept"]


async def test_a_transaction_is_rolled_back_when_its_block_raises_and_the_connection_is_used_again(
    database: Database,
):
    for _ in range(20):  # more often than there are connections
        with pytest.raises(ZeroDivisionError):
            await _write_and_fail(database)
    async with database.write() as db:
        db.add(event("kept"))
    assert await kinds(database) == ["kept"]


async def _write_and_fail(database: Database, *callbacks: Callable[[], None]) -> None:
    async with database.write() as db:
        after_commit(db).extend(callbacks)
        db.add(event("dropped"))
        await db.flush()
        raise ZeroDivisionError


async def test_what_waits_for_the_commit_is_called_after_it_and_only_then(database: Database):
    called: list[str] = []
    with pytest.raises(ZeroDivisionError):
        await _write_and_fail(database, lambda: called.append("dropped"))
    async with database.write() as db:
        after_commit(db).append(lambda: called.append("kept"))
        assert called == []
    assert called == ["kept"]


async def test_a_reader_sees_what_is_committed_at_the_moment_of_each_statement(database: Database):
    async with database.read() as db:
        assert (await db.exec(select(AuditEvent.kind))).all() == []
        async with database.write() as other:
            other.add(event("late"))
        assert (await db.exec(select(AuditEvent.kind))).all() == ["late"]


async def test_times_come_back_in_utc_as_they_went_in(database: Database):
    at = datetime(2026, 11, 22, 23, 59, 59, 123456, tzinfo=UTC)
    async with database.write() as db:
        db.add(AuditEvent(at=at, kind="dated"))
    async with database.read() as db:
        found = (await db.exec(select(AuditEvent.at))).one()
    assert found == at
    assert found.utcoffset() == at.utcoffset()


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("foreign_keys", 1), ("synchronous", 2), ("busy_timeout", 5000)],
)
async def test_sqlite_is_set_up_for_durability_on_every_connection(
    sqlite_database: Database, pragma: str, value: object
):
    async with sqlite_database.connect() as reading, sqlite_database.writer.connect() as writing:
        for connection in (reading, writing):
            assert (await connection.execute(text(f"PRAGMA {pragma}"))).scalar_one() == value


@pytest.fixture
async def sqlite_database(tmp_path: object) -> AsyncIterator[Database]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/plain.db")
    yield database
    await database.dispose()


async def test_a_database_taken_as_found_neither_makes_its_file_nor_changes_its_journal(tmp_path: Path):
    file = tmp_path / "strange #100%.db"
    found = Database(f"sqlite+aiosqlite:///{file}", as_found=True)
    with pytest.raises(OperationalError):
        async with found.connect():
            pass
    assert not file.exists()
    with closing(sqlite3.connect(file)) as plain:
        plain.execute("CREATE TABLE things (id INTEGER)")
    before = file.read_bytes()
    async with found.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM things")) == 0
    await found.dispose()
    assert file.read_bytes() == before
