"""Contracts: a sound one is read, and every fault of another is told by its key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from declared import CONTRACT, written

from dbparity.environment import BadContractError, load_contract

if TYPE_CHECKING:
    from pathlib import Path


def told(folder: Path, contract: str) -> list[str]:
    path = written(folder, contract)
    with pytest.raises(BadContractError) as caught:
        load_contract(path)
    return [line.removeprefix(f"{path}: ") for line in str(caught.value).splitlines()]


def test_a_sound_contract_is_read(tmp_path: Path) -> None:
    contract = load_contract(written(tmp_path))
    assert list(contract.environments) == ["test", "ci", "prod"]
    assert contract.environments["prod"].example
    assert contract.environments["ci"].path == tmp_path / ".env.ci"
    assert contract.variables["POOL_SIZE"].default == 5
    assert contract.variables["SECRET"].required == {"prod"}
    assert contract.file_form("SECRET") == "SECRET_FILE"
    assert contract.claimed({"STAGE": "ci"}) == "ci"
    assert contract.claimed({}) == ""


def test_true_is_required_everywhere_and_one_reason_is_for_all(tmp_path: Path) -> None:
    text = CONTRACT.replace('required = ["prod"]', "required = true").replace(
        'differs = { prod = "Sized to the server." }', 'differs = "Sized to the server."'
    )
    variables = load_contract(written(tmp_path, text)).variables
    assert variables["SECRET"].required == {"test", "ci", "prod"}
    assert set(variables["POOL_SIZE"].differs) == {"test", "ci", "prod"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('prefixes = ["SHOP_"]', "prefix = []", "prefix is no key"),
        ('prefixes = ["SHOP_"]', "prefixes = [1]", "prefixes must be a list of strings"),
        ('variable = "STAGE"', "variable = 3", "variable must be a string"),
        ('variable = "STAGE"', 'variable = "STAGES"', "variable is STAGES, which is not declared"),
        ('ci = ".env.ci"', "ci = 1", "environments.ci must be the name of a file"),
        ('ci = ".env.ci"', 'ci = ".env.test"', "environments.ci has a file with the name of test's"),
        ("example = true", "sample = true", "environments.prod.sample is no key"),
        ("[variables.DEBUG]", "[variables.DE-BUG]", "variables.DE-BUG is no name of a variable"),
        ("default = false", "default = 0", "variables.DEBUG.default must be true or false"),
        ("default = 5", "default = 500", "variables.POOL_SIZE.default must be at most 50"),
        ("default = 5", 'default = "5"', "variables.POOL_SIZE.default must be an integer"),
        ("default = 5", "default = true", "variables.POOL_SIZE.default must be an integer"),
        ("min = 1", "min = 51", "variables.POOL_SIZE.min is above its max"),
        ("min = 1", 'pattern = "5"', "variables.POOL_SIZE.pattern is for texts"),
        (
            'pattern = "(/[a-z0-9]+)+"',
            "max = 9",
            "variables.API_PREFIX has a min or max, which are for numbers",
        ),
        ("min = 1", "minimum = 1", "variables.POOL_SIZE.minimum is no key"),
        ('default = "/api"', 'default = "api"', "variables.API_PREFIX.default must match"),
        ('type = "boolean"', 'type = "bool"', "variables.DEBUG needs a `type`, one of string, integer"),
        ('about = "Connections."', "", "variables.POOL_SIZE needs a `type`"),
        (
            'pattern = "(/[a-z0-9]+)+"',
            'pattern = "("',
            "variables.API_PREFIX.pattern is no regular expression",
        ),
        ('["test", "ci", "prod"]', "[1]", "variables.STAGE.choices must be a text"),
        ('required = ["prod"]', 'required = ["production"]', "variables.SECRET.required names 'production'"),
        (
            '{ prod = "Sized to the server." }',
            '{ prd = "Sized." }',
            "variables.POOL_SIZE.differs names 'prd'",
        ),
        ('"Sized to the server."', '" "', "variables.POOL_SIZE.differs must state a reason"),
        ('"Sized to the server."', "true", "variables.POOL_SIZE.differs must state a reason"),
        (
            'local = "A folder of the machine."',
            "local = true",
            "variables.SHOP_FOLDER.local must be a reason",
        ),
        ('file_of = "SECRET"', 'file_of = "SECRETS"', "variables.SECRET_FILE.file_of is SECRETS"),
        ("secret = true", 'secret = true\ndefault = "12345678"', "is a secret, and can have no default"),
        ("[variables.DEBUG]", "[variables]\nDEBUG = 1\n[variables.OTHER]", "variables.DEBUG must be a table"),
    ],
)
def test_a_fault_is_told_by_its_key(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in CONTRACT
    faults = told(tmp_path, CONTRACT.replace(old, new))
    assert any(said in fault for fault in faults), faults


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    faults = told(tmp_path, CONTRACT.replace("default = 5", "default = 500").replace("default = false", ""))
    assert len(faults) == 1
    both = CONTRACT.replace("default = 5", "default = 500").replace("default = false", "default = 1")
    assert len(told(tmp_path, both)) == 2


def test_without_environments_there_is_nothing_to_compare(tmp_path: Path) -> None:
    assert told(tmp_path, "") == ["[environments] must name the environments and their files"]


def test_what_is_no_contract_at_all(tmp_path: Path) -> None:
    assert told(tmp_path, "a = = 1")[0].startswith("is not valid TOML: ")
    with pytest.raises(BadContractError, match=r"nowhere.toml: cannot be read: No such file"):
        load_contract(tmp_path / "nowhere.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(BadContractError, match=r"bytes.toml: is not UTF-8"):
        load_contract(tmp_path / "bytes.toml")
