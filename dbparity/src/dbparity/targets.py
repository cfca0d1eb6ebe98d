"""Which database is meant: the identity behind a URL or behind the arguments of a driver's `connect`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import URL, make_url

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy.engine.interfaces import Dialect

POSTGRES_PORT = 5432
MEMORY = ":memory:"
_LOCAL = frozenset({"", "localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Identity:
    """A database, whatever driver, user or options it is reached with."""

    backend: str
    host: str
    port: int
    database: str

    @property
    def is_memory(self) -> bool:
        """Whether each connection has a database of its own, which ends with it."""
        return self.backend == "sqlite" and self.database == MEMORY

    def __str__(self) -> str:
        """As people write it, without user or password."""
        return self.database if self.backend == "sqlite" else f"{self.host}:{self.port}/{self.database}"


def identity_of(url: URL | str) -> Identity:
    """The database that a SQLAlchemy URL means."""
    url = make_url(url)
    backend = url.get_backend_name()
    if backend == "sqlite":
        return Identity(backend, "", 0, _file(url.database))
    host = url.host or _text(url.query.get("host"))
    return Identity(backend, _host(host), url.port or POSTGRES_PORT, url.database or url.username or "")


def identity_of_connect(dialect: Dialect, arguments: Sequence[Any], options: Mapping[str, Any]) -> Identity:
    """The database that a driver is about to be asked for, from the arguments of its `connect`."""
    if dialect.name == "sqlite":
        return Identity(
            dialect.name, "", 0, _file(str(arguments[0]) if arguments else options.get("database"))
        )
    name = options.get("database") or options.get("dbname") or options.get("user") or ""
    port = options.get("port") or POSTGRES_PORT
    return Identity(dialect.name, _host(_text(options.get("host"))), int(port), str(name))


def _file(database: str | None) -> str:
    path = (database or "").removeprefix("file:").partition("?")[0]
    if path in {"", MEMORY} or "mode=memory" in str(database):
        return MEMORY
    return str(Path(path).resolve())


def _host(host: str) -> str:
    return "localhost" if host in _LOCAL else host


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
