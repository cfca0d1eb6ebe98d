"""What a database is to those who use it: asked through the driver of its URL, sync or async."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import make_url

from dbparity.config import BadConfigError, metadata_of
from dbparity.fingerprint import postgresql, sqlite
from dbparity.provision.fingerprint import LENGTH, fingerprint
from dbparity.schema import live
from dbparity.targets import identity_of

if TYPE_CHECKING:
    from sqlalchemy import Connection, MetaData
    from sqlalchemy.engine import URL

    from dbparity.config import Config
    from dbparity.fingerprint.file import Facts

READERS = {"postgresql": postgresql.facts, "sqlite": sqlite.facts}
VERSION_TABLE = "alembic_version"


def database_facts(
    connection: Connection, url: URL | str, config: Config, metadata: MetaData | None
) -> Facts:
    """All facts about one database. `url` is as the application writes it; its password stays in it."""
    url, backend = make_url(url), connection.dialect.name
    if backend not in READERS:
        msg = f"A fingerprint is taken of PostgreSQL and SQLite, not of {backend}."
        raise live.UnsupportedDatabaseError(msg)
    return {
        "place": str(identity_of(url)),
        "driver": url.get_driver_name(),
        "url_options": sorted(url.query),
        **_libpq(url.get_driver_name()),
        **READERS[backend](connection),
        "schema": _schema(connection, config, metadata),
    }


def metadata_or_none(config: Config) -> MetaData | None:
    """The models, where the configuration leads to any."""
    try:
        return metadata_of(config)
    except BadConfigError:
        if config.metadata:
            raise
        return None


def _schema(connection: Connection, config: Config, metadata: MetaData | None) -> Facts:
    """Hashes of what would be built and of what is there, and the revisions that the database claims."""
    found: Facts = {"live": _live(connection), "revisions": _revisions(connection)}
    if metadata is not None:
        migrations = str(config.root / config.migrations) if config.migrations else ""
        found["declared"] = fingerprint(metadata, migrations, config.schema, dialect=connection.dialect.name)
    return found


def _live(connection: Connection) -> str:
    """A hash of the tables, columns, indexes and constraints that the database really has."""
    tables = live.read(connection, ())
    digest = hashlib.sha256()
    for name in sorted(tables):
        if name != VERSION_TABLE:
            digest.update(f"{_spelled(vars(tables[name]))}\0".encode())
    return digest.hexdigest()[:LENGTH]


def _spelled(value: Any) -> str:  # noqa: ANN401 - whatever a shape is made of
    """The same text for the same shape, whatever order sets and catalogues have."""
    if isinstance(value, dict):
        return "{" + ",".join(sorted(f"{key}:{_spelled(each)}" for key, each in value.items())) + "}"
    if isinstance(value, set | frozenset | list):
        return "[" + ",".join(sorted(_spelled(each) for each in value)) + "]"
    if isinstance(value, tuple):
        return "(" + ",".join(_spelled(each) for each in value) + ")"
    return _spelled(vars(value)) if hasattr(value, "__dataclass_fields__") else repr(value)


def _revisions(connection: Connection) -> list[str]:
    return sorted(live.revisions(connection, VERSION_TABLE) or ())


def _libpq(driver: str) -> Facts:
    """The version of PostgreSQL's own client library, which a package may bring along."""
    pq = getattr(sys.modules.get(driver), "pq", None)
    return {"libpq": pq.version()} if pq is not None else {}
