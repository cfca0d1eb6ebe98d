"""Settings: a bad one stops the start, by the name of its variable and never with its value."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from dashtam.settings import BadSettingsError, Settings, load, look, made_secret

SECRET = "Zk3vQx8pLw2nRt6yBs9dHf4gJm7cXa5eUo1i"
PROD = {
    "ENVIRONMENT": "prod",
    "SECRET_KEY": SECRET,
    "PUBLIC_URL": "https://auth.example.org",
    "MAIL_TRANSPORT": "smtp",
    "SMTP_URL": "smtps://mail.example.org",
    "DATABASE_URL": "postgresql://dashtam@db/dashtam",
}

# What is wrong with the environment, and the variable that must be named.
BAD: list[tuple[str, dict[str, str]]] = [
    ("ENVIRONMENT", {"ENVIRONMENT": "staging-canary"}),
    ("DEBUG", {"DEBUG": "canary"}),
    ("LOG_LEVEL", {"LOG_LEVEL": "canary"}),
    ("DATABASE_URL", {"DATABASE_URL": "mysql://u:canary@h/d"}),
    ("DATABASE_URL", {"DATABASE_URL": "sqlite:///:memory:canary"}),
    ("DATABASE_URL", {"DATABASE_URL": "sqlite:///"}),
    ("DATABASE_URL", {"DATABASE_URL": "canary"}),
    ("DATABASE_URL", {"DATABASE_URL": "postgresql://u:canary@h:54x32/d"}),
    ("DATABASE_URL", {"DATABASE_URL": "postgresql://u:canary@h:99999/d"}),
    ("DATABASE_URL", {"DATABASE_URL": "postgresql://u:canary@way@h/d"}),
    ("DATABASE_POOL_SIZE", {"DATABASE_POOL_SIZE": "0"}),
    ("DATABASE_POOL_SIZE", {"DATABASE_POOL_SIZE": "many-canary"}),
    ("SECRET_KEY", {"SECRET_KEY": "canary-too-short"}),
    ("SECRET_KEY", {"SECRET_KEY": "canaryaa" * 10}),
    ("SECRET_KEY", {"SECRET_KEY": "change-me-canary-" + SECRET}),
    ("API_V1_PREFIX", {"API_V1_PREFIX": "canary/v1"}),
    ("API_V1_PREFIX", {"API_V1_PREFIX": "/canary/"}),
    ("API_V1_PREFIX", {"API_V1_PREFIX": ""}),
    ("PUBLIC_URL", {"PUBLIC_URL": "ftp://canary"}),
    ("PUBLIC_URL", {"PUBLIC_URL": "canary.example.org"}),
    ("PUBLIC_URL", {"PUBLIC_URL": "https://user:canary@example.org"}),
    ("PUBLIC_URL", {"PUBLIC_URL": "https://example.org/?canary"}),
    ("PUBLIC_URL", {"PUBLIC_URL": "https://[canary"}),
    ("PUBLIC_URL", {"PUBLIC_URL": "https://example.org:canary"}),
    ("PUBLIC_URL", {"PUBLIC_URL": "https://example.org:99999"}),
    ("PUBLIC_URL", {"PUBLIC_URL": "https://canary..example.org"}),
    ("PUBLIC_URL", {"PUBLIC_URL": "https://canary example.org"}),
    ("TRUSTED_PROXIES", {"TRUSTED_PROXIES": "10.0.0.0/8,canary"}),
    ("TRUSTED_PROXIES", {"TRUSTED_PROXIES": "0.0.0.0/0"}),
    ("TRUSTED_PROXIES", {"TRUSTED_PROXIES": "*"}),
    ("MAIL_TRANSPORT", {"MAIL_TRANSPORT": "pigeon-canary"}),
    ("SMTP_URL", {"MAIL_TRANSPORT": "smtp"}),
    ("SMTP_URL", {"MAIL_TRANSPORT": "smtp", "SMTP_URL": "http://u:canary@h"}),
    ("SIGNING_ALGORITHM", {"SIGNING_ALGORITHM": "HS256-canary"}),
    ("KEY_PUBLISH_SECONDS", {"KEY_PUBLISH_SECONDS": "359"}),
    ("SMOKE_DOMAIN", {"SMOKE_DOMAIN": "example.org"}),
    ("SMOKE_DOMAIN", {"SMOKE_DOMAIN": "invalid"}),
    ("SMOKE_DOMAIN", {"SMOKE_DOMAIN": ""}),
    ("TOKEN_AUDIENCE", {"TOKEN_AUDIENCE": ""}),
    ("ACCESS_TOKEN_SECONDS", {"ACCESS_TOKEN_SECONDS": "601"}),
    ("REFRESH_REPLAY_SECONDS", {"REFRESH_REPLAY_SECONDS": "-1"}),
    ("SESSION_IDLE_SECONDS", {"SESSION_IDLE_SECONDS": "7200", "SESSION_LIFETIME_SECONDS": "3600"}),
    ("SESSION_LIFETIME_SECONDS", {"SESSION_LIFETIME_SECONDS": "99999999999"}),
    ("VERIFY_TOKEN_SECONDS", {"VERIFY_TOKEN_SECONDS": "86401"}),
    ("RESET_TOKEN_SECONDS", {"RESET_TOKEN_SECONDS": "3601"}),
    ("PASSWORD_MIN_LENGTH", {"PASSWORD_MIN_LENGTH": "7"}),
    ("ARGON2_MEMORY_KIB", {"ARGON2_MEMORY_KIB": "1024"}),
    ("ARGON2_MEMORY_KIB", {"ARGON2_MEMORY_KIB": "19455"}),
    ("ARGON2_TIME_COST", {"ARGON2_TIME_COST": "0"}),
    ("ARGON2_PARALLELISM", {"ARGON2_PARALLELISM": "99"}),
    ("HASH_THREADS", {"HASH_THREADS": "-1"}),
    ("HASH_QUEUE", {"HASH_QUEUE": "0"}),
    ("RATE_LOGIN_PER_ACCOUNT", {"RATE_LOGIN_PER_ACCOUNT": "canary"}),
    ("RATE_LOGIN_ACCOUNT_TOTAL", {"RATE_LOGIN_ACCOUNT_TOTAL": "0/15m"}),
    ("RATE_LOGIN_PER_SOURCE", {"RATE_LOGIN_PER_SOURCE": "10/15 canaries"}),
    ("RATE_REGISTER_PER_SOURCE", {"RATE_REGISTER_PER_SOURCE": "-1/1h"}),
    ("RATE_MAIL_PER_ADDRESS", {"RATE_MAIL_PER_ADDRESS": ""}),
    ("SMOKE_TOKEN", {"SMOKE_TOKEN": "canary"}),
    ("SECRET_KEY", {**PROD, "SECRET_KEY": ""}),
    ("DEBUG", {**PROD, "DEBUG": "true"}),
    ("PUBLIC_URL", {**PROD, "PUBLIC_URL": "http://canary.example.org"}),
    ("MAIL_TRANSPORT", {**PROD, "MAIL_TRANSPORT": "mailbox"}),
    ("SMTP_PLAINTEXT", {**PROD, "SMTP_PLAINTEXT": "true"}),
]
SECRETS = ("canary", SECRET)


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the machine's own environment counts here."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("VAR_DIR", str(tmp_path / "var"))


@pytest.mark.parametrize(("name", "environment"), BAD)
def test_a_bad_setting_is_named_and_its_value_never_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, environment: dict[str, str]
) -> None:
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(BadSettingsError) as caught:
        load()
    assert [fault[0] for fault in caught.value.faults] == [name]
    said = f"{caught.value}{caught.value!r}{caught.value.faults}"
    assert not any(secret in said for secret in SECRETS)
    assert caught.value.__cause__ is None, "a traceback would show what Pydantic says"
    assert caught.value.__suppress_context__


def test_all_bad_settings_are_named_together(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("HASH_QUEUE", "0"), ("DEBUG", "canary"), ("PUBLIC_URL", "canary")):
        monkeypatch.setenv(name, value)
    with pytest.raises(BadSettingsError) as caught:
        load()
    assert {name for name, _ in caught.value.faults} == {"HASH_QUEUE", "DEBUG", "PUBLIC_URL"}


def test_the_sound_twins_load(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load().environment == "dev"
    for name, value in PROD.items():
        monkeypatch.setenv(name, value)
    settings = load()
    assert settings.database == "postgresql+asyncpg://dashtam@db/dashtam"
    assert not settings.docs_on
    monkeypatch.setenv("ARGON2_MEMORY_KIB", "47104")
    monkeypatch.setenv("ARGON2_TIME_COST", "1")
    monkeypatch.setenv("RATE_LOGIN_PER_ACCOUNT", " 7/2h ")
    monkeypatch.setenv("TRUSTED_PROXIES", "10.0.0.0/8, ::1")
    monkeypatch.setenv("DATABASE_URL", "postgres://u:pa/ss+w==@[::1]:5432/d?host=/run")
    monkeypatch.setenv("PUBLIC_URL", "https://[2001:db8::1]:8443/")
    settings = load()
    assert settings.database == "postgresql+asyncpg://u:pa/ss+w==@[::1]:5432/d?host=/run"
    assert settings.public_url == "https://[2001:db8::1]:8443"
    assert settings.rate_login_per_account == (7, 7200)
    assert [str(network) for network in settings.proxies] == ["10.0.0.0/8", "::1/128"]


def test_settings_are_frozen_and_show_no_secret() -> None:
    settings = load(secret_key=SECRET, smoke_token=SECRET[::-1], smtp_url="smtp://u:canary@h")
    with pytest.raises(ValidationError):
        settings.debug = True  # type: ignore[misc]
    shown = repr(settings) + str(settings) + settings.model_dump_json()
    for secret in (SECRET, SECRET[::-1], "canary"):
        assert secret not in shown


def test_every_setting_says_what_it_is_for() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_outside_prod_a_secret_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    first = load(var_dir=tmp_path / "new").secret_key.get_secret_value()
    assert len(first) >= 32
    assert load(var_dir=tmp_path / "new").secret_key.get_secret_value() == first
    kept = tmp_path / "new" / "secret_key"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in kept.parent.iterdir()] == ["secret_key"]
    kept.write_text("short", encoding="ascii")
    with pytest.raises(BadSettingsError, match="SECRET_KEY: the one kept in VAR_DIR"):
        made_secret(tmp_path / "new")
    kept.write_bytes(b"\xff" * 40)
    with pytest.raises(BadSettingsError, match="VAR_DIR: cannot keep"):
        made_secret(tmp_path / "new")


def test_to_look_makes_nothing_and_finds_what_the_start_would(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    assert look(var_dir=folder).secret_key.get_secret_value() == ""
    assert not folder.exists()
    made = load(var_dir=folder).secret_key
    assert look(var_dir=folder).secret_key == made
    (folder / "secret_key").unlink()
    (folder / "secret_key").symlink_to(folder / "gone")
    for start in (look, load):
        with pytest.raises(
            BadSettingsError, match="VAR_DIR: cannot keep secret_key there: FileNotFoundError"
        ):
            start(var_dir=folder)
    assert [path.name for path in folder.iterdir()] == ["secret_key"]


def test_a_folder_that_may_not_be_looked_into_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o000)
    try:
        if os.access(tmp_path, os.X_OK):
            pytest.skip("this user may look anywhere")
        with pytest.raises(BadSettingsError, match="VAR_DIR: cannot keep secret_key there: PermissionError"):
            look(var_dir=tmp_path)
    finally:
        tmp_path.chmod(0o700)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadSettingsError, match="VAR_DIR"):
        load(var_dir=tmp_path / "file" / "var")


def test_a_process_does_not_start_with_a_bad_setting(tmp_path: Path) -> None:
    """In plain words, with exit code 2, before anything listens; well under two seconds on an idle machine."""
    environment = {
        **os.environ,
        "VAR_DIR": str(tmp_path),
        "DATABASE_URL": "mysql://u:canary@h/d",
        "SECRET_KEY": "canary",
    }
    run = subprocess.run(
        [sys.executable, "-m", "dashtam", "serve", "--port", "1"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 2, run.stderr
    assert "DATABASE_URL" in run.stderr
    assert "SECRET_KEY" in run.stderr
    for leak in ("canary", "mysql", "Traceback"):
        assert leak not in run.stdout + run.stderr
