"""Environment variables: the names of all, and the values of those that the contract declares and calls no secret."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dbparity.config import BadConfigError
from dbparity.environment import BadContractError, load_contract
from dbparity.environment.values import shown
from dbparity.veil import Veil

if TYPE_CHECKING:
    from dbparity.config import Config
    from dbparity.environment import Contract, Variable
    from dbparity.fingerprint.file import Facts

RUNNERS = ("PYTEST_", "COV_CORE_", "COVERAGE_")
"""The test runner's own, which come and go while it runs."""


def variables(config: Config) -> Facts:
    """What is set; a value is shown only where the contract says that everybody may see it."""
    names = sorted(name for name in os.environ if not name.startswith(RUNNERS) and name != _given(config))
    contract = _contract(config)
    if contract is None:
        return {"names": names}
    values = {name: _value(each) for name, each in sorted(contract.variables.items()) if each.compared}
    return {
        "names": names,
        "declared": sorted(contract.variables),
        "values": {name: value for name, value in values.items() if value is not None},
    }


def _value(variable: Variable) -> str | None:
    """What the program makes of it, which may be its default; a URL without its password."""
    text = os.environ.get(variable.name)
    try:
        value = variable.effective(text)
    except ValueError:
        value = text
    return None if value is None else str(Veil().over(shown(value)))


def _given(config: Config) -> str:
    """The variable that a run has set to what the configuration says: it means the same as if it were not set."""
    default = config.database_url.partition("=")[2]
    return config.variable if config.variable and os.environ.get(config.variable) == default else ""


def _contract(config: Config) -> Contract | None:
    """The project's contract, where it has one."""
    if not config.env_contract:
        return None
    try:
        return load_contract(config.root / config.env_contract)
    except BadContractError as error:
        raise BadConfigError(str(error)) from error
