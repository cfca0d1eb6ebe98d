"""The URL of the same database for a session of the other kind: sync for async, async for sync."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

SYNC = {"postgresql": ("psycopg", "psycopg2", "pg8000"), "sqlite": ("pysqlite",)}
ASYNC = {"postgresql": ("asyncpg", "psycopg"), "sqlite": ("aiosqlite",)}
MODULES = {"pysqlite": "sqlite3"}
RENAMED = {"asyncpg": {"sslmode": "ssl"}}
"""What a driver calls a parameter that libpq's own drivers call by the first name."""
OWN = frozenset({"prepared_statement_cache_size", "prepared_statement_name_func", "async_fallback"})
"""What only asyncpg's dialect understands."""


class NoDriverError(RuntimeError):
    """A session is wanted that no installed driver can give, or that cannot see the test's transaction."""


def url_for(url: URL, *, is_async: bool, savepoint: bool = False) -> URL:
    """The URL to make an engine of this kind from; the one given, where its driver is of this kind."""
    driver = url.get_driver_name()
    wanted = (ASYNC if is_async else SYNC).get(url.get_backend_name(), ())
    if driver in wanted or url.get_dialect().is_async is is_async:
        return url
    if savepoint:
        wanted = tuple(each for each in wanted if _shares(driver, each))
        if not wanted:
            raise NoDriverError(_not_shared(driver, is_async=is_async))
    found = next((each for each in wanted if find_spec(MODULES.get(each, each))), "")
    if not found:
        raise NoDriverError(_not_installed(url, wanted, is_async=is_async))
    return url.set(drivername=f"{url.get_backend_name()}+{found}", query=_renamed(url, driver, found))


def _shares(driver: str, other: str) -> bool:
    """Whether two drivers can be led to one connection, and so to one transaction."""
    return {driver, other} == {"aiosqlite", "pysqlite"}


def _renamed(url: URL, driver: str, other: str) -> dict[str, tuple[str, ...] | str]:
    back = {theirs: ours for ours, theirs in RENAMED.get(driver, {}).items()}
    forth = RENAMED.get(other, {})
    query = {back.get(key, key): value for key, value in url.query.items() if key not in OWN}
    return {forth.get(key, key): value for key, value in query.items()}


def _kind(*, is_async: bool) -> str:
    return "An async session" if is_async else "A sync session"


def _instead(*, is_async: bool) -> str:
    return "db_session" if is_async else "async_db_session"


def _not_shared(driver: str, *, is_async: bool) -> str:
    return (
        f"{_kind(is_async=is_async)} cannot see this test's transaction: under savepoint isolation it is held by "
        f"one connection of {driver}, which no driver of the other kind can share. Use {_instead(is_async=is_async)}, "
        'or @pytest.mark.dbparity(isolation="clone") (or "delete"), where every driver sees what is committed.'
    )


def _not_installed(url: URL, wanted: tuple[str, ...], *, is_async: bool) -> str:
    names = " or ".join(wanted) or "a driver that dbparity knows"
    return (
        f"{_kind(is_async=is_async)} on {url.drivername} needs {names}, and none of them is installed. "
        f"Install one, or use {_instead(is_async=is_async)}."
    )
