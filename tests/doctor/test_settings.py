"""What the doctor says of settings, secrets and the guards of passwords."""

from pathlib import Path
from typing import Any

import pytest

from dashtam.doctor.check import Verdict
from dashtam.doctor.inside import guards, secret_values, settings
from dashtam.doctor.inside.secret_values import variety_bits
from dashtam.doctor.inside.settings import breaches
from dashtam.doctor.local import Local, local
from dbparity.environment import BadEnvironmentError
from tests.doctor.asking import answer, complaints
from tests.doctor.deployments import DEV, DOCTOR_SECRET, PROD, answered, answers, examined

FASTAPI_SAMPLE = "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"
plants = pytest.mark.plants
Variables = dict[str, str]
Given = dict[str, Any]


async def test_a_sound_deployment_gets_no_complaint(sound: Local):
    assert await complaints(sound) == {}


@pytest.mark.parametrize("kind", [DEV, PROD], ids=["dev", "prod"])
async def test_sound_settings_of_any_kind_get_no_complaint(tmp_path: Path, kind: Given):
    async with examined(tmp_path, **kind) as here:
        found = await answers(here, (*settings.CHECKS, *secret_values.CHECKS, *guards.CHECKS))
    assert {name: each for name, each in found.items() if each.verdict is not Verdict.OK} == {}


@plants("settings.valid")
async def test_bad_settings_are_named_and_no_value_is_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATABASE_POOL_SIZE", "0")
    monkeypatch.setenv("SECRET_KEY", "too-short-7xq")
    async with local() as here:
        found = await answer(here, "settings.valid")
        others = {name for name, each in (await complaints(here)).items() if each.verdict is Verdict.FAILURE}
    assert found.verdict is Verdict.FAILURE
    assert "DATABASE_POOL_SIZE " in found.evidence
    assert "SECRET_KEY must be at least 32 bytes" in found.evidence
    assert "7xq" not in found.evidence
    assert "docs/reference/settings.md" in found.remedy
    assert others == {"settings.valid"}


@plants("settings.names")
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SMPT_URL", "SMTP_URL"),
        ("DATABSE_URL", "DATABASE_URL"),
        ("ALLOWED_HOST", "ALLOWED_HOSTS"),
        ("DASHTAM_LOG_LEVEL", "LOG_LEVEL"),
        ("PUBLIC_URL_FILE", "PUBLIC_URL"),
        ("SECRET_KEYFILE", "SECRET_KEY_FILE"),
    ],
)
async def test_a_misspelt_setting_is_told_with_what_was_meant(tmp_path: Path, name: str, meant: str):
    found = await answered("settings.names", tmp_path, {name: "value-of-it"}, environment="dev")
    assert found.verdict is Verdict.WARNING
    assert f"{name} is not read ({meant} is)" in found.evidence
    assert "value-of-it" not in found.evidence
    assert "Rename the variable" in found.remedy


@pytest.mark.parametrize(
    "others",
    [
        {"DATABASE_USER": "ada", "HOSTNAME": "box", "MAIL": "/var/mail/ada", "PGHOST": "db", "HOST": "box"},
        {"DATABASE_URI": "another program's", "DATABASE_URL": "sqlite:////x"},
        {"log_level": "info"},
    ],
    ids=["unlike", "alike, beside the right one", "lower case is read"],
)
async def test_the_variables_of_others_are_let_be(tmp_path: Path, others: Variables):
    assert (await answered("settings.names", tmp_path, others)).verdict is Verdict.OK


@plants("settings.contract")
async def test_a_variable_that_the_contract_does_not_allow_is_told(tmp_path: Path):
    found = await answered("settings.contract", tmp_path, {"API_V1_PREFIX": "/v9"}, environment="test")
    assert found.verdict is Verdict.WARNING
    assert "API_V1_PREFIX is not what" in found.evidence
    assert "env/contract.toml" in found.remedy


async def test_a_contract_that_cannot_be_read_is_not_taken_for_kept(tmp_path: Path):
    contract = tmp_path / "contract.toml"
    contract.write_text("[variables.X]\ntype = 'colour'\n", encoding="utf-8")
    with pytest.raises(BadEnvironmentError):
        breaches(contract, "dev", {})


