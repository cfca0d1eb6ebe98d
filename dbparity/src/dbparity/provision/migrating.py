"""Alembic's `upgrade head` in this process, with the user's own alembic.ini and env.py.

It runs in a thread of its own, so that an env.py that calls `asyncio.run` works below a running loop. An env.py
that asks for `config.attributes["connection"]` is handed one; any other opens its own, and is led to the right
database (`dbparity.provision.leading`).
"""

from __future__ import annotations

import os
import traceback
from contextlib import ExitStack, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from dbparity.provision.environment import imports_kept, listening, logging_kept, tail, variable_set
from dbparity.provision.errors import ProvisionError
from dbparity.provision.guarded import is_lock_timeout
from dbparity.provision.held import first_line, on_own_connection
from dbparity.provision.leading import Lead, WrongDatabaseError, leading

if TYPE_CHECKING:
    from dbparity.schema.graph import Graph

ASYNC_WORDS = ("create_async_engine", "async_engine_from_config", "AsyncEngine")
SYNC_DRIVERS = {"postgresql": ("psycopg", "psycopg2", "pg8000"), "sqlite": ("",)}
ASYNC_DRIVERS = {"postgresql": ("asyncpg", "psycopg"), "sqlite": ("aiosqlite",)}


class MigrationFailedError(ProvisionError):
    """The migrations did not run to their end; the message says where, and what they said before."""


class _ConnectionAsked(BaseException):
    """env.py wants to be handed a connection: it is begun again with one, and no `except` of its own is to stop it."""


class _Attributes(dict[str, Any]):
    """`config.attributes` that notices when env.py asks for a connection."""

    def _notice(self, key: object) -> None:
        if key == "connection" and not dict.__contains__(self, key):
            raise _ConnectionAsked

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - dict's own
        self._notice(key)
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 - dict's own
        self._notice(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self._notice(key)
        return super().__contains__(key)


def upgrade(graph: Graph, lead: Lead, variable: str) -> None:
    """Run the migrations up to head where `lead` leads; `variable` is where the application reads its URL."""
    with ExitStack() as kept:
        kept.enter_context(imports_kept())
        kept.enter_context(logging_kept())
        said = kept.enter_context(listening())
        kept.enter_context(variable_set(variable, _as_application_spells(lead.url, variable)))
        kept.enter_context(leading(lead))
        try:
            _upgrade(graph, lead)
        except (Exception, SystemExit) as error:  # env.py is the user's code: anything can come
            if is_lock_timeout(error):
                raise
            raise MigrationFailedError(
                _without_password(_told(error, graph, said.getvalue()), lead.url)
            ) from error


def _upgrade(graph: Graph, lead: Lead) -> None:
    config = _config(graph, lead.url)
    try:
        command.upgrade(config, "head")
    except _ConnectionAsked:
        on_own_connection(lead.url, lambda connection: _on(connection, config, lead))


def _on(connection: Connection, config: Config, lead: Lead) -> None:
    """Hand over a connection without a transaction, so that env.py's own is committed as it wants it."""
    lead.introduce(connection)
    # Some projects are used to be handed an engine (pytest-alembic does): they call connect() first.
    vars(connection)["connect"] = lambda: nullcontext(connection)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    if connection.in_transaction():  # begun before `configure()`: Alembic leaves it to whoever handed it in
        connection.commit()


def _config(graph: Graph, url: URL) -> Config:
    if graph.ini is None:
        config = Config()
    elif graph.ini.suffix == ".toml":
        config = Config(toml_file=graph.ini)
    else:
        config = Config(str(graph.ini))
    config.attributes = _Attributes()
    spelled = _spelled(url, graph.environment).render_as_string(hide_password=False)
    for name, value in (("script_location", str(graph.location)), ("sqlalchemy.url", spelled)):
        config.set_main_option(name, value.replace("%", "%%"))
    return config


def _spelled(url: URL, environment: Path) -> URL:
    """The URL with a driver of the kind that this env.py makes engines for."""
    try:
        wants_async = any(word in environment.read_text("utf-8") for word in ASYNC_WORDS)
    except OSError:
        return url
    backend = url.get_backend_name()
    drivers = (ASYNC_DRIVERS if wants_async else SYNC_DRIVERS).get(backend, ())
    if url.get_dialect().is_async == wants_async or url.get_driver_name() in drivers:
        return url
    driver = next((each for each in drivers if not each or find_spec(each)), None)
    return url if driver is None else url.set(drivername=f"{backend}+{driver}" if driver else backend)


def _as_application_spells(url: URL, variable: str) -> str:
    """The URL for an environment variable, with the driver (or none) that the variable has named so far."""
    try:
        before = make_url(os.environ.get(variable, ""))
    except ArgumentError:
        before = url
    same = before.get_backend_name() == url.get_backend_name()
    return (url.set(drivername=before.drivername) if same else url).render_as_string(hide_password=False)


def _told(error: BaseException, graph: Graph, said: str) -> str:
    """What went wrong, where in the user's migrations, and what was printed and logged until then."""
    if isinstance(error, WrongDatabaseError):
        return str(error)
    folders = tuple(str(each.resolve()) for each in (graph.location, *graph.folders))
    frames = traceback.extract_tb(error.__traceback__)
    own = next(
        (each for each in reversed(frames) if str(Path(each.filename).resolve()).startswith(folders)), None
    )
    where = f" at {own.filename}:{own.lineno}" if own and not isinstance(error, CommandError) else ""
    kind = "" if isinstance(error, (CommandError, SystemExit)) else f"{type(error).__name__}: "
    lines = [f"The migrations failed{where}: {kind}{first_line(error)}"]
    if isinstance(error, DBAPIError) and error.statement:
        lines.append(f"  in {' '.join(error.statement.split())[:300]}")
    if said.strip():
        lines += ["  They had said:", tail(said)]
    return "\n".join(lines)


def _without_password(text: str, url: URL) -> str:
    for spelled in {url.password, quote_plus(url.password or "")}:
        if spelled:
            text = text.replace(f":{spelled}@", ":***@")
    return text
