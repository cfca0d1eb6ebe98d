"""What a PostgreSQL server tells about itself, us and our tables: read once, in three statements.

Lists come as text, since asyncpg asks the server about the type of an array before it reads one.

Everything is open to an ordinary role. What belongs to other roles' connections is hidden from it but for their
names, and is None here.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from dashtam.core.db import SESSION_SETTINGS
from dashtam.core.tables import Table
from dashtam.doctor.local import DOCTOR, Local
from dashtam.migrations.connection import LOOKING

NODE = "dashtam/"
_SETTINGS = (
    *SESSION_SETTINGS,
    "autovacuum",
    "data_checksums",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "fsync",
    "full_page_writes",
    "max_connections",
    "reserved_connections",
    "server_version",
    "server_version_num",
    "session_replication_role",
    "superuser_reserved_connections",
    "synchronous_commit",
    "track_counts",
)

_SERVER = """
SELECT {collation}, clock_timestamp() AS now,
  CASE WHEN pg_is_in_recovery() THEN 'standby' ELSE 'primary' END AS duty,
  host(inet_server_addr()) AS address, (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS encrypted,
  d.datname AS database, pg_encoding_to_char(d.encoding) AS encoding, d.datconnlimit AS database_limit,
  o.datname AS oldest, age(o.datfrozenxid) AS age, current_setting('neon.timeline_id', true) AS neon,
  CAST(r.rolname AS text) AS role, r.rolconnlimit AS role_limit,
  concat_ws(chr(10), CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
    CASE WHEN r.rolcreatedb THEN 'CREATEDB' END, CASE WHEN r.rolreplication THEN 'REPLICATION' END,
    CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END) AS powers,
  (SELECT string_agg(lower(name) || '=' || setting, chr(10)) FROM pg_settings
   WHERE lower(name) = ANY(:settings)) AS settings
FROM pg_database d, pg_roles r, (SELECT * FROM pg_database ORDER BY age(datfrozenxid) DESC LIMIT 1) o
WHERE d.datname = current_database() AND r.rolname = current_user
"""
_COLLATION = (
    "d.datcollversion AS collation_noted, pg_database_collation_actual_version(d.oid) AS collation_found"
)
_NO_COLLATION = "CAST(NULL AS text) AS collation_noted, CAST(NULL AS text) AS collation_found"
_NOTES_COLLATION = (15,)

_PEERS = text("""
SELECT pid, datname = current_database() AS here, CAST(usename AS text) AS role, application_name AS name,
  coalesce(host(client_addr), 'local') AS address, state, xact_start AS began,
  clock_timestamp() - state_change AS unchanged,
  CASE WHEN wait_event_type = 'Lock' THEN array_to_string(pg_blocking_pids(pid), chr(10)) ELSE '' END AS blockers
FROM pg_stat_activity
WHERE datid IS NOT NULL AND application_name <> ALL(:own)
  AND coalesce(backend_type, 'client backend') = 'client backend'
""")

_TABLES = text("""
SELECT wanted.name, c.relpersistence = 'u' AS unlogged,
  EXISTS (SELECT FROM pg_options_to_table(c.reloptions)
    WHERE option_name = 'autovacuum_enabled' AND NOT CAST(option_value AS boolean)) AS unkept,
  array_to_string(ARRAY(SELECT p FROM unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) p
        WHERE NOT has_table_privilege(c.oid, p)), chr(10)) AS denied,
  array_to_string(ARRAY(SELECT CAST(i.indexrelid::regclass AS text) FROM pg_index i
        WHERE i.indrelid = c.oid AND NOT (i.indisvalid AND i.indisready)), chr(10)) AS unfit_indexes,
  array_to_string(ARRAY(SELECT CAST(k.conname AS text) FROM pg_constraint k
        WHERE k.conrelid = c.oid AND NOT k.convalidated), chr(10)) AS unproven,
  array_to_string(ARRAY(SELECT DISTINCT CAST(coalesce(k.conname, t.tgname) AS text) FROM pg_trigger t
        LEFT JOIN pg_constraint k ON k.oid = t.tgconstraint
        WHERE t.tgrelid = c.oid AND t.tgenabled IN ('D', 'R')), chr(10)) AS switched_off
