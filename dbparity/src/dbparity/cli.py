"""The command `dbparity`: a word, and the module that does what it says.

A command's module has `configure(parser)`, which adds its options, and `run(options)`, which returns the exit
code. It is imported only when its word is said. What follows a `--` is `options.rest`: another program's options.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from io import TextIOWrapper
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE_ERROR = 2


class Command(NamedTuple):
    """Where a command lives, and what it is for."""

    module: str
    about: str


COMMANDS = {
    "schema": Command(
        "dbparity.schema.command", "say whether the live database is what models and migrations say"
    ),
    "orphans": Command(
        "dbparity.provision.command", "list and drop the databases that test runs have left behind"
    ),
    "crosscheck": Command(
        "dbparity.crosscheck.command",
        "run tests under savepoint and under real commits, and tell what differs",
    ),
    "fingerprint": Command(
        "dbparity.fingerprint.command", "write down what there is here that tests could notice"
    ),
    "compare": Command(
        "dbparity.fingerprint.compare_command",
        "tell what differs between two fingerprints, and what that can do to tests",
    ),
    "env": Command(
        "dbparity.environment.command", "say whether environment files are what their contract declares"
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is the command's, 2 for one that cannot be understood."""
    words = list(sys.argv[1:] if argv is None else argv)
    if argv is None and isinstance(
        sys.stdout, TextIOWrapper
    ):  # a name that it cannot show is no reason to stop
        sys.stdout.reconfigure(errors="backslashreplace")
    end = words.index("--") if "--" in words else len(words)
    words, rest = words[:end], words[end + 1 :]
    try:
        options = _parser(words).parse_args(words, argparse.Namespace(rest=rest))
    except SystemExit as leaving:  # argparse has said why
        return leaving.code if isinstance(leaving.code, int) else USAGE_ERROR
    code: int = options.run(options)
    return code


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dbparity", description="Your tests see the database that you think they see."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for word, command in COMMANDS.items():
        added = commands.add_parser(
            word,
            help=command.about,
            description=f"{command.about[0].upper()}{command.about[1:]}.",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if word in words[:1]:
            module = importlib.import_module(command.module)
            module.configure(added)
            added.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
