"""Secrets as files: the same secret as in the variable, and every way to get the file wrong is refused by name."""

import os
from pathlib import Path

import pytest

from dashtam.secret_files import SECRETS, BadSecretFileError, secret
from dashtam.settings import BadSettingsError, Settings, load
from tests.core.test_settings import PROD, SECRET

# Sound values, each with a word that must not be shown.
VALUES = {
    "SECRET_KEY": SECRET,
    "DATABASE_URL": "postgresql+asyncpg://dashtam:canary@db/dashtam",
    "SMTP_URL": "smtps://u:canary@mail.example.org",
    "SMOKE_TOKEN": SECRET[::-1],
}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the machine's own environment counts here."""
    for name in (*map(str.upper, Settings.model_fields), *(f"{name}_FILE" for name in SECRETS)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VAR_DIR", str(tmp_path / "var"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "secret"


def test_every_secret_setting_can_be_a_file() -> None:
    hidden = {
        name.upper() for name, field in Settings.model_fields.items() if "Secret" in str(field.annotation)
    }
    assert set(SECRETS) == hidden | {"DATABASE_URL"} == VALUES.keys()


@pytest.mark.parametrize(("start", "ending"), [(b"", b""), (b"", b"\n"), (b"\xef\xbb\xbf", b"\r\n")])
@pytest.mark.parametrize("name", SECRETS)
def test_the_setting_is_what_the_file_holds(
    monkeypatch: pytest.MonkeyPatch, file: Path, name: str, start: bytes, ending: bytes
) -> None:
    file.write_bytes(start + VALUES[name].encode() + ending)
    monkeypatch.setenv(f"{name}_FILE", str(file))
    found = getattr(load(), name.lower())
    assert (found if isinstance(found, str) else found.get_secret_value()) == VALUES[name]


def test_production_starts_with_all_secrets_in_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in (PROD | VALUES).items():
        if name in SECRETS:
            (tmp_path / name).write_text(f"{value}\n", encoding="utf-8")
            name, value = f"{name}_FILE", str(tmp_path / name)  # noqa: PLW2901  the variable beside it
        monkeypatch.setenv(name, value)
    assert load().secret_key.get_secret_value() == SECRET


@pytest.mark.parametrize("name", SECRETS)
def test_both_at_once_are_refused(monkeypatch: pytest.MonkeyPatch, file: Path, name: str) -> None:
    file.write_text(VALUES[name], encoding="utf-8")
    monkeypatch.setenv(f"{name}_FILE", str(file))
    monkeypatch.setenv(name, VALUES[name])
    assert refused() == {f"{name}_FILE": f"is set, and so is {name}: leave one of them out"}


def test_a_file_that_is_no_good_is_refused_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    monkeypatch.setenv("SECRET_KEY_FILE", str(file))
    assert refused() == {"SECRET_KEY_FILE": "names a file that cannot be read: No such file or directory"}
    for content in (b"", b"\n", b"\r\n\n"):
        file.write_bytes(content)
        assert refused() == {"SECRET_KEY_FILE": "names a file that is empty"}
    file.write_bytes(b"canary\xff" * 8)
    assert refused() == {"SECRET_KEY_FILE": "names a file that cannot be read: it is not text"}
    file.write_bytes(b"canary 0123456789" * 8000)
    assert refused() == {"SECRET_KEY_FILE": "names a file that is too long to be a secret"}
    monkeypatch.setenv("SECRET_KEY_FILE", str(file.parent))
    assert refused() == {"SECRET_KEY_FILE": "names something that is not a file"}
    monkeypatch.setenv("SECRET_KEY_FILE", "canary" * 1000)
    assert refused() == {"SECRET_KEY_FILE": "names a file that cannot be read: File name too long"}


def test_a_pipe_is_refused_and_not_waited_for(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    os.mkfifo(file)
    monkeypatch.setenv("SMOKE_TOKEN_FILE", str(file))
    assert refused() == {"SMOKE_TOKEN_FILE": "names something that is not a file"}


def test_a_secret_in_a_file_must_be_as_strong_as_any(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    file.write_text("canary", encoding="utf-8")
    monkeypatch.setenv("SECRET_KEY_FILE", str(file))
    assert refused().keys() == {"SECRET_KEY"}


def test_faults_of_files_and_of_settings_are_named_together_and_a_missing_secret_once(
    monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    for name, value in (PROD | {"DEBUG": "true", "SECRET_KEY": "", "SECRET_KEY_FILE": str(file)}).items():
        monkeypatch.setenv(name, value)
    assert refused().keys() == {"SECRET_KEY_FILE", "DEBUG"}


def test_a_variable_left_empty_is_not_set(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    file.write_text(SECRET, encoding="utf-8")
    for name in SECRETS:
        monkeypatch.setenv(f"{name}_FILE", "")
    assert load().database.startswith("sqlite")
    monkeypatch.setenv("SECRET_KEY_FILE", str(file))
    monkeypatch.setenv("SECRET_KEY", "")
    assert load().secret_key.get_secret_value() == SECRET


def test_a_secret_alone_is_read_in_the_same_way(file: Path) -> None:
    file.write_text("quiet canary\n", encoding="utf-8")
    assert secret("TOKEN", {}) is None
    assert secret("TOKEN", {"TOKEN": "canary"}) == "canary"
    assert secret("TOKEN", {"TOKEN_FILE": str(file)}) == "quiet canary"
    with pytest.raises(BadSecretFileError, match="TOKEN_FILE: is set, and so is TOKEN"):
        secret("TOKEN", {"TOKEN_FILE": str(file), "TOKEN": "canary"})


def refused() -> dict[str, str]:
    """What is wrong, by variable; nothing of it is a value."""
    with pytest.raises(BadSettingsError) as caught:
        load()
    assert "canary" not in f"{caught.value}{caught.value!r}"
    assert SECRET not in f"{caught.value}{caught.value!r}"
    return dict(caught.value.faults)
