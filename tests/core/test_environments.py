"""The committed environment files: a difference between them is found by name, and they are what runs."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dashtam.contract import contract_path
from dashtam.secret_files import SECRETS
from dashtam.settings import BadSettingsError, Settings, load
from dbparity.cli import main
from dbparity.environment import check, load_contract, read_file
from tests.conftest import ENV_FILE

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
OURS = {name.upper() for name in Settings.model_fields} | {f"{name}_FILE" for name in SECRETS}
FILLED_IN = {
    "PUBLIC_URL": "https://auth.example.org",
    "SECRET_KEY": "Zk3vQx8pLw2nRt6yBs9dHf4gJm7cXa5eUo1i",
    "SMTP_URL": "smtps://mail.example.org",
    "MAIL_FROM": "'Dashtam <no-reply@example.org>'",
}


def called(*command: str | Path, folder: Path = ROOT, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run a command with none of the settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if name not in OURS}
    return subprocess.run(
        [str(each) for each in command],
        cwd=folder,
        env=kept | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the real files, to be broken, and in it what `make check` runs."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "env", tmp_path / "env")
    (tmp_path / "pyproject.toml").write_text('[tool.dbparity]\nenv_contract = "env/contract.toml"\n')
    return tmp_path


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[dict[str, str]], Settings]:
    """The settings of a process that has these variables and no other."""

    def under(values: dict[str, str]) -> Settings:
        for name in OURS:
            monkeypatch.delenv(name, raising=False)
        for name, value in (values | {"VAR_DIR": str(tmp_path)}).items():
            monkeypatch.setenv(name, value)
        return load()

    return under


def test_make_check_compares_the_files_and_finds_them_as_declared(copy: Path) -> None:
    planned = called("make", "--dry-run", "--always-make", "check").stdout.splitlines()
    assert ".venv/bin/dbparity env" in planned
    done = called(BIN / "dbparity", "env", folder=copy)
    assert (done.returncode, done.stderr) == (0, "")
    files = "env/.env.dev, env/.env.test, env/.env.ci, env/.env.prod.example"
    assert done.stdout.startswith(f"As declared: {files} against env/contract.toml (")


@pytest.mark.parametrize("other", [".env.test", ".env.ci"])
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("API_V1_PREFIX=/api/v1\n", "", "{place}: API_V1_PREFIX is not set here, and is in"),
        ("LOG_LEVEL=info\n", "", "{place}: LOG_LEVEL is not set here, and is in"),
        ("DEBUG=false", "DEBUG=true", "{place}:{line}: DEBUG is true, and false in"),
        ("=/api/v1", "=/api/v2", "{place}:{line}: API_V1_PREFIX is /api/v2, and /api/v1 in"),
        ("DEBUG=false", "DEBUG=false\nTOKEN_AUDIENCE=us", "TOKEN_AUDIENCE is set here, and not in"),
        ("DEBUG=false", "DEBUG=false\nDEBUGGING=true", "DEBUGGING is not declared; DEBUG is"),
        ("DEBUG=false", "DEBUG=false\nSECRET_KEY=canary-canary-canary-canary-canary", "SECRET_KEY is a secret"),
    ],
)  # fmt: skip
def test_an_undeclared_difference_fails_by_name(
    copy: Path, capsys: pytest.CaptureFixture[str], other: str, old: str, new: str, said: str
) -> None:
    path = copy / "env" / other
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    line = text[: text.index(old.removesuffix("\n"))].count("\n") + 1
    assert main(["env"]) == 1
    printed = capsys.readouterr().out
    assert said.format(place=f"env/{other}", line=line) in printed
    assert "canary" not in printed


@pytest.mark.parametrize("name", ["dev", "test", "ci"])
def test_the_service_runs_under_each_file(bare: Callable[[dict[str, str]], Settings], name: str) -> None:
    settings = bare(read_file(ROOT / "env" / f".env.{name}").values)
    assert settings.environment == name
    assert not settings.debug
    assert settings.api_v1_prefix == Settings.model_fields["api_v1_prefix"].default


def test_the_example_is_refused_until_it_is_filled_in_and_then_runs(
    bare: Callable[[dict[str, str]], Settings], tmp_path: Path
) -> None:
    filled = tmp_path / "dashtam.env"
    text = (ROOT / "env" / ".env.prod.example").read_text()
    filled.write_text(text)
    with pytest.raises(BadSettingsError) as refused:
        bare(read_file(filled).values)
    # Pydantic looks at settings together only once each is well-formed by itself.
    assert {name for name, _ in refused.value.faults} == {"PUBLIC_URL", "MAIL_FROM"}
    for name, value in FILLED_IN.items():
        assert f"\n{name}=\n" in text
        text = text.replace(f"\n{name}=\n", f"\n{name}={value}\n")
        filled.write_text(text)
        if name != "MAIL_FROM":
            with pytest.raises(BadSettingsError):
                bare(read_file(filled).values)
    assert bare(read_file(filled).values).environment == "prod"
    contract = load_contract(contract_path())
    assert check(contract, "prod", read_file(filled).values) == ()
    done = called(BIN / "dbparity", "env", filled)
    assert (done.returncode, done.stderr) == (0, "")


def test_these_tests_run_under_the_file_of_their_environment() -> None:
    """Unless whoever runs them has set another value."""
    assert (".env.ci" if os.environ.get("CI") == "true" else ".env.test") == ENV_FILE
    assert os.environ.keys() >= read_file(ROOT / "env" / ENV_FILE).values.keys()


def test_ci_decides_which_file_that_is() -> None:
    other, environment = ("", "test") if ENV_FILE == ".env.ci" else ("true", "ci")
    script = "import os, tests.conftest; print(os.environ['ENVIRONMENT'], os.environ['DEBUG'])"
    done = called(sys.executable, "-c", script, CI=other, DEBUG="1", PYTHONPATH=str(ROOT))
    assert done.stdout == f"{environment} 1\n", done.stderr


def test_make_up_runs_under_the_file_of_developers_and_what_is_set_wins() -> None:
    planned = called("make", "--dry-run", "up").stdout
    under = [".venv/bin/python", "scripts/under.py", "env/.env.dev"]
    assert f"{' '.join(under)} .venv/bin/dashtam up --port 8000" in planned
    script = "import os; print(os.environ['ENVIRONMENT'], os.environ['LOG_LEVEL'])"
    done = called(sys.executable, *under[1:], sys.executable, "-c", script, LOG_LEVEL="error")
    assert (done.stdout, done.stderr) == ("dev error\n", "")
    done = called(sys.executable, under[1], "env/.env.nowhere", "true")
    assert (done.returncode, done.stderr) == (
        1,
        "env/.env.nowhere: cannot be read: No such file or directory\n",
    )
    done = called(sys.executable, *under[1:], "no-such-program")
    assert (done.returncode, done.stderr) == (1, "no-such-program: No such file or directory\n")


def test_the_contract_is_in_what_is_installed(tmp_path: Path) -> None:
    """In the wheel, also in one that is built from the source distribution."""
    build: list[str | Path] = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--directory",
        tmp_path,
        "--target",
    ]
    assert called(*build, "sdist").returncode == 0
    (archive,) = tmp_path.glob("*.tar.gz")
    subprocess.run(["tar", "-xzf", archive, "-C", tmp_path], check=True)
    source = tmp_path / archive.name.removesuffix(".tar.gz")
    done = called(*build, "wheel", folder=source)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        for name in packed.namelist():
            packed.extract(name, tmp_path / "installed")
    script = "import dashtam.contract as it; print(it.contract_path())"
    done = called(sys.executable, "-c", script, folder=tmp_path, PYTHONPATH=str(tmp_path / "installed"))
    path = Path(done.stdout.strip())
    assert path == tmp_path / "installed" / "dashtam" / "contract.toml"
    assert path.read_bytes() == (ROOT / "env" / "contract.toml").read_bytes()
