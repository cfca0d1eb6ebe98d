"""The variables that the pages name are settings, and what they say about them holds."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from dashtam import secret_files
from dashtam.contract import contract_path
from dashtam.settings import BadSettingsError, Settings, load
from dbparity.environment import load_contract
from tests.docs.reading import ROOT, WRITTEN, blocks, codes, name, rows

OURS = {field.upper() for field in Settings.model_fields} | {f"{name}_FILE" for name in secret_files.SECRETS}
# Variables that are not the service's: of make, of the tests, of other programs, of the walk in getting-started.
OTHERS = {
    "ARGS",
    "PORT",
    "URL",
    "PYTHON",
    "WORKERS",
    "PIP_FLAGS",
    "UV_DEFAULT_INDEX",
    "COVERAGE_PROCESS_CONFIG",
    "ON_ERROR_STOP",  # psql
}
OTHERS |= {"CATALOGUE", "MAIL_PREPARERS"} | set(load_contract(contract_path()).variables)
VARIABLE = re.compile(r"[A-Z][A-Z0-9]*_[A-Z0-9_]+")
PRODUCTION = {
    "environment": "prod",
    "secret_key": "Zk3vQx8pLw2nRt6yBs9dHf4gJm7cXa5eUo1i",
    "public_url": "https://auth.example.org",
    "mail_transport": "smtp",
    "smtp_url": "smtp://mail.example.org:587",
}
# The page's phrase, the setting, and the value that the phrase gives.
SAID = [
    ("api-guide.md", "`/api/v1` unless set otherwise", "api_v1_prefix", "/api/v1"),
    ("api-guide.md", "need 15 characters by default (`PASSWORD_MIN_LENGTH`)", "password_min_length", 15),
    ("api-guide.md", '"expires_in": 600', "access_token_seconds", 600),
    ("api-guide.md", '"refresh_expires_in": 1209600', "session_idle_seconds", 1209600),
    ("api-guide.md", "For 10 seconds (`REFRESH_REPLAY_SECONDS`)", "refresh_replay_seconds", 10),
    ("api-guide.md", "for 14 days (`SESSION_IDLE_SECONDS`)", "session_idle_seconds", 14 * 86400),
    ("api-guide.md", "30 days after the login", "session_lifetime_seconds", 30 * 86400),
    ("getting-started.md", "Ten minutes later the access token is dead", "access_token_seconds", 600),
    ("journey.md", "`SMOKE_DOMAIN` (`journey.invalid`)", "smoke_domain", "journey.invalid"),
    ("journey.md", "`RATE_REGISTER_PER_SOURCE` (100 an hour)", "rate_register_per_source", (100, 3600)),
    ("operations.md", "`KEY_PUBLISH_SECONDS` (ten minutes)", "key_publish_seconds", 600),
    ("decisions/0004-async-end-to-end.md", "(19 MiB by default)", "argon2_memory_kib", 19 * 1024),
]


def unknown(text: str) -> set[str]:
    """The variables that a page names and nobody reads."""
    shell = " ".join(block.text for block in blocks(text, "sh"))
    named = {word for code in codes(text) for word in VARIABLE.findall(code)}
    return {word for word in named | set(VARIABLE.findall(shell)) if word not in OURS | OTHERS}


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_variables_of_a_page_exist(page: Path) -> None:
    assert unknown(page.read_text("utf-8")) == set()


def test_a_variable_that_does_not_exist_is_found() -> None:
    text = "Set `SECRET_KEY` and `JWT_SECRET=…`.\n\n```sh\nexport DATABASE_URI=postgresql://host/name\n```\n"
    assert unknown(text) == {"JWT_SECRET", "DATABASE_URI"}


@pytest.mark.parametrize(("page", "phrase", "field", "value"), SAID, ids=[phrase for _, phrase, *_ in SAID])
def test_a_default_that_a_page_tells_is_the_default(
    page: str, phrase: str, field: str, value: object
) -> None:
    text = " ".join((ROOT / "docs" / page).read_text("utf-8").split())
    assert phrase in text
    assert Settings.model_fields[field].default == value


def test_the_readme_names_what_production_needs() -> None:
    named = {word.strip("` ") for row in rows(read("README.md"), "variable") for word in row[0].split(",")}
    assert named <= OURS
    assert {field.upper() for field in PRODUCTION} <= named


def test_production_starts_with_what_the_pages_say_it_needs() -> None:
    assert load(**PRODUCTION).environment == "prod"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("secret_key", SecretStr("")),
        ("public_url", "http://auth.example.org"),
        ("mail_transport", "mailbox"),
        ("smtp_url", SecretStr("")),
        ("debug", True),
        ("smtp_plaintext", True),
    ],
)
def test_production_does_not_start_without_each_of_them(field: str, value: object) -> None:
    section = read("docs/operations.md").split("does not start unless")[1].split("The others have")[0]
    assert f"`{field.upper()}`" in section
    with pytest.raises(BadSettingsError) as refused:
        load(**{**PRODUCTION, field: value})
    assert [name for name, _ in refused.value.faults] == [field.upper()]


def test_a_bad_setting_is_refused_in_the_words_of_the_page(tmp_path: Path) -> None:
    environment = {**os.environ, "SECRET_KEY": "short", "PUBLIC_URL": "ftp://files", "VAR_DIR": str(tmp_path)}
    refused = subprocess.run(
        [sys.executable, "-m", "dashtam", "serve"],
        capture_output=True, text=True, check=False, timeout=30, env=environment,
    )  # fmt: skip
    assert refused.returncode == 2
    assert refused.stderr == blocks(read("docs/operations.md"), "text")[0].text


def read(page: str) -> str:
    return (ROOT / page).read_text("utf-8")
