"""Databases that do not answer, are too old, read only, forgetful or set up by somebody else's needs."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashtam.doctor.check import Answer
from dashtam.doctor.inside.database import END_OF_LIFE
from dashtam.doctor.local import Local
from dbparity.testing.postgres import PrivateCluster
from tests.doctor.asking import answer, has_ended
from tests.doctor.servers import LookingAt, as_role, connected, name_of
from tests.doctor.wire import lying
from tests.makers import MovableClock

OF_SERVERS = (
    "database.version",
    "database.writable",
    "database.durable",
    "database.encoding",
    "database.collation",
    "database.session",
    "database.isolation",
    "database.vacuum",
)


async def asked(looking_at: LookingAt, url: str, name: str, **settings: object) -> Answer:
    async with looking_at(url, **settings) as here:
        return await answer(here, name)


@pytest.mark.parametrize("name", OF_SERVERS)
async def test_a_sound_server_is_well(
    looking_at: LookingAt, quiet_database: str, clock: MovableClock, name: str
):
    found = await asked(looking_at, quiet_database, name)
    if name != "database.version" or not has_ended(found, clock.now().date()):
        assert (found.verdict, found.remedy) == ("ok", "")


async def test_a_database_that_answers_is_named_without_its_password(sound: Local):
    found = await answer(sound, "database.answers")
    assert found.verdict == "ok"
    if not sound.service.database.is_sqlite:
        url = sound.service.database.writer.url
        assert (
            f"{url.host}:{url.port or 5432}/{url.database} as postgres: answers a query in " in found.evidence
        )
        assert url.password is None or url.password not in found.evidence


@pytest.mark.plants("database.answers")
@pytest.mark.parametrize(
    ("role", "evidence", "remedy"),
    [
        ("postgres", "the server refuses the password", "Give DATABASE_URL the role's password"),
        ("doctor_absent", "the server refuses the password", "Give DATABASE_URL the role's password"),
        ("doctor_barred", "does not let this role in from here", "let it in from this address"),
    ],
)
async def test_a_login_that_fails_says_why(
    looking_at: LookingAt, cluster: PrivateCluster, barred: None, role: str, evidence: str, remedy: str
):
    found = await asked(looking_at, as_role(cluster.url(), role, "never-shown"), "database.answers")
    assert found.verdict == "failure"
    assert evidence in found.evidence
    assert remedy in found.remedy
    assert "never-shown" not in str(found)


async def test_a_database_that_the_server_does_not_have_is_named(
    looking_at: LookingAt, cluster: PrivateCluster
):
    found = await asked(looking_at, cluster.url("doctor_absent"), "database.answers")
    assert found.verdict == "failure"
    assert "/doctor_absent as postgres: the server has no database of that name" in found.evidence
    assert "CREATE DATABASE" in found.remedy


@pytest.fixture
def barred(cluster: PrivateCluster) -> Iterator[None]:
    """A role that may not log in."""
    cluster.sql("CREATE ROLE doctor_barred NOLOGIN PASSWORD 'never-shown'")
    yield
    cluster.sql("DROP ROLE doctor_barred")


async def test_a_server_without_a_connection_left_is_told_from_one_that_is_gone(
    looking_at: LookingAt, cluster: PrivateCluster, quiet_database: str, limited: str
):
    with connected(limited):
        full = await asked(looking_at, limited, "database.answers")
    assert "no connection is left" in full.evidence
    assert "DATABASE_POOL_SIZE" in full.remedy
    gone = await asked(looking_at, quiet_database.replace(f":{cluster.port}/", ":1/"), "database.answers")
    assert "127.0.0.1:1/" in gone.evidence
    assert "no connection (Connection refused)" in gone.evidence
    assert "Start the server" in gone.remedy


@pytest.fixture
def limited(cluster: PrivateCluster, quiet_database: str) -> Iterator[str]:
    """The database, as a role that may connect once."""
    cluster.sql("CREATE ROLE doctor_limited LOGIN PASSWORD 'once' CONNECTION LIMIT 1")
    yield as_role(quiet_database, "doctor_limited", "once")
    cluster.sql("DROP ROLE doctor_limited")


@pytest.mark.parametrize("wanted", ["require", "verify-full"])
async def test_a_server_that_does_not_encrypt_where_that_is_wanted_says_so(
    looking_at: LookingAt, quiet_database: str, wanted: str
):
    found = await asked(looking_at, f"{quiet_database}?ssl={wanted}", "database.answers")
    assert found.verdict == "failure"
    assert "TLS with the server fails" in found.evidence
    assert "PGSSLROOTCERT" in found.remedy


async def test_a_server_that_accepts_and_says_nothing_is_named_in_time(looking_at: LookingAt):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}/dashtam"
        found = await asked(looking_at, f"postgresql://dashtam:never-shown@{place}", "database.answers")
    assert found.verdict == "failure"
    assert found.evidence == f"{place} as dashtam: no answer within 1.8 s"
    assert "firewall" in found.remedy


@pytest.mark.parametrize(
    ("content", "evidence", "remedy"),
    [
        (None, "there is no file", "dashtam migrate up"),
        (
            b"not a database, but long enough to be looked at" * 100,
            "is not a SQLite database",
            "DATABASE_URL",
        ),
    ],
)
async def test_a_file_that_is_no_database_is_named_and_not_made(
    looking_at: LookingAt, tmp_path: Path, content: bytes | None, evidence: str, remedy: str
):
    file = tmp_path / "some.db"
    if content is not None:
        file.write_bytes(content)
    found = await asked(looking_at, f"sqlite:///{file}", "database.answers")
    assert (found.verdict, str(file) in found.evidence) == ("failure", True)
    assert evidence in found.evidence
    assert remedy in found.remedy
    assert file.exists() == (content is not None)


@pytest.mark.plants("database.version")
async def test_a_server_past_its_last_release_is_to_be_replaced(
    looking_at: LookingAt, quiet_database: str, clock: MovableClock
):
    clock.move(days=(max(END_OF_LIFE.values()) - clock.now().date()).days + 1)
    found = await asked(looking_at, quiet_database, "database.version")
    assert found.verdict == "warning"
    assert "gets no more security fixes since" in found.evidence
    assert "pg_upgrade" in found.remedy


async def test_a_server_older_than_any_that_dashtam_is_made_for_fails(
    looking_at: LookingAt, quiet_database: str, cluster: PrivateCluster
):
    (number,) = cluster.sql("SHOW server_version_num")
    async with lying(quiet_database, {f"server_version_num={number}": "server_version_num=130022"}) as url:
        found = await asked(looking_at, url, "database.version")
    assert found.verdict == "failure"
    assert "Dashtam is made for 14 and later" in found.evidence


@pytest.mark.plants("database.writable")
async def test_a_database_that_is_read_only_fails(
    looking_at: LookingAt, own_database: str, cluster: PrivateCluster
):
    cluster.sql(f'ALTER DATABASE "{name_of(own_database)}" SET default_transaction_read_only = on')
    found = await asked(looking_at, own_database, "database.writable")
    assert found.verdict == "failure"
    assert "default_transaction_read_only is on" in found.evidence
    assert "RESET default_transaction_read_only" in found.remedy


async def test_a_standby_fails(looking_at: LookingAt, quiet_database: str):
    async with lying(quiet_database, {"primary": "standby"}) as url:
        found = await asked(looking_at, url, "database.writable")
    assert found.verdict == "failure"
    assert "the server is a standby" in found.evidence
    assert "Point DATABASE_URL at the primary" in found.remedy


@pytest.mark.plants("database.durable")
async def test_a_server_that_forgets_in_a_crash_fails(looking_at: LookingAt, careless: str):
    found = await asked(looking_at, careless, "database.durable")
    assert found.verdict == "failure"
    assert "fsync, full_page_writes off: what was acknowledged may be lost" in found.evidence
    assert "ALTER SYSTEM RESET fsync and SELECT pg_reload_conf()" in found.remedy


async def test_commits_that_are_not_waited_for_fail(
    looking_at: LookingAt, own_database: str, cluster: PrivateCluster
):
    cluster.sql(f'ALTER DATABASE "{name_of(own_database)}" SET synchronous_commit = off')
    found = await asked(looking_at, own_database, "database.durable")
    assert found.verdict == "failure"
    assert "synchronous_commit off" in found.evidence


async def test_pages_that_a_crash_may_tear_are_to_be_looked_at_and_neon_keeps_them_elsewhere(
    looking_at: LookingAt, torn: str, cluster: PrivateCluster
):
    found = await asked(looking_at, torn, "database.durable")
    assert found.verdict == "warning"
    assert "full_page_writes off: right on storage that never tears a page" in found.evidence
    assert "ALTER SYSTEM RESET full_page_writes" in found.remedy
    cluster.sql(f"ALTER DATABASE \"{name_of(torn)}\" SET neon.timeline_id = 'x'")
    assert (await asked(looking_at, torn, "database.durable")).verdict == "ok"


@pytest.fixture
def torn(cluster: PrivateCluster, own_database: str) -> Iterator[str]:
    """A database of a server that writes no full pages."""
    _set(cluster, "off")
    yield own_database
    _set(cluster, "on")


def _set(cluster: PrivateCluster, value: str) -> None:
    cluster.sql(f"ALTER SYSTEM SET full_page_writes = {value}")
    cluster.sql("SELECT pg_reload_conf()")
    deadline = time.monotonic() + 20
    while cluster.sql("SHOW full_page_writes") != [value]:
        assert time.monotonic() < deadline


@pytest.mark.plants("database.vacuum")
async def test_a_server_that_vacuums_nothing_is_found(looking_at: LookingAt, careless: str):
    found = await asked(looking_at, careless, "database.vacuum")
    assert found.verdict == "warning"
    assert "autovacuum: not vacuumed" in found.evidence
    assert "ALTER SYSTEM RESET" in found.remedy


async def test_a_table_that_is_not_vacuumed_is_named(looking_at: LookingAt, own_database: str):
    with connected(own_database) as connection:
        connection.execute("ALTER TABLE sessions SET (autovacuum_enabled = off)")
        connection.commit()
    found = await asked(looking_at, own_database, "database.vacuum")
    assert (found.verdict, found.evidence.split(":")[0]) == ("warning", "sessions")


async def test_a_server_that_is_about_to_refuse_writes_for_the_age_of_any_database_fails(
    looking_at: LookingAt, own_database: str, quiet_database: str, cluster: PrivateCluster
):
    old = "((CAST(CAST(txid_current() AS text) AS bigint) + 4294967296 - 1600000000) % 4294967296)"
    cluster.sql(
        f"UPDATE pg_database SET datfrozenxid = CAST(CAST({old} AS text) AS xid) "
        f"WHERE datname = '{name_of(own_database)}'"
    )
    found = await asked(looking_at, own_database, "database.vacuum")
    elsewhere = await asked(looking_at, quiet_database, "database.vacuum")
    assert found.verdict == "failure"
    assert "1600 million transactions since the server's oldest row was frozen" in found.evidence
    assert f"in database {name_of(own_database)}" in found.evidence
    assert elsewhere.evidence == found.evidence
    assert "VACUUM (FREEZE)" in found.remedy


@pytest.mark.plants("database.encoding")
async def test_a_name_of_few_characters_fails(looking_at: LookingAt, cluster: PrivateCluster):
    cluster.sql("CREATE DATABASE doctor_latin ENCODING 'LATIN1' TEMPLATE template0")
    try:
        found = await asked(looking_at, cluster.url("doctor_latin"), "database.encoding")
    finally:
        cluster.drop_database("doctor_latin")
    assert found.verdict == "failure"
    assert "keeps text as LATIN1" in found.evidence
    assert "ENCODING 'UTF8'" in found.remedy


@pytest.mark.plants("database.collation")
async def test_a_database_whose_order_has_changed_under_it_fails(
    looking_at: LookingAt, cluster: PrivateCluster
):
    if int(cluster.sql("SHOW server_version_num")[0]) < 150_000:
        pytest.skip("PostgreSQL 14 notes no version of a database's collation")
    cluster.sql("CREATE DATABASE doctor_icu LOCALE_PROVIDER icu ICU_LOCALE 'und' TEMPLATE template0")
    try:
        sound = await asked(looking_at, cluster.url("doctor_icu"), "database.collation")
        cluster.sql("UPDATE pg_database SET datcollversion = '58.0' WHERE datname = 'doctor_icu'")
        found = await asked(looking_at, cluster.url("doctor_icu"), "database.collation")
    finally:
        cluster.drop_database("doctor_icu")
    assert sound.verdict == "ok"
    assert found.verdict == "failure"
    assert "made with version 58.0 of its collation, and the system now has" in found.evidence
    assert 'REINDEX DATABASE "doctor_icu"' in found.remedy


@pytest.mark.plants("database.isolation")
async def test_another_isolation_by_default_is_found(
    looking_at: LookingAt, own_database: str, cluster: PrivateCluster
):
    cluster.sql(
        f"ALTER DATABASE \"{name_of(own_database)}\" SET default_transaction_isolation = 'serializable'"
    )
    found = await asked(looking_at, own_database, "database.isolation")
    assert found.verdict == "warning"
    assert "transactions are serializable by default" in found.evidence
    assert "RESET default_transaction_isolation" in found.remedy
