"""Where the user's env.py connects to: it is led to the database that is built, and to no other.

Many an env.py takes its URL from the application's settings, whatever Alembic is told. Its engines are seen as
they connect: the database under test is replaced by the one that is built (a worker's, a template), any other
one is refused before a statement reaches it.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL

from dbparity.isolation.discard import discard
from dbparity.observer import own_work
from dbparity.provision.errors import ProvisionError
from dbparity.targets import Identity, identity_of, identity_of_connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine.interfaces import DBAPIConnection, Dialect
    from sqlalchemy.pool import ConnectionPoolEntry


class WrongDatabaseError(ProvisionError):
    """env.py asked for a database that nobody wants to be changed."""


@dataclass(frozen=True)
class Lead:
    """Where connections go, and how they introduce themselves there."""

    url: URL
    instead_of: frozenset[Identity]
    """What means the same: the database that the project configured."""
    application: str
    table_seconds: float

    @property
    def settings(self) -> str:
        """SQL for PostgreSQL that keeps a connection from waiting for ever, and lets others see whose it is."""
        name = self.application.replace("'", "_")
        milliseconds = max(1, round(self.table_seconds * 1000))
        return (
            f"SELECT set_config('application_name', '{name}', false),"
            f" set_config('lock_timeout', '{milliseconds}', false)"
        )

    def introduce(self, connection: Connection) -> None:
        """Give a connection of our own these settings; it is left without a transaction."""
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(self.settings)
            connection.commit()
        else:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {round(self.table_seconds * 1000)}")


@dataclass(frozen=True)
class _Led:
    """A lead in force, and the pooled connections that it has led."""

    lead: Lead
    records: list[ConnectionPoolEntry] = field(default_factory=list)

    def close(self) -> None:
        """Close what is pooled: env.py may have used an engine of the application, which would keep it."""
        for record in self.records:
            if not record.in_use:
                discard(record)


_led: ContextVar[_Led | None] = ContextVar("dbparity_led", default=None)


@contextmanager
def leading(lead: Lead) -> Iterator[None]:
    """Lead what connects in this block, in this thread and the tasks it starts."""
    led = _Led(lead)
    token = _led.set(led)
    event.listen(Engine, "do_connect", _connect)
    try:
        with own_work():
            yield
    finally:
        event.remove(Engine, "do_connect", _connect)
        _led.reset(token)
        led.close()


def _connect(
    dialect: Dialect,
    record: ConnectionPoolEntry | None,
    arguments: list[Any],
    options: dict[str, Any],
) -> DBAPIConnection | None:
    led = _led.get()
    if led is None:
        return None
    lead = led.lead
    if record is not None:
        led.records.append(record)
    _aim(lead, dialect, arguments, options)
    if dialect.name == "sqlite":
        options["timeout"] = lead.table_seconds
    connection = dialect.connect(*arguments, **options)
    if dialect.name == "postgresql":
        cursor = connection.cursor()
        cursor.execute(lead.settings)
        cursor.close()
        connection.commit()
    return connection


def _aim(lead: Lead, dialect: Dialect, arguments: list[Any], options: dict[str, Any]) -> None:
    asked, wanted = identity_of_connect(dialect, arguments, options), identity_of(lead.url)
    if asked == wanted:
        return
    if asked not in lead.instead_of:
        msg = (
            f"env.py asks for the database {asked}, and {wanted} is to be built. Nothing was changed in either."
            " Let env.py take its URL from config.get_main_option('sqlalchemy.url'), or from the variable that"
            ' database_url = "env:NAME" in [tool.dbparity] names: both lead to the right one.'
        )
        raise WrongDatabaseError(msg)
    named, said = dialect.create_connect_args(lead.url)
    if named:
        arguments[: len(named)] = named
    options.update(said)
