"""SQLite files that are damaged, grow without end, or are held by somebody else; and old libraries."""

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from dashtam import migrations
from dashtam.doctor.inside.sqlite import LONGEST_WAL, judged_version
from tests.doctor.asking import answer
from tests.doctor.servers import LookingAt

NAMES = ("database.library", "database.sound", "database.log", "connections.turn", "schema.references")


@pytest.fixture(scope="module")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database, to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "dashtam.db"
    asyncio.run(migrations.upgrade(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture
def file(tmp_path: Path, migrated_file: Path) -> Path:
    """A migrated database of the test's own."""
    return Path(shutil.copy(migrated_file, tmp_path / "dashtam.db"))


@pytest.mark.parametrize("name", NAMES)
async def test_a_sound_file_is_well(looking_at: LookingAt, file: Path, name: str):
    async with looking_at(f"sqlite:///{file}") as here:
        found = await answer(here, name)
    assert (found.verdict, found.remedy) == ("ok", "")


@pytest.mark.plants("database.library")
def test_a_library_that_is_too_old_fails():
    found = judged_version((3, 34, 1))
    assert found.verdict == "failure"
    assert "SQLite 3.34.1 knows no RETURNING" in found.evidence
    assert "DATABASE_URL=postgresql" in found.remedy


@pytest.mark.plants("database.sound")
async def test_a_damaged_page_fails(looking_at: LookingAt, file: Path):
    with closing(sqlite3.connect(file)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'users'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with file.open("r+b") as raw:
        raw.seek((root - 1) * size)
        raw.write(b"\xff" * 64)
    async with looking_at(f"sqlite:///{file}") as here:
        found = await answer(here, "database.sound")
    assert found.verdict == "failure"
    assert "PRAGMA quick_check: " in found.evidence
    assert f"restore a backup to {file}" in found.remedy


@pytest.mark.plants("database.log")
async def test_a_log_that_a_forgotten_reader_keeps_growing_is_found(looking_at: LookingAt, file: Path):
    with closing(sqlite3.connect(file)) as forgotten, closing(sqlite3.connect(file)) as writing:
        writing.execute("PRAGMA journal_mode = WAL")
        writing.execute("PRAGMA synchronous = OFF")
        forgotten.execute("BEGIN")
        forgotten.execute("SELECT count(*) FROM users").fetchone()
        writing.execute("INSERT INTO throttle_counters VALUES (zeroblob(?), 1, '2026-01-01')", [LONGEST_WAL])
        writing.commit()
        async with looking_at(f"sqlite:///{file}") as here:
            found = await answer(here, "database.log")
    assert found.verdict == "warning"
    assert f"MB wait in {file}-wal" in found.evidence
    assert "keeps a transaction open" in found.remedy


@pytest.mark.plants("connections.turn")
async def test_a_write_lock_that_is_never_given_back_fails(looking_at: LookingAt, file: Path):
    with closing(sqlite3.connect(file)) as forgotten:
        forgotten.execute("BEGIN IMMEDIATE")
        async with looking_at(f"sqlite:///{file}") as here:
            found = await answer(here, "connections.turn")
    assert found.verdict == "failure"
    assert "has held the file's write lock for over 1 s" in found.evidence
    assert f"fuser -v {file}" in found.remedy


async def test_a_file_that_cannot_be_written_to_is_told_from_one_that_is_held(
    looking_at: LookingAt, file: Path
):
    with file.open("r+b") as raw:
        raw.seek(18)  # the version of the format that is written: one of the future makes the file read-only
        raw.write(b"\x03")
    async with looking_at(f"sqlite:///{file}") as here:
        found = await answer(here, "connections.turn")
    assert found.verdict == "failure"
    assert "the file cannot be written to: attempt to write a readonly database" in found.evidence
    assert "mounted for writing" in found.remedy


@pytest.mark.plants("schema.references")
async def test_rows_without_the_rows_they_refer_to_fail(looking_at: LookingAt, file: Path):
    with closing(sqlite3.connect(file)) as careless:
        careless.execute(
            "INSERT INTO sessions (id, user_id, generation, nonce, rotated_at, created_at, last_seen_at,"
            " expires_at, amr) VALUES ('a', 'nobody', 0, x'00', 0, 0, 0, 0, 'pwd')"
        )
        careless.commit()
    async with looking_at(f"sqlite:///{file}") as here:
        found = await answer(here, "schema.references")
    assert found.verdict == "failure"
    assert found.evidence.endswith("rows that are not there: 1 of sessions")
    assert "PRAGMA foreign_key_check" in found.remedy


async def test_looking_leaves_the_file_and_its_folder_as_they_were(looking_at: LookingAt, file: Path):
    before = await asyncio.to_thread(_traces, file)
    async with looking_at(f"sqlite:///{file}") as here:
        for name in NAMES:
            await answer(here, name)
    assert await asyncio.to_thread(_traces, file) == before


def _traces(file: Path) -> object:
    return file.read_bytes(), sorted(file.parent.iterdir())
