"""`dbparity fingerprint`: what there is here that tests could notice, as a file to be compared with another one."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from dbparity.asking import UnreachedError, usable_url
from dbparity.config import BadConfigError, Config, load
from dbparity.fingerprint.collecting import collect
from dbparity.fingerprint.file import written
from dbparity.observer import close_background_loop
from dbparity.provision.held import first_line
from dbparity.schema.graph import MigrationsError
from dbparity.schema.live import UnsupportedDatabaseError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from dbparity.fingerprint.file import Facts

USAGE, UNREACHED = 2, 3
EPILOG = f"""Neither a password nor the value of a variable that no contract declares is written.

exit codes: 0, {USAGE} for a wrong command or configuration, {UNREACHED} when a database does not answer"""


class CannotError(Exception):
    """What was asked for cannot be had; with the exit code that says why."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options; what they leave out comes from [tool.dbparity] in pyproject.toml."""
    add_sources(parser)
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="where to; default: print it")
    parser.epilog = EPILOG


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Which databases, and which project."""
    parser.add_argument(
        "--url",
        metavar="URL",
        action="append",
        default=[],
        help="a database: a SQLAlchemy URL, or env:NAME (repeatable)",
    )
    parser.add_argument("--root", metavar="FOLDER", type=Path, help="the project's folder; default: this one")


def run(options: argparse.Namespace) -> int:
    """Take the fingerprint and write it."""
    try:
        text = written(here_and_now(options))
        if options.output is None:
            sys.stdout.write(text)
        else:
            options.output.write_text(text, "utf-8")
    except CannotError as error:
        sys.stderr.write(f"dbparity fingerprint: {error}\n")
        return error.code
    except OSError as error:
        sys.stderr.write(f"dbparity fingerprint: {options.output} cannot be written: {error.strerror}\n")
        return USAGE
    return 0


def here_and_now(options: argparse.Namespace) -> Facts:
    """The fingerprint of this machine and of the databases that the options or the configuration name."""
    root = (options.root or Path.cwd()).resolve()
    sys.path.insert(0, str(root))  # where `python -m` would find the application
    try:
        config = load(root)
        urls = _urls(config, options.url)
        with _told(config):
            return collect(config, urls)
    except (BadConfigError, MigrationsError, UnsupportedDatabaseError) as error:
        raise CannotError(str(error), USAGE) from error
    except (UnreachedError, SQLAlchemyError) as error:
        raise CannotError(first_line(error), UNREACHED) from error
    finally:
        close_background_loop()
        sys.path.remove(str(root))


@contextmanager
def _told(config: Config) -> Iterator[None]:
    """The application, which is imported now, reads its URL where the configuration says that it does."""
    unset = config.variable if config.url and not os.environ.get(config.variable) else ""
    if unset:
        os.environ[unset] = config.url
    try:
        yield
    finally:
        if unset:
            os.environ.pop(unset, None)


def _urls(config: Config, said: list[str]) -> list[str]:
    """The URLs that are asked for; without any, the configured one."""
    wanted = [_meant(each) for each in said] if said else [config.url] if config.url else []
    for each in wanted:
        usable_url(each)
    return wanted


def _meant(said: str) -> str:
    config = Config(database_url=said)
    if not config.url:
        msg = f"The variable {config.variable} is not set."
        raise BadConfigError(msg)
    return config.url


def as_json(data: object) -> str:
    """Text for programs."""
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
