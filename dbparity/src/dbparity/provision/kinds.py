"""Which kind of databases a URL means: on a PostgreSQL server, or in SQLite files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.engine import make_url

from dbparity.provision.errors import DatabaseRefusedError
from dbparity.provision.postgres import PostgresDatabases
from dbparity.provision.sqlite import SqliteDatabases

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from dbparity.provision.databases import Databases


def databases_of(base: URL | str) -> Databases:
    """The databases beside this one."""
    base = make_url(base)
    if base.get_backend_name() == "sqlite":
        return SqliteDatabases(base)
    if base.get_backend_name() == "postgresql":
        return PostgresDatabases(base)
    msg = f"dbparity makes databases on PostgreSQL and SQLite, not on {base.get_backend_name()}."
    raise DatabaseRefusedError(msg)
