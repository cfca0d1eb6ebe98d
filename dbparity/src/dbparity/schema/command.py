"""`dbparity schema`: whether the live database is what models and migrations say, and what to do if not."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dbparity.asking import UnreachedError, asked, usable_url
from dbparity.config import BadConfigError, load, metadata_of
from dbparity.observer import close_background_loop
from dbparity.provision.truth import BUILD_LOCK
from dbparity.schema.graph import MigrationsError
from dbparity.schema.inspection import inspect
from dbparity.schema.live import UnsupportedDatabaseError
from dbparity.schema.report import Report, Verdict

if TYPE_CHECKING:
    import argparse

    from sqlalchemy import Connection
    from sqlalchemy.engine import URL

    from dbparity.config import Config

USAGE = 2
UNREACHED = 3
CODES = {
    Verdict.READY: 0,
    Verdict.EMPTY: 10,
    Verdict.PENDING: 11,
    Verdict.STAMPED_BUT_EMPTY: 12,
    Verdict.PARTLY_APPLIED: 13,
    Verdict.UNVERSIONED: 14,
    Verdict.VERSION_EMPTY: 15,
    Verdict.UNKNOWN_REVISION: 16,
    Verdict.MULTIPLE_HEADS: 17,
    Verdict.DRIFT: 18,
    Verdict.WRONG_SCHEMA: 19,
    Verdict.EMPTY_MIGRATION: 20,
    Verdict.BUSY: 21,
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options; what they leave out comes from [tool.dbparity] in pyproject.toml."""
    parser.add_argument("--json", action="store_true", help="print the report as JSON; `verdict` is in it")
    parser.add_argument("--url", metavar="URL", help="the database: a SQLAlchemy URL, or env:NAME")
    parser.add_argument("--metadata", metavar="MODULE:ATTR", help="the models' MetaData")
    parser.add_argument("--migrations", metavar="PATH", help="alembic.ini or a script location")
    parser.add_argument(
        "--version-table", metavar="NAME", default="alembic_version", help="default: %(default)s"
    )
    parser.add_argument(
        "--ignore-table", metavar="NAME", action="append", default=[], help="a table of others (repeatable)"
    )
    parser.add_argument("--root", metavar="FOLDER", type=Path, help="the project's folder; default: this one")
    others = "\n".join(f"  {code:2}  {verdict}" for verdict, code in CODES.items())
    parser.epilog = (
        f"exit codes:\n{others}\n   {USAGE}  the command or the configuration is wrong"
        f"\n   {UNREACHED}  the database does not answer"
    )


def run(options: argparse.Namespace) -> int:
    """Inspect the database and print what was found; the exit code is the verdict's."""
    root = options.root or Path.cwd()
    sys.path.insert(0, str(root))  # where `python -m` would find the application
    try:
        config = load(
            root, metadata=options.metadata, database_url=options.url, migrations=options.migrations
        )
        report = _reached(config, options)
    except (BadConfigError, MigrationsError, UnsupportedDatabaseError, ValueError) as error:
        return _failed(str(error), USAGE, options)
    except UnreachedError as error:
        return _failed(str(error), UNREACHED, options)
    finally:
        close_background_loop()
        sys.path.remove(str(root))
    _show(report, config, options)
    return CODES[report.verdict]


def _reached(config: Config, options: argparse.Namespace) -> Report:
    metadata = metadata_of(config)
    migrations = _path(config) if config.migrations else None

    def work(connection: Connection) -> Report:
        return inspect(
            connection,
            metadata,
            migrations,
            version_table=options.version_table,
            ignore_tables=options.ignore_table,
            build_locks=(BUILD_LOCK,),
        )

    return asked(_url(config), work)


def _path(config: Config) -> str | Path:
    # "package:folder" is Alembic's to find.
    inside = config.root / config.migrations
    return config.migrations if ":" in config.migrations and not inside.exists() else inside


def _url(config: Config) -> URL:
    if not config.url:
        where = f"{config.database_url} is not set" if config.database_url else "no database is configured"
        msg = f"{where}: say which by --url, or as database_url in [tool.dbparity]."
        raise BadConfigError(msg)
    return usable_url(config.url)


def _guesses(config: Config) -> list[str]:
    return [guess for guess in config.guesses if not guess.startswith("schema")]


def _show(report: Report, config: Config, options: argparse.Namespace) -> None:
    if options.json:
        _print(report.as_dict() | {"assumed": _guesses(config)})
        return
    lines = [report.render(), *(f"  assumed    {guess}" for guess in _guesses(config))]
    sys.stdout.write("\n".join(lines) + "\n")


def _failed(message: str, code: int, options: argparse.Namespace) -> int:
    if options.json:
        _print({"verdict": None, "error": message})
    else:
        sys.stderr.write(f"dbparity schema: {message}\n")
    return code


def _print(data: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(data, indent=2) + "\n")
