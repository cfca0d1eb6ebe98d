"""`python -m benchmarks`: run them, print the table, and write the same as JSON where asked."""

import argparse
import json
import os
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from platform import python_version

from rich.console import Console

from benchmarks.catalogue import BENCHMARKS, run
from benchmarks.databases import DATABASES
from benchmarks.figure import Figure, table
from dbparity.testing.postgres import PostgresMissing

_LIBRARIES = ("fastapi", "starlette", "uvicorn", "sqlalchemy", "asyncpg", "aiosqlite", "argon2-cffi")
_MOST_SECONDS = 100.0  # an access token lives ten minutes, and a cell takes several times as long
_TABLE_WIDTH = 120
_FAILED, _USAGE = 1, 2


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= _MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"between 0 and {_MOST_SECONDS:.0f}")
    return seconds


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = ", ".join(BENCHMARKS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones: {names}; all if none is named")
    parser.add_argument("--seconds", type=_seconds, default=5.0, help="how long each figure is measured (5)")
    parser.add_argument("--database", choices=DATABASES, help="on this one only; else on both")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in BENCHMARKS]:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {names}")
    return options


def _document(figures: list[Figure], load_before: float) -> dict[str, object]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "load_average": [round(load_before, 2), round(os.getloadavg()[0], 2)],
            "python": python_version(),
            "libraries": {name: version(name) for name in _LIBRARIES},
        },
        "figures": [figure.as_dict() for figure in figures],
    }


def main() -> int:
    options = _options()
    if not sys.platform.startswith("linux"):
        sys.stderr.write("The benchmarks need Linux: they pin processes to cores and read /proc.\n")
        return _USAGE
    load_before = os.getloadavg()[0]
    figures: list[Figure] = []
    try:
        for name in options.names or BENCHMARKS:
            for database in [options.database] if options.database else DATABASES:
                sys.stderr.write(f"{name} on {database} ...\n")
                figures += run(name, database, options.seconds)
    except PostgresMissing as missing:
        sys.stderr.write(f"{missing}\nWithout it: python -m benchmarks --database sqlite\n")
        return _FAILED
    console = Console()
    console.width = max(console.width, _TABLE_WIDTH)
    console.print(table(figures))
    document = _document(figures, load_before)
    print(f"Load average before and after: {document['machine']['load_average']}")  # type: ignore[index]
    if options.json:
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
