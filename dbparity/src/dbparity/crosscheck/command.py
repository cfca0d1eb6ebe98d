"""`dbparity crosscheck NODEID…`: the same tests under savepoint and under real commits; only differences are told."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from dbparity.config import IsolationMode
from dbparity.crosscheck.rendering import rendered
from dbparity.crosscheck.runs import Asked, RunError, crosscheck
from dbparity.veil import Veil

COMMITTING = (IsolationMode.CLONE, IsolationMode.DELETE)
ALIKE, DIFFERENT = 0, 1
SECONDS = 1800.0
EPILOG = """exit status: 0 no difference, 1 differences, 2 the runs could not be made, 5 no test ran

What follows a -- is for pytest: dbparity crosscheck tests/test_orders.py -- -k refund"""


def configure(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.epilog = EPILOG
    parser.add_argument("nodeids", nargs="+", metavar="NODEID", help="tests, as pytest names them")
    parser.add_argument(
        "--under",
        type=_modes,
        default=(IsolationMode.SAVEPOINT, IsolationMode.CLONE),
        metavar="savepoint,clone|delete",
        help="the two isolations (default: savepoint,clone)",
    )
    parser.add_argument("--json", action="store_true", help="print everything, for programs")
    parser.add_argument(
        "--timeout",
        type=float,
        default=SECONDS,
        metavar="SECONDS",
        help=f"for each run (default: {SECONDS:.0f})",
    )


def run(options: argparse.Namespace) -> int:
    """Run the tests under both, tell what differs; the exit code."""
    asked = Asked(options.nodeids, options.under, options.rest, options.timeout, Path.cwd())
    try:
        found = crosscheck(asked)
    except RunError as error:
        sys.stderr.write(f"{Veil().over(str(error))}\n")
        return error.exit_code
    text = json.dumps(Veil().over(found.as_dict()), indent=1) if options.json else rendered(found)
    sys.stdout.write(f"{text}\n")
    return DIFFERENT if found.differences else ALIKE


def _modes(said: str) -> tuple[IsolationMode, IsolationMode]:
    names = [each.strip() for each in said.split(",")]
    if len(names) == 1:
        names = [IsolationMode.SAVEPOINT, *names]
    if len(names) != 2 or names[0] != IsolationMode.SAVEPOINT or names[1] not in COMMITTING:  # noqa: PLR2004 - a pair
        msg = f"{said!r}: write savepoint,clone or savepoint,delete."
        raise argparse.ArgumentTypeError(msg)
    return IsolationMode(names[0]), IsolationMode(names[1])
