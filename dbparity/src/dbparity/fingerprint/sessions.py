"""How the application makes its sessions, and the engine behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from dbparity.config import BadConfigError, resolve
from dbparity.provision.held import first_line
from dbparity.sessions.options import Options

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.pool import Pool

    from dbparity.config import Config
    from dbparity.fingerprint.file import Facts

_POOL = {
    "size": "size",
    "max_overflow": "_max_overflow",
    "timeout": "_timeout",
    "use_lifo": "_pool.use_lifo",
    "recycle": "_recycle",
    "pre_ping": "_pre_ping",
}
"""What a pool was made with, and where it keeps that: there is no public door to most of it."""


def application_session(config: Config) -> Session | AsyncSession | None:
    """A session of the configured factory that nobody uses; None where none is configured."""
    if not config.sessionmaker:
        return None
    factory = resolve(config.sessionmaker)
    try:
        made = getattr(factory, "session_factory", factory)()
    except Exception as error:  # a factory is the application's own code
        msg = f"{config.sessionmaker} makes no session: {first_line(error)}"
        raise BadConfigError(msg) from error
    if not isinstance(made, Session | AsyncSession):
        msg = f"{config.sessionmaker} makes a {type(made).__name__}, and a session is needed."
        raise BadConfigError(msg)
    return made


def sessions(config: Config) -> Facts:
    """The options of the configured session factory; nothing where none is configured."""
    made = application_session(config)
    if made is None:
        return {}
    session = made.sync_session if isinstance(made, AsyncSession) else made
    options = Options.of(session)
    facts: Facts = {
        "class": f"{options.kind.__module__}.{options.kind.__qualname__}",
        "is_async": isinstance(made, AsyncSession),
        "join_transaction_mode": getattr(session, "join_transaction_mode", None),
        **dict(options.values),
    }
    engine = engine_of(made)
    return facts | ({"engine": engine_facts(engine)} if engine is not None else {})


def engine_of(made: Session | AsyncSession | None) -> Engine | None:
    """The engine that a session is bound to, if it is bound to one."""
    if made is None:
        return None
    session = made.sync_session if isinstance(made, AsyncSession) else made
    return session.bind.engine if session.bind is not None else None


def engine_facts(engine: Engine) -> Facts:
    """The pool and the options that an engine was made with; never its URL."""
    dialect: Any = engine.dialect
    return {
        "driver": dialect.driver,
        "isolation_level": engine.get_execution_options().get("isolation_level")
        or dialect._on_connect_isolation_level,  # noqa: SLF001 - the only door
        "pool": pool_facts(engine.pool),
    }


def pool_facts(pool: Pool) -> Facts:
    """The kind of a pool and what it was made with, as far as its kind has such a thing."""
    facts: Facts = {"class": type(pool).__name__}
    for name, place in _POOL.items():
        value: Any = pool
        for part in place.split("."):
            value = getattr(value, part, None)
        value = value() if callable(value) else value
        if isinstance(
            value, bool | int | float | str
        ):  # a pool of the application's own may have anything there
            facts[name] = value
    return facts | {"reset_on_return": _reset(pool)}


def _reset(pool: Pool) -> str:
    said: Any = pool._reset_on_return  # noqa: SLF001 - the only door
    return str(getattr(said, "name", said)).removeprefix("reset_")
