"""`dbparity compare A [B]`: what differs between two fingerprints, and what that can do to tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from dbparity.fingerprint.command import CannotError, add_sources, as_json, here_and_now
from dbparity.fingerprint.comparing import compare
from dbparity.fingerprint.file import BadFingerprintError, read
from dbparity.fingerprint.rendering import rendered

if TYPE_CHECKING:
    import argparse

    from dbparity.fingerprint.comparing import Comparison
    from dbparity.fingerprint.file import Facts

ALIKE, DIFFERENT, USAGE = 0, 1, 2
NOW = "here and now"
SECONDS = 1800.0
OPTION = "--dbparity-fingerprint"
EPILOG = f"""With one FILE it is compared with here and now: the databases that --url or the configuration name. What
follows a -- is for pytest, and the other side is then the run that it makes:
dbparity compare ci.json -- tests/test_orders.py

exit codes: {ALIKE} nothing that can change results, {DIFFERENT} something that can, {USAGE} for a wrong command,
configuration or file, 3 when a database does not answer"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("a", metavar="A", type=Path, help="a fingerprint")
    parser.add_argument("b", metavar="B", type=Path, nargs="?", help="another; without it: here and now")
    add_sources(parser)
    parser.add_argument("--json", action="store_true", help="print everything, for programs")
    parser.epilog = EPILOG


def run(options: argparse.Namespace) -> int:
    """Compare, tell what differs; the exit code."""
    try:
        a, b = read(options.a), _other(options)
    except BadFingerprintError as error:
        return _failed(str(error), USAGE, options)
    except CannotError as error:
        return _failed(str(error), error.code, options)
    try:
        found = compare(a, b)
        sides = (str(options.a), a), (str(options.b or NOW), b)
        text = _document(found, *sides) if options.json else rendered(found, *sides) + "\n"
    except (AttributeError, KeyError, TypeError) as error:
        return _failed(f"one of the two is damaged, and cannot be compared: {error}.", USAGE, options)
    sys.stdout.write(text)
    return DIFFERENT if found.changes_results else ALIKE


def _other(options: argparse.Namespace) -> Facts:
    if options.b is not None and (options.rest or options.url):
        raise CannotError(
            "two files are compared as they are: --url, or what follows --, goes with one", USAGE
        )
    if options.b is not None:
        return read(options.b)
    return _of_a_run(options) if options.rest else here_and_now(options)


def _of_a_run(options: argparse.Namespace) -> Facts:
    """Run pytest with these words, and take the fingerprint that the run leaves; how its tests end does not matter."""
    with TemporaryDirectory(prefix="dbparity-") as folder:
        file = Path(folder) / "run.json"
        command = [sys.executable, "-m", "pytest", *options.rest, f"{OPTION}={file}"]
        try:
            done = subprocess.run(  # noqa: S603 - pytest, with the words of whoever gave the command
                command, cwd=options.root, stdout=sys.stderr, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            msg = f"pytest has not ended within {SECONDS:.0f} s."
            raise CannotError(msg, USAGE) from error
        if not file.exists():
            msg = f"pytest ended with exit code {done.returncode} and left no fingerprint."
            raise CannotError(msg, USAGE)
        return read(file)


def _document(found: Comparison, a: tuple[str, Facts], b: tuple[str, Facts]) -> str:
    return as_json(
        {
            "a": {"name": a[0], **a[1].get("about", {})},
            "b": {"name": b[0], **b[1].get("about", {})},
            "changes_results": found.changes_results,
            "differences": [each.as_dict() for each in found.differences],
            "not_compared": found.one_sided,
        }
    )


def _failed(message: str, code: int, options: argparse.Namespace) -> int:
    if options.json:
        sys.stdout.write(as_json({"differences": None, "error": message}))
    else:
        sys.stderr.write(f"dbparity compare: {message}\n")
    return code
