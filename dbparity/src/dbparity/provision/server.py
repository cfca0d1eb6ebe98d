"""The database itself: reached, found missing, made."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from dbparity.provision.held import HeldConnection, UnreachableError, first_line
from dbparity.provision.lock import schema_lock
from dbparity.provision.patience import Deadline, Patience, Say, silent
from dbparity.provision.truth import Reach, reach
from dbparity.sqlstate import sqlstate
from dbparity.targets import identity_of

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.engine import URL

    from dbparity.provision.party import Party

MAINTENANCE = "postgres"
_EXISTS = sa.text("SELECT count(*) FROM pg_database WHERE datname = :name")
TEMPLATE_IN_USE = "55006"


class MissingDatabaseError(UnreachableError):
    """The server answers, and has no such database."""


def reached(url: URL, party: Party) -> Reach:
    """A way into the database; UnreachableError says in one sentence why there is none."""
    if url.get_backend_name() == "sqlite":
        return _file(url)
    try:
        return reach(url, party.application("looks"))
    except UnreachableError as error:
        if _is_missing(url, party):
            msg = f"There is no database {url.database} on {url.host or 'localhost'}:{url.port or 5432}."
            raise MissingDatabaseError(msg) from error
        raise


def _file(url: URL) -> Reach:
    path = Path(identity_of(url).database)
    if not path.parent.is_dir():
        msg = f"There is no folder {path.parent} for the database {path.name}."
        raise UnreachableError(msg)
    if not path.exists():
        msg = f"There is no file {path}."
        raise MissingDatabaseError(msg)
    return reach(url, "")


def _is_missing(url: URL, party: Party) -> bool:
    try:
        maintenance = HeldConnection(url.set(database=MAINTENANCE), party.application("looks"))
    except UnreachableError:
        return False
    try:
        return not maintenance.call(lambda connection: connection.scalar(_EXISTS, {"name": url.database}))
    finally:
        maintenance.close()


def make_database(url: URL, party: Party, patience: Patience | None = None, say: Say = silent) -> None:
    """Make the database where it is missing; of several who try, one does it and the others find it there."""
    if url.get_backend_name() == "sqlite":
        Path(identity_of(url).database).touch()
        return
    patience = patience or Patience()
    place = url.set(database=MAINTENANCE)
    key = zlib.crc32((url.database or "").encode()) >> 1
    with schema_lock(place, party=party, key=key, wait_seconds=patience.lock, on_wait=say):
        maintenance = HeldConnection(place, party.application("makes"))
        try:
            _create(maintenance, str(url.database), Deadline(patience.table, say))
        finally:
            maintenance.close()


def _create(maintenance: HeldConnection, name: str, deadline: Deadline) -> None:
    def make(connection: Connection) -> None:
        if not connection.scalar(_EXISTS, {"name": name}):
            quoted = connection.dialect.identifier_preparer.quote_identifier(name)
            connection.exec_driver_sql(f"CREATE DATABASE {quoted}")

    while True:
        try:
            maintenance.call(make)
        except DBAPIError as error:  # template1 is connected to, which is seldom so for long
            if sqlstate(error) != TEMPLATE_IN_USE or deadline.over:
                msg = f"The database {name} is missing, and was not to be made: {first_line(error)}"
                raise UnreachableError(msg) from error
            deadline.tell(f"making the database {name}: {first_line(error)}")
            deadline.pause()
        else:
            return
