"""`dbparity env`: which files it takes, what it prints, its exit codes, and that it shows no secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from declared import CANARY, FILES, written

from dbparity.cli import main

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURED = '[tool.dbparity]\nenv_contract = "env/contract.toml"\n'
CI = FILES[".env.ci"]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a contract, in which commands are run; no variable of this machine counts."""
    written(tmp_path / "env")
    (tmp_path / "pyproject.toml").write_text(CONFIGURED)
    monkeypatch.chdir(tmp_path)
    for name in ("STAGE", "DEBUG", "API_PREFIX", "POOL_SIZE", "SECRET", "SECRET_FILE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_without_words_the_files_of_the_configured_contract(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env"]) == 0
    files = "env/.env.test, env/.env.ci, env/.env.prod.example"
    assert capsys.readouterr().out == f"As declared: {files} against env/contract.toml (7 variables).\n"


def test_a_name_that_the_terminal_cannot_show_is_written_out(project: Path) -> None:
    environ = {
        **os.environ,
        "STAGE": "ci",
        "API_PREFIX": "/api",
        "SHOP_\udcff": "x",
        "PYTHONIOENCODING": "utf-8:strict",
    }
    command = [
        sys.executable,
        "-c",
        "import dbparity.cli; raise SystemExit(dbparity.cli.main())",
        "env",
        "--process",
    ]
    said = subprocess.run(command, cwd=project, env=environ, capture_output=True, check=False, timeout=20)
    assert (said.returncode, said.stderr) == (1, b"")
    assert b"this process: SHOP_\\udcff is not declared" in said.stdout


def test_violations_are_lines_with_their_remedies_and_exit_code_1(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "env" / ".env.ci").write_text(CI.replace("=no", "=yes").replace("/api", "/v2"))
    assert main(["env", "env/.env.test", "env/.env.ci", "--contract", "env/contract.toml"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "env/.env.ci:3: DEBUG is true, and false in env/.env.test; no reason is stated for ci",
        "env/.env.ci:4: API_PREFIX is /v2, and /api in env/.env.test; no reason is stated for ci",
        "  -> differs: Give it the value of the others, or state the reason in the contract, under `differs`.",
        "2 violations: env/.env.test, env/.env.ci against env/contract.toml.",
    ]


def test_json_says_the_same_to_programs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "env" / ".env.ci").write_text(f"{CI}SECRET={CANARY}\n")
    assert main(["env", "--json"]) == 1
    printed = capsys.readouterr().out
    told = json.loads(printed)
    (violation,) = told["violations"]
    assert (violation["kind"], violation["variable"], violation["environment"]) == ("secret", "SECRET", "ci")
    assert (violation["where"], violation["line"]) == ("env/.env.ci", 5)
    assert told["compared"] == ["env/.env.test", "env/.env.ci", "env/.env.prod.example"]
    assert CANARY not in printed


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_process_is_compared_by_names_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], form: list[str]
) -> None:
    for name, value in (("STAGE", "ci"), ("API_PREFIX", "/canary"), ("SECRET", "canary")):
        monkeypatch.setenv(name, value)
    assert main(["env", "--process", *form]) == 1
    printed = capsys.readouterr().out
    assert "API_PREFIX" in printed
    assert "SECRET" in printed
    assert "canary" not in printed
    monkeypatch.setenv("API_PREFIX", "/api")
    monkeypatch.setenv("SECRET", CANARY)
    assert main(["env", "--process", "env/.env.ci", *form]) == 0


def test_what_cannot_be_read_is_exit_code_2_by_name(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["env", "nowhere.env"]) == 2
    assert capsys.readouterr().err == "dbparity env: nowhere.env: cannot be read: No such file or directory\n"
    (project / "env" / ".env.ci").unlink()
    assert main(["env"]) == 2
    missing = "env/.env.ci: is not there, and env/contract.toml names it"
    assert capsys.readouterr().err == f"dbparity env: {missing}\n"
    assert main(["env", "--json"]) == 2
    assert json.loads(capsys.readouterr().out) == {"violations": None, "error": missing}


def test_without_a_contract_it_says_how_to_name_one(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "pyproject.toml").write_text("[tool.dbparity]\n")
    assert main(["env"]) == 2
    assert "Say --contract PATH, or env_contract in [tool.dbparity]" in capsys.readouterr().err
    assert main(["env", "--contract", "env/nowhere.toml"]) == 2
    assert "env/nowhere.toml: cannot be read" in capsys.readouterr().err


def test_the_library_needs_nothing_but_python() -> None:
    """A program may read an environment before it imports anything else."""
    script = "import sys; import dbparity.environment; print(*sys.modules)"
    command = [sys.executable, "-c", script]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert "dbparity.environment.checking" in loaded
    assert {"sqlalchemy", "alembic", "pytest"}.isdisjoint(loaded)
