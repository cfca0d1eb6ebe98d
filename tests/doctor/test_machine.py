"""What the doctor says of the machine: its disk, memory, cores, limits and packages."""

import resource
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashtam.core.allowance import memory_bytes, usable_cores
from dashtam.doctor.check import Verdict
from dashtam.doctor.inside.hash_cost import CHECKS as HASH_COST
from dashtam.doctor.inside.machine import CHECKS, judge_room
from tests.doctor.deployments import DEV, PROD, answered, answers, examined

plants = pytest.mark.plants
GIB = 1024**3
MOST_MEMORY: dict[str, Any] = {"argon2_memory_kib": 1024 * 1024, "hash_threads": 64}


async def test_a_machine_with_room_gets_no_complaint_and_its_hashes_are_counted(tmp_path: Path):
    async with examined(tmp_path, **DEV) as here:
        found = await answers(here, (*CHECKS, *HASH_COST))
    assert {name: each for name, each in found.items() if each.verdict is not Verdict.OK} == {}
    cost = found["machine.hash_cost"].evidence
    assert "ms a hash (Argon2id, 19456 KiB, 2 passes)" in cost
    assert "logins a second on one thread" in cost


@plants("machine.disk")
async def test_a_disk_with_less_room_than_the_database_takes_is_told(tmp_path: Path):
    database = tmp_path / "dashtam.db"
    with database.open("wb") as file:
        file.truncate(shutil.disk_usage(tmp_path).free + GIB)  # a hole: it takes no room itself
    found = await answered("machine.disk", tmp_path, **DEV)
    assert found.verdict is Verdict.WARNING
    assert f"free at {tmp_path}, beside a database of " in found.evidence
    assert "Make room on the disk of " in found.remedy


@pytest.mark.parametrize(
    ("free", "inodes", "verdict", "evidence"),
    [
        (10 * GIB, 1_000_000, Verdict.OK, "10.0 GiB free"),
        (10 * GIB, None, Verdict.OK, "10.0 GiB free"),
        (400 * 1024**2, 1_000_000, Verdict.WARNING, "400 MiB free"),
        (10 * GIB, 900, Verdict.WARNING, "900 inodes are left"),
        (10 * GIB, 0, Verdict.FAILURE, "writes fail soon"),
        (1024, 1_000_000, Verdict.FAILURE, "0 MiB free"),
        (0, None, Verdict.FAILURE, "0 MiB free at "),
    ],
)
def test_room_is_judged_by_bytes_and_by_inodes(
    tmp_path: Path, free: int, inodes: int | None, verdict: Verdict, evidence: str
):
    found = judge_room(tmp_path, free, inodes, database_bytes=GIB // 4)
    assert (found.verdict, evidence in found.evidence) == (verdict, True)
    assert "None" not in found.evidence


async def test_a_disk_on_which_nothing_is_kept_is_not_examined(tmp_path: Path):
    given = {**PROD, "database_url": "postgresql://dashtam@127.0.0.1:1/dashtam"}
    assert (await answered("machine.disk", tmp_path, **given)).verdict is Verdict.SKIPPED


@plants("machine.memory")
async def test_hashing_that_does_not_fit_into_memory_is_told(tmp_path: Path):
    if memory_bytes() > 64 * GIB:
        pytest.skip("no setting takes as much memory as this machine has")
    found = await answered("machine.memory", tmp_path, **DEV, **MOST_MEMORY)
    assert found.verdict is Verdict.FAILURE
    assert "64 hashes at once take 64.0 GiB a worker; the machine or container has " in found.evidence
    assert "Lower HASH_THREADS" in found.remedy


@plants("machine.hash_threads")
async def test_more_threads_than_cores_are_told(tmp_path: Path):
    if usable_cores() >= 64:
        pytest.skip("no setting takes more threads than this machine has cores")
    found = await answered("machine.hash_threads", tmp_path, **DEV, hash_threads=64)
    assert found.verdict is Verdict.WARNING
    assert f"64 hashes at once a worker, on {usable_cores():g} cores: more do not get done" in found.evidence
    assert "Set HASH_THREADS=" in found.remedy
    assert (await answered("machine.hash_threads", tmp_path, **DEV)).verdict is Verdict.OK


@plants("machine.hash_cost")
async def test_a_hash_that_takes_longer_than_people_wait_is_told_without_waiting_for_it(tmp_path: Path):
    found = await answered(
        "machine.hash_cost", tmp_path, **DEV, argon2_memory_kib=128 * 1024, argon2_time_cost=64
    )
    assert found.verdict is Verdict.WARNING
    assert "a hash takes " in found.evidence
    assert "Lower ARGON2_TIME_COST" in found.remedy


@pytest.fixture
def little_memory() -> Iterator[None]:
    """A limit of half a GiB on what this process may take beside what it has."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + GIB // 2, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold a process to it")
async def test_a_hash_that_the_system_refuses_the_memory_for_is_told(tmp_path: Path, little_memory: None):
    found = await answered("machine.hash_cost", tmp_path, **DEV, argon2_memory_kib=1024 * 1024)
    assert found.verdict is Verdict.FAILURE
    assert "the system refuses the memory" in found.evidence
    assert "ulimit -v" in found.remedy


@pytest.fixture
def few_files() -> Iterator[None]:
    """A limit of 160 open files for this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (160, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@plants("machine.open_files")
async def test_a_limit_on_open_files_that_few_clients_fit_under_is_told(tmp_path: Path, few_files: None):
    found = await answered("machine.open_files", tmp_path, **DEV)
    assert found.verdict is Verdict.WARNING
    assert "160 open files leave room for 80 clients beside 16 database connections" in found.evidence
    assert "ulimit -n" in found.remedy


@plants("machine.packages")
async def test_a_package_that_is_too_old_and_one_of_another_release_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, version in {"uvicorn": "0.30.6", "dbparity": "0.0.1"}.items():
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = await answered("machine.packages", tmp_path, **DEV)
    assert found.verdict is Verdict.FAILURE
    assert "uvicorn is 0.30.6, and dashtam needs 0." in found.evidence
    assert "dbparity is 0.0.1, not " in found.evidence
    assert "requirements/runtime.txt" in found.remedy
