"""Tables to plan against, and what a server really did when a statement was run: locks, files, scans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from dbparity.planning.locks import Lock

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

TABLES = (
    "CREATE TYPE mood AS ENUM ('sad', 'happy')",
    "CREATE DOMAIN age_of_man AS integer CHECK (VALUE >= 0)",
    "CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE TABLE orgs (id integer PRIMARY KEY, title text)",
    """CREATE TABLE users (id integer CONSTRAINT pk_users PRIMARY KEY, name varchar(30), age integer, note text,
       code varchar(10) NOT NULL DEFAULT 'none', joined timestamp, price numeric(10,2), feeling mood, old age_of_man,
       org integer CONSTRAINT fk_org REFERENCES orgs, address cidr, flags varbit(8),
       CONSTRAINT ck_age CHECK (age > 0), CONSTRAINT uq_code UNIQUE (code))""",
    "CREATE INDEX ix_name ON users (name)",
    """CREATE TABLE posts (id integer PRIMARY KEY,
       author integer NOT NULL CONSTRAINT fk_author REFERENCES users, body text)""",
    "CREATE TABLE lonely (id integer NOT NULL, word text)",
    "CREATE UNIQUE INDEX ux_lonely ON lonely (id)",
    "CREATE TRIGGER touch BEFORE UPDATE ON lonely FOR EACH ROW EXECUTE FUNCTION stamp()",
    "CREATE TABLE loose (id integer, author integer, word text)",
    "CREATE TABLE heir (id integer, author integer, word text)",
    "CREATE TABLE kinds (code varchar(10) PRIMARY KEY)",
    "CREATE TABLE things (id integer, kind varchar(10) CONSTRAINT fk_kind REFERENCES kinds)",
    "CREATE SCHEMA other",
    "CREATE VIEW titles AS SELECT title FROM orgs",
    "CREATE MATERIALIZED VIEW words AS SELECT word FROM lonely",
    "CREATE UNIQUE INDEX ux_words ON words (word)",
    "CREATE SEQUENCE counter",
    "CREATE TABLE events (id integer, day date NOT NULL) PARTITION BY RANGE (day)",
    "CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')",
    "CREATE TABLE events_2 (id integer, day date NOT NULL)",
    "CREATE TABLE days (id integer, day date NOT NULL, n integer, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
    "CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')",
    "CREATE TABLE days_rest PARTITION OF days DEFAULT",
    "CREATE TABLE days_3 (id integer NOT NULL, day date NOT NULL, n integer)",
    "CREATE TABLE visits (id integer, day date, CONSTRAINT fk_day FOREIGN KEY (id, day) REFERENCES days)",
    "CREATE TABLE elder (id integer, CONSTRAINT ck_elder CHECK (id > 0))",
    "CREATE TABLE younger (more text) INHERITS (elder)",
    "CREATE TABLE marks (id integer, word varchar(10), short varchar(10), at timestamp)",
    "CREATE INDEX ix_short ON marks (lower(short))",
    "CREATE INDEX ix_marked ON marks (id) WHERE word = 'a'",
    "CREATE INDEX ix_at ON marks (at)",
    "CREATE VIEW marked AS SELECT id FROM marks",
    "CREATE VIEW marked_twice AS SELECT id FROM marked",
    "CREATE FUNCTION dice() RETURNS integer LANGUAGE plpgsql AS 'BEGIN RETURN 4; END'",
    "CREATE DOMAIN plain AS integer",
    'CREATE TABLE "Mixed" ("Id" integer, other integer)',
    "INSERT INTO days SELECT n, '2020-02-01', 1 FROM generate_series(1, 5) n",
    "INSERT INTO days SELECT n, '2030-02-01', 1 FROM generate_series(1, 5) n",
    "INSERT INTO visits VALUES (1, '2020-02-01')",
    "INSERT INTO elder VALUES (1)",
    "INSERT INTO younger VALUES (2, 'more')",
    "INSERT INTO marks SELECT n, 'a', 'a', '2020-01-01' FROM generate_series(1, 5) n",
    'INSERT INTO "Mixed" VALUES (1, 1)',
    "INSERT INTO orgs SELECT n, 'org' FROM generate_series(1, 3) n",
    """INSERT INTO users (id, name, age, note, code, joined, org)
       SELECT n, 'name', n, 'note', 'c' || n, '2020-01-01', 1 FROM generate_series(1, 4) n""",
    "INSERT INTO posts SELECT n, n, 'body' FROM generate_series(1, 3) n",
    "INSERT INTO lonely SELECT n, 'word ' || n FROM generate_series(1, 5) n",
    "INSERT INTO kinds VALUES ('a')",
    "INSERT INTO things VALUES (1, 'a')",
    "INSERT INTO loose SELECT n, 1, 'word' FROM generate_series(1, 5) n",
    "INSERT INTO events SELECT n, '2020-02-01' FROM generate_series(1, 5) n",
)

_MODES = {
    "AccessShareLock": Lock.ACCESS_SHARE,
    "RowShareLock": Lock.ROW_SHARE,
    "RowExclusiveLock": Lock.ROW_EXCLUSIVE,
    "ShareUpdateExclusiveLock": Lock.SHARE_UPDATE_EXCLUSIVE,
    "ShareLock": Lock.SHARE,
    "ShareRowExclusiveLock": Lock.SHARE_ROW_EXCLUSIVE,
    "ExclusiveLock": Lock.EXCLUSIVE,
    "AccessExclusiveLock": Lock.ACCESS_EXCLUSIVE,
}
_EMPTY = ("TRUNCATE", "ALTER SEQUENCE")
"""They begin a new file too, and have nothing to write into it."""
_FILES = sa.text("""
SELECT c.oid, c.relname AS name, pg_relation_filenode(c.oid) AS file, pg_stat_get_xact_numscans(c.oid) AS scans
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'm', 'v', 'S')
""")
_LOCKS = sa.text("""
SELECT l.relation AS oid, l.mode FROM pg_locks l WHERE l.locktype = 'relation' AND l.pid = :pid
AND l.granted = :granted
""")


def made(url: str) -> Engine:
    """An engine on a database with these tables, whose statistics are right."""
    engine = sa.create_engine(sa.make_url(url).set(drivername="postgresql+psycopg"))
    with engine.begin() as connection:
        for statement in (*TABLES, "ANALYZE"):
            connection.exec_driver_sql(statement)
    return engine


@dataclass(frozen=True)
class Seen:
    """What a server says of its tables at one moment."""

    names: dict[int, str]
    files: dict[str, int | None]
    scans: dict[str, int]


@dataclass(frozen=True)
class Did:
    """What a statement did to tables that were there before."""

    locks: dict[str, Lock]
    rewritten: set[str]
    scanned: set[str]


def seen(connection: Connection) -> Seen:
    rows = connection.execute(_FILES).all()
    return Seen(
        {row.oid: row.name for row in rows},
        {row.name: row.file for row in rows},
        {row.name: row.scans or 0 for row in rows},
    )


_USED = {"AccessShareLock", "RowExclusiveLock"}
"""What taking a number takes on its sequence, by the minor version of the server. It keeps nobody from it."""


def locks_of(
    connection: Connection, pid: int, names: dict[int, str], *, granted: bool = True
) -> dict[str, Lock]:
    """The strongest lock of a backend on each of these tables."""
    found: dict[str, Lock] = {}
    for oid, mode in connection.execute(_LOCKS, {"pid": pid, "granted": granted}):
        if oid in names and not (names[oid] == "counter" and mode in _USED):
            found[names[oid]] = max(_MODES[mode], found.get(names[oid], Lock.ACCESS_SHARE))
    return found


def done(connection: Connection, watcher: Connection, sql: str) -> Did:
    """Run a statement in the transaction that is open; what it did."""
    pid = int(connection.scalar(sa.text("SELECT pg_backend_pid()")) or 0)
    before = seen(connection)
    had = locks_of(watcher, pid, before.names)
    connection.exec_driver_sql(sql)
    locks = {
        name: mode for name, mode in locks_of(watcher, pid, before.names).items() if mode > had.get(name, 0)
    }
    after = seen(connection)
    numbers = {name: oid for oid, name in before.names.items()}
    now = after.names
    same = {name: now[oid] for name, oid in numbers.items() if oid in now}
    if sql.startswith(_EMPTY):
        return Did(locks, set(), set())
    return Did(
        locks,
        {name for name, later in same.items() if before.files[name] != after.files[later]},
        {name for name, later in same.items() if after.scans[later] > before.scans[name]},
    )
