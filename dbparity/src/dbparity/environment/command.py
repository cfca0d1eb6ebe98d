"""`dbparity env`: whether environment files, and the running process, are what their contract says."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dbparity.config import BadConfigError, load
from dbparity.environment.checking import check, check_files
from dbparity.environment.parsing import load_contract
from dbparity.environment.rendering import Checked, as_dict, rendered
from dbparity.environment.sources import PROCESS
from dbparity.environment.trouble import BadEnvFileError, BadEnvironmentError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from dbparity.environment.contract import Contract

AS_DECLARED, VIOLATED, USAGE = 0, 1, 2
EPILOG = """exit status: 0 as declared, 1 violations, 2 a file or the contract cannot be read

No values of secrets are shown, and of the process no values at all."""


def configure(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.epilog = EPILOG
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="environment files; default: those of the contract",
    )
    parser.add_argument(
        "--contract", type=Path, metavar="PATH", help="default: env_contract in [tool.dbparity]"
    )
    parser.add_argument(
        "--process",
        action="store_true",
        help="look at the variables of this process; without FILE, at nothing else",
    )
    parser.add_argument("--json", action="store_true", help="print everything, for programs")


def run(options: argparse.Namespace) -> int:
    """Compare what is asked for with the contract, and print what is not as declared; the exit code."""
    try:
        contract = load_contract(options.contract or _configured())
        checked = _check(contract, options.files, process=options.process)
    except (BadConfigError, BadEnvironmentError) as error:
        return _failed(str(error), as_json=options.json)
    text = json.dumps(as_dict(checked), indent=2) + "\n" if options.json else rendered(checked)
    sys.stdout.write(text)
    return VIOLATED if checked.violations else AS_DECLARED


def _configured() -> Path:
    config = load(Path.cwd())
    if not config.env_contract:
        msg = "Where is the contract? Say --contract PATH, or env_contract in [tool.dbparity]."
        raise BadConfigError(msg)
    return Path(config.env_contract)


def _check(contract: Contract, files: Sequence[Path], *, process: bool) -> Checked:
    paths = list(files) if files or process else _of(contract)
    violations = list(check_files(contract, paths))
    if process:
        violations += check(contract, contract.claimed(os.environ), os.environ)
    labels = [*map(str, paths), *([PROCESS] if process else [])]
    return Checked(contract, labels, violations)


def _of(contract: Contract) -> list[Path]:
    """The files that the contract names: each must be there."""
    paths = [each.path for each in contract.environments.values()]
    for path in paths:
        if not path.is_file():
            raise BadEnvFileError(path, [f"{path}: is not there, and {contract.path} names it"])
    return paths


def _failed(message: str, *, as_json: bool) -> int:
    if as_json:
        sys.stdout.write(json.dumps({"violations": None, "error": message}, indent=2) + "\n")
    else:
        sys.stderr.write(f"dbparity env: {message}\n")
    return USAGE
