"""Environments that cannot drift: what a contract declares, what files and processes hold, and how they differ.

Of the standard library alone, so that a program may use it before it imports anything else.
"""

from dbparity.environment.checking import check, check_files
from dbparity.environment.contract import Contract, Variable
from dbparity.environment.files import EnvFile, apply, read_file
from dbparity.environment.parsing import load_contract
from dbparity.environment.trouble import BadContractError, BadEnvFileError, BadEnvironmentError
from dbparity.environment.violations import Kind, Violation

__all__ = [
    "BadContractError",
    "BadEnvFileError",
    "BadEnvironmentError",
    "Contract",
    "EnvFile",
    "Kind",
    "Variable",
    "Violation",
    "apply",
    "check",
    "check_files",
    "load_contract",
    "read_file",
]
