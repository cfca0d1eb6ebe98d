"""Servers with too few connections, and connections that keep others waiting."""

import asyncio
import time
from collections import Counter
from contextlib import ExitStack
from typing import LiteralString

import psycopg
import pytest

from dashtam.doctor.check import Answer
from dashtam.doctor.inside.connections import judged_room
from dbparity.testing.postgres import PrivateCluster
from tests.doctor.asking import answer
from tests.doctor.bouncer import bouncing
from tests.doctor.servers import LookingAt, as_role, connected, name_of
from tests.makers import MovableClock

NAMES = (
    "connections.pooler",
    "connections.room",
    "connections.limits",
    "connections.transactions",
    "connections.waiting",
)
SLEEP = "SELECT pg_sleep(60)"
RUNS = "SELECT FROM pg_stat_activity WHERE pid = %s AND query = %s AND state = 'active'"
KEEPS = {
    "ignore_startup_parameters": "timezone,statement_timeout,lock_timeout,idle_in_transaction_session_timeout,jit"
}


async def asked(looking_at: LookingAt, url: str, name: str, **settings: object) -> Answer:
    async with looking_at(url, **settings) as here:
        return await answer(here, name)


@pytest.mark.parametrize("name", NAMES)
async def test_a_quiet_server_is_sound(looking_at: LookingAt, quiet_database: str, name: str):
    found = await asked(looking_at, quiet_database, name)
    assert (found.verdict, found.remedy) == ("ok", "")


@pytest.mark.plants("connections.room")
async def test_a_pool_that_others_leave_no_room_for_fails(looking_at: LookingAt, quiet_database: str):
    async with looking_at(quiet_database, database_pool_size=90) as here:
        assert (await answer(here, "connections.room")).verdict == "ok"
        with ExitStack() as stack:
            for _ in range(8):
                stack.enter_context(connected(quiet_database))
            found = await answer(here, "connections.room")
    assert found.verdict == "failure"
    assert "97 connections to be had" in found.evidence
    assert "at DATABASE_POOL_SIZE=90 there is room for 0 workers" in found.evidence
    assert "Lower DATABASE_POOL_SIZE" in found.remedy


@pytest.mark.parametrize(
    ("nodes", "verdict", "evidence"),
    [
        ({}, "ok", "beside 0 connections of 0 nodes of Dashtam"),
        ({"10.0.0.1": 16, "10.0.0.2": 32}, "ok", "beside 48 connections of 2 nodes of Dashtam"),
        (
            {"10.0.0.1": 17, "10.0.0.2": 20, "10.0.0.3": 1},
            "warning",
            "room for 3 workers, and at least 5 run",
        ),
    ],
)
def test_the_pools_of_all_nodes_are_added_up(nodes: dict[str, int], verdict: str, evidence: str):
    found = judged_room(60, 5, Counter(nodes), 16)
    assert found.verdict == verdict
    assert evidence in found.evidence


@pytest.mark.plants("connections.limits")
async def test_a_limit_below_the_pool_fails(
    looking_at: LookingAt, own_database: str, cluster: PrivateCluster
):
    cluster.sql(f'ALTER DATABASE "{name_of(own_database)}" CONNECTION LIMIT 12')
    found = await asked(looking_at, own_database, "connections.limits")
    assert found.verdict == "failure"
    assert f"DATABASE {name_of(own_database)} has CONNECTION LIMIT 12" in found.evidence
    assert "DATABASE_POOL_SIZE=16" in found.evidence
    assert "CONNECTION LIMIT -1" in found.remedy


async def test_a_limit_of_the_role_counts_too(
    looking_at: LookingAt, own_database: str, cluster: PrivateCluster
):
    cluster.sql("CREATE ROLE doctor_few LOGIN PASSWORD 'few' CONNECTION LIMIT 8")
    try:
        url = as_role(own_database, "doctor_few", "few")
        found = await asked(looking_at, url, "connections.limits")
        enough = await asked(looking_at, url, "connections.limits", database_pool_size=8)
    finally:
        cluster.sql("DROP ROLE doctor_few")
    assert (found.verdict, "ROLE doctor_few has CONNECTION LIMIT 8" in found.evidence) == ("failure", True)
    assert (enough.verdict, enough.evidence) == ("ok", "ROLE doctor_few: 8")


@pytest.mark.plants("connections.transactions")
async def test_a_forgotten_transaction_is_named(
    looking_at: LookingAt, quiet_database: str, clock: MovableClock
):
    with connected(quiet_database, "a report") as forgotten:
        forgotten.execute("SELECT count(*) FROM users")
        young = await asked(looking_at, quiet_database, "connections.transactions")
        clock.move(minutes=7)
        found = await asked(looking_at, quiet_database, "connections.transactions")
        pid = forgotten.info.backend_pid
    assert young.verdict == "ok"
    assert found.verdict == "warning"
    assert (
        f"process {pid} (a report, role postgres) has been in a transaction for 7 min, now idle in transaction"
        in found.evidence
    )
    assert f"pg_terminate_backend({pid})" in found.remedy


