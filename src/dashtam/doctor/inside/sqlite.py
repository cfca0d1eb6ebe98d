"""A SQLite database: the library, the file and the log beside it.

It is looked at by connections that change nothing, not even its journal mode as the service's own would.
"""

import asyncio
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError

from dashtam.doctor.check import Answer, Check, failure, ok, skipped, warning
from dashtam.doctor.local import Local
from dashtam.migrations.connection import looking

MB = 1_000_000
LONGEST_WAL = 64 * MB
MOST_READ = 200 * MB
"""Bytes of a file that can be read through within a check's deadline, with room to spare."""

OLDEST = (3, 35, 0)
"""The first with RETURNING (2021-03-12, sqlite.org/changes.html)."""


@dataclass(frozen=True, slots=True)
class File:
    """The file as SQLite sees it; sizes in bytes."""

    size: int
    journal: str
    wal: int


def here(local: Local) -> bool:
    """Whether the deployment is on SQLite."""
    return local.parts is not None and local.parts.database.is_sqlite


def path(local: Local) -> str:
    """The file, as DATABASE_URL names it."""
    return make_url(local.settings.database).database or ""


async def file(local: Local) -> File:
    """The facts. A check asks for them by `local.once(file)`."""
    async with looking(local.settings.database) as connection:
        journal = await connection.scalar(text("PRAGMA journal_mode"))
        size = await connection.scalar(
            text("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
        )
        await connection.execute(text("SELECT count(*) FROM sqlite_master"))
        return File(int(size or 0), str(journal), await asyncio.to_thread(_bytes, Path(f"{path(local)}-wal")))


def _bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


async def _sound(local: Local) -> Answer:
    found = await local.once(file)
    if found.size > MOST_READ:
        return skipped(
            f"{found.size / MB:.0f} MB take too long to read here; by hand: sqlite3 {path(local)} 'PRAGMA quick_check'"
        )
    try:
        async with looking(local.settings.database) as connection:
            said = list((await connection.execute(text("PRAGMA quick_check(3)"))).scalars())
    except DatabaseError as error:
        said = [str(error.orig)]
    if said == ["ok"]:
        return ok(f"PRAGMA quick_check finds nothing in {found.size / MB:.1f} MB")
    return failure(
        f"PRAGMA quick_check: {'; '.join(said)[:200]}",
        f"Stop the service, keep the file aside, and restore a backup to {path(local)}; look at the disk.",
    )


async def _wal(local: Local) -> Answer:
    found = await local.once(file)
    if found.wal <= LONGEST_WAL:
        return ok(f"{found.wal / MB:.1f} MB wait in the log beside the file")
    return warning(
        f"{found.wal / MB:.0f} MB wait in {path(local)}-wal: something keeps it from being brought into the file",
        "Look for a program that keeps a transaction open on the file (lsof names it), and end it.",
    )


async def _version(_: Local) -> Answer:
    return judged_version(sqlite3.sqlite_version_info)


def judged_version(version: tuple[int, ...]) -> Answer:
    """Whether this SQLite library can do what the service asks of it."""
    words = ".".join(map(str, version))
    if version >= OLDEST:
        return ok(f"SQLite {words}")
    return failure(
        f"SQLite {words} knows no RETURNING, which came with {'.'.join(map(str, OLDEST))}",
        "Use a Python that brings a newer SQLite, or PostgreSQL: DATABASE_URL=postgresql://…",
    )


_NEEDS = ("database.answers",)
CHECKS = (
    Check("database.library", "The SQLite library is new enough", _version, applies=here),
    Check("database.sound", "The file is sound", _sound, _NEEDS, here),
    Check("database.log", "The write-ahead log stays short", _wal, _NEEDS, here),
)
