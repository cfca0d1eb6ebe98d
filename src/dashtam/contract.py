"""Where the contract of the environments is: `env/contract.toml`, which is in the wheel, too."""

from pathlib import Path

from dashtam import __file__ as package

_PACKAGE = Path(package).resolve().parent
_INSTALLED = _PACKAGE / "contract.toml"
_IN_THE_TREE = _PACKAGE.parent.parent / "env" / "contract.toml"


def contract_path() -> Path:
    """The contract of this version, wherever it is installed; dbparity.environment reads it."""
    return _INSTALLED if _INSTALLED.is_file() else _IN_THE_TREE
