"""Whether the run's own variables are what the project's contract declares for the environment that it claims."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from dbparity.config import BadConfigError, Strictness
from dbparity.environment import BadEnvironmentError, check, load_contract
from dbparity.findings import Finding
from dbparity.plugin.stop import EXIT_CODE

if TYPE_CHECKING:
    from dbparity.environment import Violation
    from dbparity.plugin.run import Run

DETECTOR = "environment"


def examine(run: Run) -> None:
    """Compare the variables with the contract, once for all workers. Raises BadConfigError for a bad contract."""
    if not run.config.env_contract or run.worker != "main":
        return
    try:
        contract = load_contract(run.config.root / run.config.env_contract)
        name = contract.claimed(os.environ)
        violations = check(contract, name, os.environ)
    except BadEnvironmentError as error:
        raise BadConfigError(str(error)) from error
    for each in violations:
        run.watch.report(_finding(each))
    said = f"{len(violations)} not as declared in" if violations else "as declared in"
    run.environment = f"environment {name or 'unknown'}, {said} {run.config.env_contract}"


def stop_if_told(run: Run) -> None:
    """End the run before its first test, where the configuration makes a failure of what was found."""
    found = [
        each for each in run.findings if each.detector == DETECTOR and each.strictness is Strictness.FAIL
    ]
    if found:
        told = "\n".join(each.render() for each in found)
        pytest.exit(f"dbparity: nothing was run.\n{told}", returncode=EXIT_CODE)


def _finding(violation: Violation) -> Finding:
    return Finding(DETECTOR, violation.render(), (), violation.remedy)
