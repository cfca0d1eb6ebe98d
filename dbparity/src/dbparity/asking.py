"""A database that a command asks: reached in time, or said in one sentence why not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from dbparity.config import BadConfigError
from dbparity.observer import Observer
from dbparity.provision.held import connect_options, first_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection
    from sqlalchemy.engine import URL

T = TypeVar("T")


class UnreachedError(RuntimeError):
    """The database did not answer."""


def usable_url(said: str) -> URL:
    """The URL, if its driver is here; BadConfigError where it is none or the driver is not installed."""
    try:
        url = make_url(said)
        url.get_dialect().import_dbapi()
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        msg = f"The database's URL cannot be used: {error}"
        raise BadConfigError(msg) from error
    except ValueError as error:  # its words would show what stands where the port should
        msg = "The database's URL cannot be used: its port is no number"
        raise BadConfigError(msg) from error
    return url


def asked(url: URL, work: Callable[[Connection], T]) -> T:
    """Run `work` on a connection of its own; UnreachedError where there is none to be had."""
    file = url.database if url.get_backend_name() == "sqlite" else None
    if file and file != ":memory:" and not file.startswith("file:") and not Path(file).is_file():
        msg = f"There is no file {file}."
        raise UnreachedError(msg)
    observer = Observer(url, pooled=False, **connect_options(url))
    reached = False

    def noted(connection: Connection) -> T:
        nonlocal reached
        reached = True
        return work(connection)

    try:
        return observer.call(noted)
    except Exception as error:
        if reached:
            raise
        # Drivers have their own errors for this, some of them outside of SQLAlchemy's.
        shown = url.render_as_string(hide_password=True)
        msg = f"{shown} does not answer: {first_line(error)}"
        raise UnreachedError(msg) from error
    finally:
        observer.close()
