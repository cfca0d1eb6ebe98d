"""The contract of the environments says what the code reads: every variable, its type, default, choices and range."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

import pytest
from annotated_types import Ge, Le
from pydantic import SecretStr

from dashtam import secret_files
from dashtam.contract import contract_path
from dashtam.settings import BadSettingsError, Rate, Settings, load
from dbparity.environment import Variable, check, load_contract

ROOT = Path(__file__).parents[2]
CONTRACT = load_contract(contract_path())
FIELDS = Settings.model_fields
SETTINGS = {name.upper() for name in FIELDS} | {f"{name}_FILE" for name in secret_files.SECRETS}
READ = re.compile(r"(?:environ(?:\.get\(|\[)|getenv\(|envvar=|setdefault\()\s*['\"]([A-Z][A-Z0-9_]*)['\"]")
PROGRAMS = ("src", "benchmarks", "scripts", "dbparity/src")
OURS = re.compile(r"""['"]((?:DASHTAM|DBPARITY)_[A-Z_]+)['"]""")
IN_COMPOSE = re.compile(r"(?<!\$)\$\{?([A-Z][A-Z0-9_]*)|^\s+(?:- )?([A-Z][A-Z0-9_]*)[:=]", re.MULTILINE)
OF_OTHERS = {"HOME", "PATH", "PYTHONHASHSEED", "TZ"}
PRODUCTION = {
    "ENVIRONMENT": "prod",
    "SECRET_KEY": "Zk3vQx8pLw2nRt6yBs9dHf4gJm7cXa5eUo1i",
    "PUBLIC_URL": "https://auth.example.org",
    "MAIL_TRANSPORT": "smtp",
    "SMTP_URL": "smtps://mail.example.org",
}


def read_in_python() -> Iterator[str]:
    """The variables that our own programs and tests read by name."""
    tests = [*(ROOT / "tests").rglob("*.py"), ROOT / "dbparity/tests/conftest.py"]
    programs = [path for folder in PROGRAMS for path in (ROOT / folder).rglob("*.py")]
    for path in [*programs, *tests]:
        yield from READ.findall(path.read_text("utf-8"))
    for path in programs:
        yield from OURS.findall(path.read_text("utf-8"))


def read_in_compose() -> Iterator[str]:
    """The variables that compose files hand to containers, or take from who starts them."""
    for path in (ROOT / "compose").glob("*.yml"):
        for groups in IN_COMPOSE.findall(path.read_text("utf-8")):
            yield from filter(None, groups)


def as_declared(variable: Variable) -> dict[str, Any]:
    """What the contract says of the variable that the code can say, too."""
    return {
        "type": str(variable.type),
        "choices": variable.choices,
        "range": (variable.minimum, variable.maximum),
        "secret": variable.secret,
    }


def as_read(name: str) -> dict[str, Any]:
    """The same, as the settings have it."""
    field = FIELDS[name.lower()]
    annotation: Any = field.annotation
    kind = get_args(annotation)[0] if isinstance(annotation, UnionType) else annotation
    return {
        "type": "url" if name.endswith("_URL") else _type(kind),
        "choices": get_args(kind) if get_origin(kind) is Literal else (),
        "range": (
            next((each.ge for each in field.metadata if isinstance(each, Ge)), None),
            next((each.le for each in field.metadata if isinstance(each, Le)), None),
        ),
        "secret": kind is SecretStr or name in secret_files.SECRETS,
    }


def _type(kind: Any) -> str:
    known = {
        bool: "boolean",
        int: "integer",
        Path: "path",
        str: "string",
        SecretStr: "string",
        Rate: "string",
    }
    if get_origin(kind) is Literal:
        return "string"
    return "list" if get_origin(kind) is tuple else known[kind]


def test_every_variable_that_is_read_is_declared_and_no_other() -> None:
    named = set(read_in_python()) | set(read_in_compose())
    assert {"PORT", "DASHTAM_REQUIRE_POSTGRES", "FAULT_ROUNDS"} <= named
    assert set(CONTRACT.variables) == (SETTINGS | named) - OF_OTHERS


@pytest.mark.parametrize("name", [name.upper() for name in FIELDS])
def test_a_setting_is_declared_as_it_is_read(name: str) -> None:
    assert as_declared(CONTRACT.variables[name]) == as_read(name)


@pytest.mark.parametrize("name", [name.upper() for name in FIELDS])
def test_a_default_is_that_of_the_setting(name: str) -> None:
    default, field = CONTRACT.variables[name].default, FIELDS[name.lower()]
    if default is None:
        assert field.default in (None, SecretStr(""))
    else:
        read = getattr(Settings.model_validate({name.lower(): default}), name.lower())
        assert read == field.default


def test_a_secret_can_come_as_a_file() -> None:
    forms = {each.file_of: each.name for each in CONTRACT.variables.values() if each.file_of}
    assert {name: forms[name] for name in secret_files.SECRETS} == {
        name: f"{name}_FILE" for name in secret_files.SECRETS
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_V1_PREFIX", "api/"),
        ("DATABASE_POOL_SIZE", "0"),
        ("DEBUG", "perhaps"),
        ("ENVIRONMENT", "staging"),
        ("HASH_THREADS", "65"),
        ("LOG_LEVEL", "INFO"),
        ("LOG_LEVEL", ""),
        ("MAIL_FROM", ""),
        ("PUBLIC_URL", ""),
        ("RATE_LOGIN_PER_ACCOUNT", "10 in 15m"),
        ("SECRET_KEY", "short"),
        ("SMOKE_DOMAIN", "example.org"),
        ("TOKEN_AUDIENCE", ""),
    ],
)
def test_what_the_service_refuses_the_contract_refuses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    for setting in SETTINGS:
        monkeypatch.delenv(setting, raising=False)
    monkeypatch.setenv("VAR_DIR", str(tmp_path))
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSettingsError) as refused:
        load()
    assert {fault for fault, _ in refused.value.faults} == {name}
    assert {each.variable for each in check(CONTRACT, "dev", {name: value})} == {name}


def test_what_prod_requires_is_what_it_does_not_start_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    for name, value in (PRODUCTION | {"VAR_DIR": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    required = {each.name for each in CONTRACT.variables.values() if "prod" in each.required}
    assert required == PRODUCTION.keys() - {"ENVIRONMENT"}
    assert load().environment == "prod"
    assert check(CONTRACT, "prod", PRODUCTION) == ()
    for name in required:
        rest = {other: value for other, value in PRODUCTION.items() if other != name}
        monkeypatch.delenv(name)
        with pytest.raises(BadSettingsError, match=name):
            load()
        assert name in {each.variable for each in check(CONTRACT, "prod", rest)}
        monkeypatch.setenv(name, PRODUCTION[name])
