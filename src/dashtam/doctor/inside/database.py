"""The database server: whether it answers, is one that is kept up, and keeps what it acknowledges."""

from datetime import date

from dashtam.core.db import SESSION_SETTINGS
from dashtam.doctor.check import Answer, Check, failure, ok, warning
from dashtam.doctor.inside import postgresql, reaching, sqlite
from dashtam.doctor.inside.postgresql import Server
from dashtam.doctor.local import Local

OLDEST = 14
END_OF_LIFE = {
    14: date(2026, 11, 12),
    15: date(2027, 11, 11),
    16: date(2028, 11, 9),
    17: date(2029, 11, 8),
    18: date(2030, 11, 14),
}
"""The last release of each major version (postgresql.org/support/versioning)."""

_STRONGER = "SERIALIZABLE and REPEATABLE READ make requests fail that READ COMMITTED serves."
_MILLION = 1_000_000
_OLDEST_AGE = 1_500_000_000
"""Transactions; at about 2^31 the server refuses to write (PostgreSQL manual, 24.1.5)."""


async def _version(local: Local) -> Answer:
    server = await local.once(postgresql.server)
    words, end = f"PostgreSQL {server.settings['server_version']}", END_OF_LIFE.get(server.version)
    newer = "Move to a newer major version: pg_upgrade, or pg_dump and restore."
    if server.version < OLDEST:
        return failure(f"{words}; Dashtam is made for {OLDEST} and later", newer)
    if end and local.clock.now().date() > end:
        return warning(f"{words}, which gets no more security fixes since {end}", newer)
    return ok(f"{words}, kept up until {end}" if end else words)


async def _writable(local: Local) -> Answer:
    server = await local.once(postgresql.server)
    if server.duty == "standby":
        return failure(
            "the server is a standby: it can only be read",
            "Point DATABASE_URL at the primary; or promote this one, if the primary is gone for good.",
        )
    if server.settings["default_transaction_read_only"] == "on":
        return failure(
            "default_transaction_read_only is on: every write is refused",
            "Find who set it: SELECT * FROM pg_settings, pg_db_role_setting; then ALTER ROLE, DATABASE or SYSTEM … "
            "RESET default_transaction_read_only.",
        )
    return ok("a primary, and transactions may write")


async def _durable(local: Local) -> Answer:
    server = await local.once(postgresql.server)
    settings, on_disk = server.settings, () if server.neon else ("fsync", "full_page_writes")
    wrong = [name for name in (*on_disk, "synchronous_commit") if settings[name] == "off"]
    if wrong == ["full_page_writes"]:
        return warning(
            "full_page_writes off: right on storage that never tears a page, such as ZFS or Aurora's, and there alone",
            f"On any other: {_reset('full_page_writes')}.",
        )
    if wrong:
        return failure(
            f"{', '.join(wrong)} off: what was acknowledged may be lost, or the database ruined, by a crash",
            "; ".join(_reset(name) for name in wrong) + ".",
        )
    checksums = (
        "on" if settings["data_checksums"] == "on" else "off (pg_checksums --enable finds rot on disks)"
    )
    return ok(
        f"fsync {settings['fsync']}{', on Neon' if server.neon else ''}, "
        f"synchronous_commit {settings['synchronous_commit']}; data checksums {checksums}"
    )


def _reset(name: str) -> str:
    everywhere = f"ALTER SYSTEM RESET {name} and SELECT pg_reload_conf()"
    return f"{everywhere}, or wherever it is set" if name == "synchronous_commit" else everywhere


async def _encoding(local: Local) -> Answer:
    server = await local.once(postgresql.server)
    if server.encoding == "UTF8":
        return ok("UTF8")
    return failure(
        f"the database keeps text as {server.encoding}: names and addresses beyond it are refused or garbled",
        "Make one with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and move with pg_dump and restore.",
    )


async def _collation(local: Local) -> Answer:
    server = await local.once(postgresql.server)
    noted, found = server.collation_noted, server.collation_found
    if noted is None or noted == found:
        return ok(f"version {noted}, as when it was made" if noted else "an order that has no versions")
    return failure(
        f"the database was made with version {noted} of its collation, and the system now has {found}: "
        "indexes on text may miss rows, and let the same address in twice",
        f'REINDEX DATABASE "{server.database}"; then ALTER DATABASE "{server.database}" REFRESH COLLATION VERSION',
    )


async def _session(local: Local) -> Answer:
    server = await local.once(postgresql.server)
    found = server.settings
    lost = {name: wanted for name, wanted in SESSION_SETTINGS.items() if found.get(name) != wanted}
    if not lost:
        return ok(f"all {len(SESSION_SETTINGS)} settings of our connections are in force")
    other = "; ".join(f"{name} is {found.get(name)}, not {wanted}" for name, wanted in lost.items())
    return warning(
        f"{other}: something on the way, such as PgBouncer, dropped what we asked for",
        "; ".join(f"ALTER ROLE \"{server.role}\" SET {name} = '{wanted}'" for name, wanted in lost.items()),
    )


async def _isolation(local: Local) -> Answer:
    level = (await local.once(postgresql.server)).settings["default_transaction_isolation"]
    if level == "read committed":
        return ok(level)
    return warning(
        f"transactions are {level} by default. {_STRONGER}",
        "ALTER ROLE, DATABASE or SYSTEM … RESET default_transaction_isolation, wherever it is set.",
    )


async def _vacuum(local: Local) -> Answer:
    server = await local.once(postgresql.server)
    off = [name for name in ("autovacuum", "track_counts") if server.settings[name] == "off"]
    unkept = [table.name for table in server.tables if table.unkept]
    if off or unkept:
        return warning(
            f"{', '.join(off + unkept)}: not vacuumed, so dead rows stay, and every query reads past them",
            "Switch autovacuum on again: ALTER SYSTEM RESET …, or ALTER TABLE … RESET (autovacuum_enabled).",
        )
    return _age(server)


def _age(server: Server) -> Answer:
    count = f"{server.age / 1e6:.0f} million" if server.age >= _MILLION else str(server.age)
    seen = f"{count} transactions since the server's oldest row was frozen, in database {server.oldest}"
    if server.age < _OLDEST_AGE:
        return ok(f"autovacuum is on; {seen}")
    return failure(
        f"{seen}: at 2147 million the server refuses to write",
        "End old transactions, drop forgotten replication slots and prepared transactions, then VACUUM (FREEZE).",
    )


_NEEDS = ("database.answers",)
CHECKS = (
    Check("database.answers", "The database answers", reaching.answers, ("settings.valid",)),
    *sqlite.CHECKS,
    Check("database.version", "The server's version is kept up", _version, _NEEDS, postgresql.here),
    Check("database.writable", "The database can be written to", _writable, _NEEDS, postgresql.here),
    Check("database.durable", "What is committed survives a crash", _durable, _NEEDS, postgresql.here),
    Check("database.encoding", "The database keeps every character", _encoding, _NEEDS, postgresql.here),
    Check("database.collation", "Text is ordered as its indexes are", _collation, _NEEDS, postgresql.here),
    Check("database.session", "Connections are set up as asked", _session, _NEEDS, postgresql.here),
    Check("database.isolation", "Transactions are isolated as expected", _isolation, _NEEDS, postgresql.here),
    Check("database.vacuum", "Dead rows are cleared away", _vacuum, _NEEDS, postgresql.here),
)