FROM unnest(CAST(:names AS text[])) wanted(name) JOIN pg_class c ON c.oid = to_regclass(quote_ident(wanted.name))
ORDER BY wanted.name
""")


@dataclass(frozen=True, slots=True)
class Peer:
    """Another connection to the server. `here`: to our database. `unchanged`: how long it has been as it is."""

    pid: int
    here: bool
    role: str
    name: str
    address: str
    state: str | None
    began: datetime | None
    unchanged: timedelta | None
    blockers: list[str]

    @property
    def version(self) -> str:
        """The Dashtam of a node. PgBouncer may have added the node's address, after a blank."""
        return self.name.removeprefix(NODE).partition(" ")[0]

    @property
    def words(self) -> str:
        """Who it is, for people."""
        return f"process {self.pid} ({self.name or 'unnamed'}, role {self.role})"


@dataclass(frozen=True, slots=True)
class Kept:
    """One of our tables, as the server keeps it."""

    name: str
    unlogged: bool
    unkept: bool
    denied: list[str]
    unfit_indexes: list[str]
    unproven: list[str]
    switched_off: list[str]


@dataclass(frozen=True, slots=True)
class Server:
    """The server as our connection sees it. `now` is its clock, at which ours read `asked` to `answered`.

    `duty` is "primary" or "standby".
    """

    now: datetime
    asked: datetime
    answered: datetime
    duty: str
    address: str | None
    encrypted: bool | None
    database: str
    encoding: str
    collation_noted: str | None
    """The version of the rules of order that the indexes on text were made by; PostgreSQL 15 and later."""
    collation_found: str | None
    database_limit: int
    oldest: str
    """The database, of all of the server's, whose transactions the server can forget the fewest of."""
    age: int
    neon: str | None
    """Set where the server is one of Neon's, which keeps what is committed elsewhere than on its own disk."""
    role: str
    role_limit: int
    powers: list[str]
    settings: dict[str, str]
    peers: tuple[Peer, ...] = field(repr=False)
    tables: tuple[Kept, ...] = field(repr=False)

    @property
    def version(self) -> int:
        """The major version."""
        return int(self.settings["server_version_num"]) // 10_000

    @property
    def ours(self) -> tuple[Peer, ...]:
        """The connections to our database that say they are Dashtam's."""
        return tuple(peer for peer in self.peers if peer.here and peer.name.startswith(NODE))


def counted(count: int, noun: str) -> str:
    """So many of them, in words."""
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


def here(local: Local) -> bool:
    """Whether the deployment is on PostgreSQL."""
    return local.parts is not None and not local.parts.database.is_sqlite


async def server(local: Local) -> Server:
    """The facts. A check asks for them by `local.once(server)`."""
    async with local.service.database.connect() as connection:
        await connection.scalar(text("SELECT 1"))  # the time it takes to connect is not the statement's
        asked = local.clock.now()
        row = await _one(connection)
        answered = local.clock.now()
        peers = (await connection.execute(_PEERS, {"own": [DOCTOR, LOOKING]})).mappings()
        tables = (await connection.execute(_TABLES, {"names": list(Table.metadata.tables)})).mappings()
        return Server(
            **_lists(row, "powers") | {"settings": _settings(row["settings"])},
            asked=asked,
            answered=answered,
            peers=tuple(Peer(**_lists(peer, "blockers")) for peer in peers),
            tables=tuple(
                Kept(**_lists(table, "denied", "unfit_indexes", "unproven", "switched_off"))
                for table in tables
            ),
        )


async def _one(connection: AsyncConnection) -> RowMapping:
    notes = (connection.dialect.server_version_info or ()) >= _NOTES_COLLATION
    statement = _SERVER.format(collation=_COLLATION if notes else _NO_COLLATION)
    return (await connection.execute(text(statement), {"settings": list(_SETTINGS)})).mappings().one()


def _lists(row: RowMapping, *names: str) -> dict[str, Any]:
    return {**row, **{name: row[name].splitlines() for name in names}}


def _settings(lines: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in lines.splitlines())
    return {name: value for name, _, value in pairs}
