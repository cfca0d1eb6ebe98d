"""`dbparity orphans`: the databases that test runs have left on a server or in files, and how to be rid of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from dbparity.config import BadConfigError, load
from dbparity.observer import close_background_loop
from dbparity.provision.errors import DatabaseRefusedError
from dbparity.provision.kinds import databases_of
from dbparity.provision.names import checkout_of
from dbparity.provision.orphans import Orphan, drop, find, without_newest

if TYPE_CHECKING:
    import argparse

    from dbparity.config import Config
    from dbparity.provision.databases import Databases

USAGE, UNREACHED, LEFT = 2, 3, 1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options; without any of them the databases are listed."""
    parser.add_argument(
        "--url", metavar="URL", help="a database on that server, as a SQLAlchemy URL or env:NAME"
    )
    parser.add_argument("--list", action="store_true", help="list them; the same as no option")
    parser.add_argument("--drop", action="store_true", help="drop those that nobody is connected to")
    parser.add_argument("--keep", type=int, default=0, metavar="N", help="but not the N newest kept clones")
    parser.add_argument("--mine", action="store_true", help="only those of this checkout")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--root", metavar="FOLDER", type=Path, help="the project's folder; default: this one")
    parser.epilog = (
        "Databases of living runs and templates that they use are never listed nor dropped.\n"
        f"exit codes: 0, {LEFT} when something could not be dropped, {USAGE} for a wrong command or\n"
        f"configuration, {UNREACHED} when the server does not answer"
    )


def run(options: argparse.Namespace) -> int:
    """List what is left, and drop it where that is asked for."""
    root = options.root or Path.cwd()
    try:
        databases = databases_of(_url(load(root, database_url=options.url)))
    except (BadConfigError, ArgumentError, NoSuchModuleError, DatabaseRefusedError) as error:
        return _failed(str(error), USAGE, options)
    try:
        return _cleared(databases, checkout_of(root, databases.base), options)
    except (DatabaseRefusedError, SQLAlchemyError, OSError, ImportError) as error:
        return _failed(str(error).splitlines()[0], UNREACHED, options)
    finally:
        databases.close()
        close_background_loop()


def _url(config: Config) -> str:
    if not config.url:
        raise BadConfigError("No database is configured: say which by --url, or as database_url.")
    return config.url


def _cleared(databases: Databases, checkout: str, options: argparse.Namespace) -> int:
    found = [each for each in find(databases, sizes=True) if not options.mine or each.checkout == checkout]
    going = without_newest(found, options.keep) if options.drop else []
    gone = set(drop(databases, going))
    if options.json:
        _print({"databases": [_as_dict(databases, each, gone) for each in found]})
    else:
        sys.stdout.write("".join(f"{line}\n" for line in _lines(databases, found, gone)))
    return LEFT if any(each.stored.name not in gone for each in going) else 0


def _lines(databases: Databases, found: list[Orphan], gone: set[str]) -> list[str]:
    if not found:
        return ["No test run has left a database here."]
    lines = []
    for each in found:
        lines.append(f"{'dropped  ' if each.stored.name in gone else ''}{each}")
        if each.kind == "kept" and each.stored.name not in gone:
            lines.append(f"    {databases.way_in(each.stored.name)}")
    if not gone:
        lines.append("Drop them with: dbparity orphans --drop")
    return lines


def _as_dict(databases: Databases, orphan: Orphan, gone: set[str]) -> dict[str, Any]:
    stored = orphan.stored
    return {
        "name": stored.name,
        "kind": orphan.kind,
        "checkout": orphan.checkout,
        "test": stored.note.about if stored.note and orphan.kind == "kept" else None,
        "bytes": stored.size,
        "connected": stored.connected,
        "way_in": databases.way_in(stored.name) if orphan.kind == "kept" else None,
        "dropped": stored.name in gone,
    }


def _failed(message: str, code: int, options: argparse.Namespace) -> int:
    if options.json:
        _print({"databases": None, "error": message})
    else:
        sys.stderr.write(f"dbparity orphans: {message}\n")
    return code


def _print(data: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(data, indent=2) + "\n")