async def test_a_transaction_at_work_is_given_an_hour(
    looking_at: LookingAt, quiet_database: str, clock: MovableClock
):
    with connected(quiet_database, "a backup") as backup, connected(quiet_database) as watching:
        backup.execute("BEGIN")
        working = asyncio.create_task(asyncio.to_thread(_run, backup, SLEEP))
        await asyncio.to_thread(_until_it_runs, watching, backup.info.backend_pid)
        clock.move(minutes=50)
        patient = await asked(looking_at, quiet_database, "connections.transactions")
        clock.move(minutes=20)
        found = await asked(looking_at, quiet_database, "connections.transactions")
        backup.cancel()
        with pytest.raises(psycopg.errors.QueryCanceled):
            await working
    assert patient.verdict == "ok"
    assert found.verdict == "warning"
    assert "(a backup, role postgres) has been in a transaction for 70 min, now active" in found.evidence


@pytest.mark.plants("connections.waiting")
async def test_who_waits_for_whose_lock_is_named(looking_at: LookingAt, quiet_database: str):
    with connected(quiet_database, "a holder") as holder, connected(quiet_database, "a waiter") as waiter:
        holder.execute("LOCK TABLE users")
        waiting = asyncio.create_task(asyncio.to_thread(_run, waiter, "LOCK TABLE users"))
        async with looking_at(quiet_database) as here, asyncio.timeout(20):
            while (found := await answer(here, "connections.waiting")).verdict == "ok":
                pass
        holder.rollback()
        await waiting
        pid = holder.info.backend_pid
    assert found.verdict == "warning"
    assert "(a waiter, role postgres) waits for a lock of process" in found.evidence
    assert f"process {pid} (a holder, role postgres)" in found.evidence
    assert f"pg_terminate_backend({pid})" in found.remedy


async def test_a_lock_that_no_process_holds_is_told(looking_at: LookingAt, careless: str):
    with connected(careless) as holder, connected(careless, "a waiter") as waiter:
        holder.execute("SELECT pg_advisory_xact_lock(1)")
        holder.execute("PREPARE TRANSACTION 'forgotten'")
        holder.rollback()
        waiting = asyncio.create_task(asyncio.to_thread(_run, waiter, "SELECT pg_advisory_xact_lock(1)"))
        async with looking_at(careless) as here, asyncio.timeout(20):
            while (found := await answer(here, "connections.waiting")).verdict == "ok":
                pass
        holder.autocommit = True
        holder.execute("ROLLBACK PREPARED 'forgotten'")
        await waiting
    assert "(a waiter, role postgres) waits for a lock of a prepared transaction" in found.evidence
    assert "pg_prepared_xacts" in found.remedy


def _until_it_runs(connection: psycopg.Connection, pid: int) -> None:
    connection.autocommit = True  # in a transaction the view would stay as it is
    deadline = time.monotonic() + 20
    while not connection.execute(RUNS, [pid, SLEEP]).rowcount:
        assert time.monotonic() < deadline


def _run(connection: psycopg.Connection, statement: LiteralString) -> None:
    connection.execute(statement)


@pytest.mark.plants("connections.pooler")
async def test_a_pooler_that_loses_prepared_statements_fails(looking_at: LookingAt, quiet_database: str):
    with bouncing(quiet_database, pool_mode="transaction", **KEEPS) as url:
        found = await asked(looking_at, url, "connections.pooler")
    assert found.verdict == "failure"
    assert "loses our prepared statements" in found.evidence
    assert "max_prepared_statements" in found.remedy


@pytest.mark.plants("database.session")
async def test_a_pooler_that_drops_what_we_ask_for_is_found(looking_at: LookingAt, quiet_database: str):
    with bouncing(quiet_database, pool_mode="session", **KEEPS) as url:
        dropped = await asked(looking_at, url, "database.session")
        kept = await asked(looking_at, url, "connections.pooler")
    assert dropped.verdict == "warning"
    assert "statement_timeout is 0, not 5000" in dropped.evidence
    assert "ALTER ROLE \"postgres\" SET statement_timeout = '5000'; ALTER ROLE" in dropped.remedy
    assert kept.verdict == "ok"


async def test_a_pooler_that_refuses_what_we_ask_for_is_told_apart(
    looking_at: LookingAt, quiet_database: str
):
    with bouncing(quiet_database, pool_mode="session") as url:
        found = await asked(looking_at, url, "database.answers")
    assert found.verdict == "failure"
    assert "refuses our start-up parameters, as PgBouncer does" in found.evidence
    assert "ignore_startup_parameters" in found.remedy


async def test_a_pooler_that_cannot_reach_the_server_is_not_taken_for_one_that_refuses_us(
    looking_at: LookingAt, quiet_database: str
):
    with bouncing(
        quiet_database.replace("/doctor_quiet", "/doctor_gone"), pool_mode="session", **KEEPS
    ) as url:
        found = await asked(looking_at, url, "database.answers")
    assert found.verdict == "failure"
    assert "/doctor_gone as postgres: a pooler on the way does not let us through" in found.evidence
    assert "Read the pooler's log" in found.remedy
