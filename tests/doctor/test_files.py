"""What the doctor says of the files that a deployment keeps: whose they are, and who else gets at them."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashtam.doctor.check import Verdict
from dashtam.doctor.inside.files import CHECKS
from tests.doctor.deployments import DEV, PROD, answered, answers, examined

plants = pytest.mark.plants


@pytest.fixture
def passage() -> Iterator[Path]:
    """A folder that everybody may pass, as those of pytest are not; what lies in it is as open as its own mode says."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def var_dir(passage: Path) -> Path:
    """A VAR_DIR that holds a secret, a database and a mail, each with the mode that the service gives it."""
    folder = passage / "var"
    (folder / "mailbox" / "new").mkdir(parents=True)
    for each in (folder / "mailbox" / "new", folder / "mailbox", folder):
        each.chmod(0o700)
    for name in ("secret_key", "dashtam.db", "dashtam.db-wal"):
        (folder / name).touch(mode=0o600)
    (folder / "secret_key").write_text("w6mJq2Rz8vTnLx4kPd9sHb7cFg3yUa5e", encoding="ascii")
    return folder


MADE: dict[str, str] = {"SECRET_KEY": "", **{f"{name}_FILE": "" for name in ("SECRET_KEY", "SMTP_URL")}}


async def test_files_with_the_modes_that_the_service_gives_them_get_no_complaint(var_dir: Path):
    async with examined(var_dir, MADE, **DEV) as here:
        found = await answers(here, CHECKS)
    assert {name: each for name, each in found.items() if each.verdict is not Verdict.OK} == {}
    assert set(found) == {"files.folders", "files.secret_key", "files.database", "files.mailbox"}


FAULTS = [
    pytest.param(
        "files.folders",
        {".": 0o777},
        Verdict.FAILURE,
        "everybody on this machine may write to ",
        "chmod o-w",
        marks=plants("files.folders"),
    ),
    pytest.param(
        "files.secret_key",
        {".": 0o755, "secret_key": 0o644},
        Verdict.FAILURE,
        "everybody on this machine may read ",
        "chmod 600",
        marks=plants("files.secret_key"),
    ),
    pytest.param(
        "files.database",
        {".": 0o755, "dashtam.db-wal": 0o644},
        Verdict.WARNING,
        "dashtam.db-wal",
        "chmod 600",
        marks=plants("files.database"),
    ),
    pytest.param(
        "files.database", {".": 0o755, "dashtam.db": 0o666}, Verdict.FAILURE, "may write to", "chmod 600"
    ),
    pytest.param(
        "files.mailbox",
        {".": 0o755, "mailbox": 0o755, "mailbox/new": 0o755},
        Verdict.WARNING,
        "everybody on this machine may read the mail",
        "chmod -R go=",
        marks=plants("files.mailbox"),
    ),
]


@pytest.mark.parametrize(("name", "modes", "verdict", "evidence", "remedy"), FAULTS)
async def test_what_others_get_at_is_told(
    var_dir: Path, name: str, modes: dict[str, int], verdict: Verdict, evidence: str, remedy: str
):
    for file, mode in modes.items():
        (var_dir / file).chmod(mode)
    found = await answered(name, var_dir, MADE, **DEV)
    assert (found.verdict, remedy in found.remedy) == (verdict, True)
    assert evidence in found.evidence


async def test_a_file_that_everybody_may_read_is_safe_behind_a_closed_door(var_dir: Path):
    (var_dir / "secret_key").chmod(0o644)
    assert (await answered("files.secret_key", var_dir, MADE, **DEV)).verdict is Verdict.OK


async def test_a_folder_above_that_everybody_may_write_to_is_told(passage: Path):
    passage.chmod(0o777)  # noqa: ASYNC240  nobody waits for it
    found = await answered("files.folders", passage / "var", MADE, **DEV)
    assert found.verdict is Verdict.FAILURE
    assert f"may write to {passage}" in found.evidence


async def test_a_folder_that_is_a_file_is_told(tmp_path: Path):
    (tmp_path / "var").touch()
    found = await answered("files.folders", tmp_path / "var", MADE, **DEV)
    assert found.verdict is Verdict.FAILURE
    assert "is not a folder" in found.evidence


async def test_a_folder_that_may_not_be_written_to_is_told(tmp_path: Path):
    tmp_path.chmod(0o500)  # noqa: ASYNC240  nobody waits for it
    if os.access(tmp_path, os.W_OK):
        pytest.skip("this user may write anywhere")
    found = await answered("files.folders", tmp_path, MADE, **DEV)
    assert (found.verdict, "may not be written to" in found.evidence) == (Verdict.FAILURE, True)


@plants("files.secret_files")
async def test_a_secret_file_that_everybody_may_read_is_told(passage: Path):
    file = passage / "smtp_url"
    file.touch(mode=0o644)
    environ = {"SMTP_URL_FILE": str(file), "SECRET_KEY_FILE": str(passage / "gone")}
    found = await answered("files.secret_files", passage, environ, **PROD)
    assert found.verdict is Verdict.FAILURE
    assert "everybody on this machine may read the files of SMTP_URL_FILE" in found.evidence
    assert f"chmod 600 {file}" in found.remedy
    file.chmod(0o600)
    assert (await answered("files.secret_files", passage, environ, **PROD)).verdict is Verdict.OK


async def test_the_secrets_of_a_pod_have_the_modes_that_its_volume_gives_them(passage: Path):
    file = passage / "smtp_url"
    file.touch(mode=0o644)
    environ = {"SMTP_URL_FILE": str(file), "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert (await answered("files.secret_files", passage, environ, **PROD)).verdict is Verdict.OK


@plants("files.paths")
async def test_a_path_that_hangs_on_the_folder_of_the_command_is_told_in_production(tmp_path: Path):
    given: dict[str, Any] = {**PROD, "database_url": "sqlite:///var/dashtam.db"}
    found = await answered("files.paths", tmp_path, **given)
    assert found.verdict is Verdict.WARNING
    assert "DATABASE_URL (var/dashtam.db): started in another folder" in found.evidence
    assert "four slashes" in found.remedy


@pytest.mark.parametrize("given", [PROD, PROD | {"database_url": "postgresql://d@127.0.0.1:1/d"}])
async def test_production_gets_no_complaint(tmp_path: Path, given: dict[str, Any]):
    async with examined(tmp_path, **given) as here:
        found = await answers(here, CHECKS)
    assert [name for name, each in found.items() if each.remedy] == []


async def test_a_folder_of_a_pod_is_open_to_its_own_containers_alone(var_dir: Path):
    var_dir.chmod(0o777)  # noqa: ASYNC240  nobody waits for it
    pod = {**MADE, "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert (await answered("files.folders", var_dir, pod, **DEV)).verdict is Verdict.OK


async def test_a_folder_that_is_a_link_to_nothing_is_told(tmp_path: Path):
    (tmp_path / "var").symlink_to(tmp_path / "gone")
    found = await answered("files.folders", tmp_path / "var", MADE, **DEV)
    assert (found.verdict, found.evidence) == (Verdict.FAILURE, f"{tmp_path / 'var'} is a link to nothing")


async def test_a_database_that_is_a_folder_is_told(var_dir: Path):
    (var_dir / "dashtam.db").unlink()
    (var_dir / "dashtam.db").mkdir()
    found = await answered("files.database", var_dir, MADE, **DEV)
    assert (found.verdict, found.evidence) == (Verdict.FAILURE, f"{var_dir / 'dashtam.db'} is not a file")
