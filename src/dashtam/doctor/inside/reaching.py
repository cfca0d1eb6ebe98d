"""Whether the database can be reached, and if not, why in plain words and what to do about it."""

import asyncio
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from dashtam.doctor.check import Answer, failure, ok
from dashtam.doctor.inside import postgresql, schema, sqlite
from dashtam.doctor.local import Local

PATIENCE_SECONDS = 1.8
"""Less than a check's deadline, so that the answer can still name the server."""

LOST_STATEMENTS = ("26000", "42P05")
LOST_STATEMENT = (
    "a pooler lends the server's connections for a transaction each, and loses our prepared statements",
    "PgBouncer 1.21 or later: max_prepared_statements = 200; before that: pool_mode = session.",
)
_STATES = {
    **dict.fromkeys(LOST_STATEMENTS, LOST_STATEMENT),
    "28P01": (
        "the server refuses the password",
        "Give DATABASE_URL the role's password, or change it there.",
    ),
    "28000": (
        "the server does not let this role in from here",
        "Make the role (CREATE ROLE … LOGIN), and let it in from this address in pg_hba.conf.",
    ),
    "3D000": (
        "the server has no database of that name",
        "Make it with CREATE DATABASE, owned by this role, or correct DATABASE_URL.",
    ),
    "42501": ("this role may not connect to this database", "GRANT CONNECT ON DATABASE … to the role."),
    "53300": (
        "no connection is left",
        "Lower DATABASE_POOL_SIZE or the number of workers, or raise the limit that is met.",
    ),
    "57P03": (
        "the server is starting up or shutting down",
        "Wait a moment and ask again; if it stays so, read the server's log.",
    ),
    "08P01": (
        "a pooler on the way does not let us through to the server",
        "Read the pooler's log: as a rule it knows no such database, or cannot log in to the server itself.",
    ),
}
_PARAMETERS = (
    "what answers refuses our start-up parameters, as PgBouncer does unless told otherwise",
    "Name them in PgBouncer's ignore_startup_parameters, and set them with ALTER ROLE … SET.",
)
_SQLITE = {
    "unable to open database file": ("the file cannot be opened", "Give the service's account its folder."),
    "file is not a database": (
        "the file is not a SQLite database",
        "Correct DATABASE_URL, or restore a backup in its place.",
    ),
    "malformed": ("the file is damaged", "Stop the service and restore a backup in its place."),
    "disk i/o error": ("the file cannot be read", "Look at the disk and the file system it lies on."),
    "locked": ("another program holds it", "End the program that keeps a lock on the file."),
}
_NO_TLS = (
    "TLS with the server fails: its certificate cannot be checked, or it offers none",
    "Look at its certificate, at ssl in DATABASE_URL, and at PGSSLROOTCERT, which names its authority's file.",
)
_UNKNOWN = ("the database cannot be used", "Read the database server's log; see that DATABASE_URL is right.")


def place(local: Local) -> str:
    """Where the database is, without the password."""
    url = make_url(local.settings.database)
    if url.get_backend_name() == "sqlite":
        return url.database or ""
    return f"{_address(url)}/{url.database or url.username or ''} as {url.username or 'nobody'}"


def _address(url: URL) -> str:
    host = url.host or url.query.get("host") or "localhost"
    return f"{f'[{host}]' if ':' in host else host}:{url.port or 5432}"


async def answers(local: Local) -> Answer:
    """Whether it can be reached, logged in to and asked."""
    if sqlite.here(local) and not await asyncio.to_thread(Path(sqlite.path(local)).exists):
        return failure(f"there is no file {sqlite.path(local)} yet", "Make it: dashtam migrate up")
    local.begin(schema.status)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return ok(f"{place(local)}: {await _seen(local)}")
    except Exception as error:  # noqa: BLE001  whatever it is, the database cannot be used
        why, remedy = _explained(error)
        return failure(f"{place(local)}: {why}", remedy)


async def _seen(local: Local) -> str:
    if postgresql.here(local):
        server = await local.once(postgresql.server)
        return f"answers a query in {(server.answered - server.asked).total_seconds() * 1000:.0f} ms"
    found = await local.once(sqlite.file)
    return f"{found.size / 1e6:.1f} MB in {found.journal} mode"


def _explained(error: BaseException) -> tuple[str, str]:
    causes = list(_chain(error))
    for cause in causes:
        if "unsupported startup parameter" in str(cause):
            return _PARAMETERS
        if known := _STATES.get(str(getattr(cause, "sqlstate", None))):
            return known
    said = " ".join(str(cause) for cause in causes if type(cause).__module__.startswith("sqlite3")).lower()
    for sign, known in _SQLITE.items():
        if sign in said:
            return known
    for cause in causes:
        if known := _network(cause):
            return known
    return f"{_UNKNOWN[0]} ({type(causes[-1]).__name__})", _UNKNOWN[1]


def _network(error: BaseException) -> tuple[str, str] | None:
    if _is_tls(error):
        return _NO_TLS
    if isinstance(error, TimeoutError | PoolTimeoutError):
        return (
            f"no answer within {PATIENCE_SECONDS:g} s",
            "Look at the way there (name, port, firewall), and at what the server is busy with.",
        )
    if isinstance(error, OSError):
        return (
            f"no connection ({_system_words(error)})",
            "Start the server, or correct the host and port in DATABASE_URL.",
        )
    return None


def _is_tls(error: BaseException) -> bool:
    """Only in words asyncpg tells of a server without TLS, and of an authority without a file."""
    said = str(error)
    return (
        isinstance(error, ssl.SSLError)
        or (isinstance(error, ConnectionError) and "SSL" in said)
        or (type(error).__name__ == "ClientConfigurationError" and "root certificate" in said)
    )


def _system_words(error: OSError) -> str:
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or type(error).__name__
    return os.strerror(error.errno)  # `strerror` may be asyncio's own sentence


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = getattr(seen, "orig", None) or seen.__cause__ or seen.__context__
