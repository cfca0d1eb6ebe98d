"""A contract, and files that keep it: what the tests of environments break."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dbparity.environment import check_files, load_contract

if TYPE_CHECKING:
    from pathlib import Path

    from dbparity.environment import Violation

CONTRACT = """
variable = "STAGE"
prefixes = ["SHOP_"]

[environments]
test = ".env.test"
ci = ".env.ci"
prod = { file = ".env.prod.example", example = true }

[variables.STAGE]
type = "string"
choices = ["test", "ci", "prod"]
about = "Which environment this is."

[variables.DEBUG]
type = "boolean"
default = false
about = "More logging."

[variables.API_PREFIX]
type = "string"
pattern = "(/[a-z0-9]+)+"
default = "/api"
about = "Where the API lives."

[variables.POOL_SIZE]
type = "integer"
default = 5
min = 1
max = 50
differs = { prod = "Sized to the server." }
about = "Connections."

[variables.SHOP_FOLDER]
type = "path"
local = "A folder of the machine."
about = "Where it keeps its files."

[variables.SECRET]
type = "string"
secret = true
pattern = ".{8,}"
required = ["prod"]
about = "What tokens are signed with."

[variables.SECRET_FILE]
type = "path"
file_of = "SECRET"
about = "A file that holds it."
"""
FILES = {
    ".env.test": "STAGE=test\nDEBUG=false\nAPI_PREFIX=/api\n",
    ".env.ci": "# as test\nSTAGE=ci\nDEBUG=no\nAPI_PREFIX=/api\n",
    ".env.prod.example": "STAGE=prod\nDEBUG=0\nAPI_PREFIX=/api\nPOOL_SIZE=20\nSECRET=\n",
}
CANARY = "canary-of-a-secret"


def written(folder: Path, contract: str = CONTRACT, **changed: str) -> Path:
    """The contract with its files in this folder, some with another text; returns the contract's path."""
    folder.mkdir(exist_ok=True)
    for name, text in FILES.items():
        (folder / name).write_text(changed.get(name.split(".")[2], text))
    path = folder / "contract.toml"
    path.write_text(contract)
    return path


def found(folder: Path, contract: str = CONTRACT, **changed: str) -> list[Violation]:
    """What is wrong with them."""
    read = load_contract(written(folder, contract, **changed))
    return list(check_files(read, [each.path for each in read.environments.values()]))
