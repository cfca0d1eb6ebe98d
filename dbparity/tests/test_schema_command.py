"""`dbparity schema`: its words, its exit codes, and where it takes database, models and migrations from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from migrated import MODELS, TESTS, Project

from dbparity.cli import main
from dbparity.schema import Verdict
from dbparity.schema.command import CODES

if TYPE_CHECKING:
    from pathlib import Path

    from dbparity.testing.postgres import PrivateCluster

SETTINGS = """
[tool.dbparity]
metadata = "migrated:MODELS"
database_url = "{url}"
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    url = f"sqlite:///{tmp_path}/shop.db"
    (tmp_path / "pyproject.toml").write_text(SETTINGS.format(url=url))
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path, url).usual()


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    data: dict[str, object] = json.loads(capsys.readouterr().out)
    return data


def test_a_sound_database_is_ready_and_the_exit_code_zero(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.alembic("upgrade head")

    assert main(["schema"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("ready: the tables match the models\n")
    assert "assumed    migrations = alembic.ini" in printed
    assert main(["schema", "--json"]) == 0
    data = told(capsys)
    assert (data["verdict"], data["applied"], data["assumed"]) == (
        "ready",
        ["r2"],
        ["migrations = alembic.ini"],
    )


def test_a_false_one_is_told_with_its_remedy_and_has_a_code_of_its_own(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    project.alembic("stamp head")

    assert main(["schema"]) == CODES[Verdict.STAMPED_BUT_EMPTY] == 12
    printed = capsys.readouterr().out
    assert printed.startswith("stamped-but-empty: alembic_version says r2")
    assert "alembic stamp --purge base\n" in printed


def test_every_verdict_has_its_own_exit_code_and_only_ready_has_zero() -> None:
    assert set(CODES) == set(Verdict)
    assert len(set(CODES.values())) == len(Verdict)
    assert [verdict for verdict, code in CODES.items() if code == 0] == [Verdict.READY]
    assert min(code for code in CODES.values() if code) > 3


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_options_come_before_the_configuration_and_any_driver_will_do(
    project: Project, cluster: PrivateCluster, driver: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with cluster.database() as url:
        other = url.replace("+asyncpg", f"+{driver}")
        options = ["--json", "--url", other, "--metadata", "migrated:MODELS", "--migrations", "alembic.ini"]
        project.write_ini(url)
        code = main(["schema", *options])
        data = told(capsys)

    assert (code, data["verdict"]) == (CODES[Verdict.EMPTY], "empty")
    assert str(data["database"]).startswith(f"postgresql+{driver}://postgres:***@")
    assert cluster.password not in json.dumps(data)


def test_the_url_may_be_kept_in_a_variable(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.alembic("upgrade head")
    monkeypatch.setenv("SHOP_DATABASE", project.url.replace("sqlite:", "sqlite+aiosqlite:"))

    assert main(["schema", "--url", "env:SHOP_DATABASE"]) == 0


def test_a_folder_that_is_not_the_working_one_may_be_named(
    project: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.alembic("upgrade head")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))

    assert main(["schema", "--root", str(project.folder)]) == 0


def test_tables_of_others_and_another_version_table_can_be_named(project: Project) -> None:
    project.alembic("upgrade head")
    project.execute("CREATE TABLE theirs (id INTEGER)", "ALTER TABLE alembic_version RENAME TO our_version")

    assert main(["schema", "--version-table", "our_version"]) == CODES[Verdict.DRIFT]
    assert main(["schema", "--version-table", "our_version", "--ignore-table", "theirs"]) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--metadata", "no_such_module:MODELS"], "cannot be imported"),
        (["--metadata", "migrated:USERS"], "a MetaData is needed"),
        (["--migrations", "nowhere.ini"], "The migrations cannot be read"),
        (["--url", "env:SHOP_UNSET"], "env:SHOP_UNSET is not set"),
        (["--url", "goose://x"], "URL cannot be used"),
    ],
)
def test_what_cannot_be_understood_is_a_usage_error(
    project: Project, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    project.alembic("upgrade head")

    assert main(["schema", *options]) == 2
    assert said in capsys.readouterr().err
    assert main(["schema", "--json", *options]) == 2
    data = told(capsys)
    assert data["verdict"] is None
    assert said in str(data["error"])


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_database_that_does_not_answer_has_a_code_of_its_own(
    project: Project, cluster: PrivateCluster, driver: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", "--url", cluster.url("no_such_database", driver)]) == 3
    assert "does not answer: " in (printed := capsys.readouterr().err)
    assert "no_such_database" in printed
    assert cluster.password not in printed


def test_a_file_that_is_not_there_is_not_made_by_asking(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["schema", "--url", f"sqlite:///{project.folder}/typo.db"]) == 3
    assert "There is no file" in capsys.readouterr().err
    assert not (project.folder / "typo.db").exists()


def test_a_command_that_does_not_exist_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schemes"]) == 2
    assert main([]) == 2
    assert "schema" in capsys.readouterr().err
    assert main(["schema", "--help"]) == 0
    assert "12  stamped-but-empty" in capsys.readouterr().out


def test_it_runs_as_a_program_of_its_own(project: Project) -> None:
    project.alembic("upgrade head")
    command = [sys.executable, "-m", "dbparity.cli", "schema", "--json"]
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["verdict"] == "ready"
    assert set(MODELS.tables) == {"users", "posts"}
