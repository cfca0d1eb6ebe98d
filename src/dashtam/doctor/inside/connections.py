"""Connections to the server: room for every worker's pool, and nobody who keeps the others waiting."""

from collections import Counter
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from dashtam.doctor.check import Answer, Check, failure, ok, warning
from dashtam.doctor.inside import postgresql, reaching, sqlite
from dashtam.doctor.inside.postgresql import Peer, Server, counted
from dashtam.doctor.local import Local
from dashtam.migrations.connection import looking

FORGOTTEN = timedelta(minutes=1)
LONG_WORK = timedelta(hours=1)
LONG_WAIT = timedelta(seconds=1)
_TURN_MS = 1_000
_NOBODY = "0"  # what pg_blocking_pids says of a transaction that was prepared: no process has it
_PID = text("SELECT pg_backend_pid()")


async def _room(local: Local) -> Answer:
    server = await local.once(postgresql.server)
    most = _usable(server)
    others = len(server.peers) - len(server.ours)
    return judged_room(
        most, others, Counter(peer.address for peer in server.ours), local.settings.database_pool_size
    )


def _usable(server: Server) -> int:
    """Connections that a role which is no superuser may have, all together."""
    kept = ("superuser_reserved_connections", "reserved_connections")  # the latter since PostgreSQL 16
    return int(server.settings["max_connections"]) - sum(int(server.settings.get(name, 0)) for name in kept)


def judged_room(most: int, others: int, nodes: Counter[str], pool: int) -> Answer:
    """Whether the pools fit. A node is one address; it has at least as many workers as fill its connections."""
    workers = sum(-(-count // pool) for count in nodes.values())
    fit = (most - others) // pool
    running = f"{counted(nodes.total(), 'connection')} of {counted(len(nodes), 'node')} of Dashtam"
    seen = (
        f"{most} connections to be had, {others} held by others, beside {running}; "
        f"at DATABASE_POOL_SIZE={pool} there is room for {counted(max(fit, 0), 'worker')}"
    )
    remedy = "Lower DATABASE_POOL_SIZE, raise max_connections, or put PgBouncer in front."
    if fit < 1:
        return failure(seen, remedy)
    if fit < workers:
        return warning(f"{seen}, and at least {workers} run", remedy)
    return ok(seen)


async def _limits(local: Local) -> Answer:
    server, pool = await local.once(postgresql.server), local.settings.database_pool_size
    limits = {
        f"ROLE {server.role}": server.role_limit,
        f"DATABASE {server.database}": server.database_limit,
    }
    set_ = {whose: limit for whose, limit in limits.items() if limit >= 0}
    for whose, limit in set_.items():
        if limit < pool:
            return failure(
                f"{whose} has CONNECTION LIMIT {limit}, and one worker may want DATABASE_POOL_SIZE={pool}",
                f"ALTER {whose} CONNECTION LIMIT -1, or lower DATABASE_POOL_SIZE.",
            )
    return ok(
        "; ".join(f"{whose}: {limit}" for whose, limit in set_.items())
        or "neither role nor database has a limit"
    )


async def _transactions(local: Local) -> Answer:
    server = await local.once(postgresql.server)
    old = [peer for peer in server.peers if peer.here and _age(local, peer) > _patience(peer)]
    if not old:
        return ok("no transaction of another connection is idle for a minute, or at work for an hour")
    oldest = max(old, key=lambda peer: _age(local, peer))
    return warning(
        f"{oldest.words} has been in a transaction for {_age(local, oldest) / timedelta(minutes=1):.0f} min, "
        f"now {oldest.state}: it holds locks, and dead rows stay",
        f"End it: SELECT pg_terminate_backend({oldest.pid}); and set idle_in_transaction_session_timeout for "
        "its role.",
    )


def _age(local: Local, peer: Peer) -> timedelta:
    """How long its transaction has lasted."""
    return local.clock.now() - peer.began if peer.began else timedelta()


def _patience(peer: Peer) -> timedelta:
    """A backup may be at work for long; who does nothing has no reason to be in a transaction."""
    return FORGOTTEN if (peer.state or "").startswith("idle in transaction") else LONG_WORK


async def _waiting(local: Local) -> Answer:
    server = await local.once(postgresql.server)
    names = {str(peer.pid): peer.words for peer in server.peers} | {_NOBODY: "a prepared transaction"}
    for peer in server.peers:
        if peer.here and peer.blockers and (peer.unchanged or timedelta()) > LONG_WAIT:
            by = peer.blockers[0]
            end = f"SELECT pg_terminate_backend({by})" if by != _NOBODY else "pg_prepared_xacts names it"
            return warning(
                f"{peer.words} waits for a lock of {names.get(by, f'process {by}')}",
                f"If it does not end by itself: {end}",
            )
    return ok("nobody waits for another's lock")


async def _pooler(local: Local) -> Answer:
    database = local.service.database
    try:
        async with database.connect() as asking, database.writer.connect() as holding:
            first = await asking.scalar(_PID)
            held = await holding.scalar(_PID)  # in a transaction, which keeps it
            second = await asking.scalar(_PID)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) not in reaching.LOST_STATEMENTS:
            raise
        return failure(*reaching.LOST_STATEMENT)
    if first == second != held:
        return ok("each of our connections is one of the server's own")
    return ok(
        "a pooler lends the server's connections for a transaction each, and prepared statements stand it"
    )


async def _turn(local: Local) -> Answer:
    async with looking(local.settings.database) as connection:
        await connection.exec_driver_sql(f"PRAGMA busy_timeout={_TURN_MS}")
        try:
            await connection.execute(text("BEGIN IMMEDIATE"))
        except OperationalError as error:
            if "locked" not in str(error.orig):
                return failure(
                    f"the file cannot be written to: {error.orig}",
                    "Let the service's user own it and its folder, on a file system that is mounted for writing.",
                )
            return failure(
                f"another program has held the file's write lock for over {_TURN_MS / 1000:g} s",
                f"Find it with: fuser -v {sqlite.path(local)}; and end its transaction.",
            )
        await connection.execute(text("ROLLBACK"))
    return ok("the write lock is free")


_NEEDS = ("database.answers",)
CHECKS = (
    Check("connections.turn", "A writer gets its turn", _turn, _NEEDS, sqlite.here),
    Check("connections.pooler", "A pooler, if any, keeps what it must", _pooler, _NEEDS, postgresql.here),
    Check("connections.room", "The server has connections for every worker", _room, _NEEDS, postgresql.here),
    Check("connections.limits", "Role and database may have as many", _limits, _NEEDS, postgresql.here),
    Check("connections.transactions", "No transaction is forgotten", _transactions, _NEEDS, postgresql.here),
    Check("connections.waiting", "Nobody waits for a lock for long", _waiting, _NEEDS, postgresql.here),
)
