"""Which server a private cluster starts, where a machine has several, and where somebody asks for one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dbparity.testing.installed import NEEDED, PostgresMissing, find_binaries, version

if TYPE_CHECKING:
    from dbparity.testing.postgres import PrivateCluster


def install(root: Path, major: int) -> Path:
    """Programs that say which version they are, as on a machine that has this one."""
    folder = root / "postgresql" / str(major) / "bin"
    folder.mkdir(parents=True)
    for name in NEEDED:
        (folder / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {major}.3 (Debian {major}.3-1)'\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def well_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Where 9, 14 and 17 are installed; nothing is on PATH."""
    for major in (14, 17, 9):
        install(tmp_path, major)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("DBPARITY_POSTGRES", raising=False)
    return (f"{tmp_path}/postgresql/*/bin",)


def test_the_highest_version_is_taken(well_known: tuple[str, ...], tmp_path: Path) -> None:
    assert find_binaries(well_known) == tmp_path / "postgresql/17/bin"


@pytest.mark.parametrize("major", ["9", "14", "17"])
def test_a_version_that_is_asked_for_is_taken(
    well_known: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, major: str
) -> None:
    monkeypatch.setenv("DBPARITY_POSTGRES", major)

    assert find_binaries(well_known) == tmp_path / "postgresql" / major / "bin"


def test_a_version_that_is_asked_for_wins_over_path(
    well_known: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}/postgresql/17/bin:/usr/bin:/bin")
    monkeypatch.setenv("DBPARITY_POSTGRES", "14")

    assert find_binaries(well_known) == tmp_path / "postgresql/14/bin"


def test_another_version_is_not_taken_for_the_one_asked_for(
    well_known: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBPARITY_POSTGRES", "16")

    with pytest.raises(
        PostgresMissing, match=r"DBPARITY_POSTGRES asks for PostgreSQL 16; there is only .*/17/bin"
    ):
        find_binaries(well_known)


def test_a_folder_may_be_named(
    well_known: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = install(tmp_path / "elsewhere", 18)
    monkeypatch.setenv("DBPARITY_POSTGRES", str(elsewhere))
    assert find_binaries(well_known) == elsewhere

    (elsewhere / "initdb").unlink()
    with pytest.raises(
        PostgresMissing, match="neither a major version nor a folder with initdb, postgres, psql"
    ):
        find_binaries(well_known)


def test_none_is_none_also_where_there_is_one(
    well_known: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBPARITY_POSTGRES", "none")

    with pytest.raises(PostgresMissing, match="DBPARITY_POSTGRES=none asks for no PostgreSQL"):
        find_binaries(well_known)


def test_the_server_that_runs_is_the_one_that_was_found(cluster: PrivateCluster) -> None:
    (running,) = cluster.sql("SHOW server_version_num")

    assert running[:-4] == version(find_binaries())