SHARED = "w6mJq2Rz8vTnLx4kPd9sHb7cFg3yUa5e"
FAULTS = [
    pytest.param(
        "settings.lifetimes",
        {"session_idle_seconds": 300},
        Verdict.WARNING,
        "sessions end unused after 300 s, before an access token of 600 s",
        "SESSION_IDLE_SECONDS",
        marks=plants("settings.lifetimes"),
    ),
    pytest.param(
        "settings.hosts",
        {"allowed_hosts": "ok.example.org,*.example.org,https://x.example.org,box:8000,::1"},
        Verdict.WARNING,
        "no request ever matches '*.example.org', 'https://x.example.org', 'box:8000', '::1'",
        "whole host names",
        marks=plants("settings.hosts"),
    ),
    pytest.param(
        "settings.log_level",
        PROD | {"log_level": "debug"},
        Verdict.WARNING,
        "LOG_LEVEL is debug in prod",
        "LOG_LEVEL=info",
        marks=plants("settings.log_level"),
    ),
    pytest.param(
        "secrets.strength",
        {"secret_key": FASTAPI_SAMPLE},
        Verdict.FAILURE,
        "SECRET_KEY is a sample that is published",
        "openssl rand",
        marks=plants("secrets.strength"),
    ),
    pytest.param(
        "secrets.strength",
        {"smoke_token": "0123456789abcdef0123456789abcdef"},
        Verdict.FAILURE,
        "SMOKE_TOKEN is too regular to be made by chance",
        "openssl rand",
    ),
    pytest.param(
        "secrets.apart",
        {"secret_key": SHARED, "database_url": f"postgresql://dashtam:{SHARED}@127.0.0.1:1/dashtam"},
        Verdict.FAILURE,
        "SECRET_KEY and the password in DATABASE_URL",
        "each its own",
        marks=plants("secrets.apart"),
    ),
    pytest.param(
        "secrets.passwords",
        PROD | {"database_url": "postgresql://dashtam:dashtam-dashtam@127.0.0.1:1/dashtam"},
        Verdict.WARNING,
        "the password in DATABASE_URL is short, common or made of the user's name",
        "at least 12 characters",
        marks=plants("secrets.passwords"),
    ),
    pytest.param(
        "secrets.passwords",
        PROD | {"smtp_url": "smtp://mailer:hunter2@127.0.0.1:1"},
        Verdict.WARNING,
        "the password in SMTP_URL",
        "at least 12 characters",
    ),
    pytest.param(
        "guards.password_length",
        PROD | {"password_min_length": 8},
        Verdict.WARNING,
        "8 characters; NIST SP 800-63B-4 asks for 15",
        "PASSWORD_MIN_LENGTH=15",
        marks=plants("guards.password_length"),
    ),
    pytest.param(
        "guards.rates",
        PROD | {"rate_login_per_account": "10/1s"},
        Verdict.WARNING,
        "RATE_LOGIN_PER_ACCOUNT lets 36000 an hour through, by default 40",
        "come down",
        marks=plants("guards.rates"),
    ),
]


@pytest.mark.parametrize(("name", "given", "verdict", "evidence", "remedy"), FAULTS)
async def test_a_fault_is_found_told_and_no_secret_shown(
    tmp_path: Path, name: str, given: Given, verdict: Verdict, evidence: str, remedy: str
):
    found = await answered(name, tmp_path, **given)
    assert found.verdict is verdict
    assert evidence in found.evidence
    assert remedy in found.remedy
    told = found.evidence + found.remedy
    assert [secret for secret in (FASTAPI_SAMPLE, SHARED, "hunter2", "0123456789") if secret in told] == []


@pytest.mark.parametrize(
    "regular",
    [
        "abcdefghijklmnopqrstuvwxyz012345",
        "qwertyuiopasdfghjklzxcvbnm123456",
        "correcthorsecorrecthorsecorrecthorse",
        "MySuperSecretMySuperSecretMySuper1!",
    ],
)
def test_regular_secrets_are_worth_little(regular: str):
    assert variety_bits(regular) < 60


def test_secrets_made_by_chance_are_worth_enough():
    made = ["9f86d081884c7d659a2feaa0c55ad015", "aGVsbG8gd29ybGQhIQ7kq2ZrT0xvbW5QeXo1", DOCTOR_SECRET]
    assert [secret for secret in made if variety_bits(secret) < 80] == []
