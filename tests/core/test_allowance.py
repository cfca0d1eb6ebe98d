"""What a process may have of the machine: read from control groups as Linux lays them out, in files planted here."""

import os
from pathlib import Path

import pytest

from dashtam.core.allowance import memory_bytes, usable_cores

GIB = 1024**3


@pytest.mark.parametrize(
    ("groups", "files", "memory", "cores"),
    [
        ("0::/", {"memory.max": "max", "cpu.max": "max 100000"}, 8 * GIB, None),
        (
            "0::/a/b",
            {"a/memory.max": str(GIB), "a/b/memory.max": "max", "a/b/cpu.max": "50000 100000"},
            GIB,
            0.5,
        ),
        (
            "4:memory:/x\n3:cpu,cpuacct:/x",
            {
                "memory/x/memory.limit_in_bytes": str(2 * GIB),
                "cpu,cpuacct/cpu.cfs_quota_us": "-1",
                "cpu,cpuacct/cpu.cfs_period_us": "100000",
                "cpu,cpuacct/x/cpu.cfs_quota_us": "25000",
                "cpu,cpuacct/x/cpu.cfs_period_us": "100000",
            },
            2 * GIB,
            0.25,
        ),
        ("", {}, 8 * GIB, None),
    ],
    ids=["no limit", "version 2, of a group above", "version 1", "no control groups"],
)
def test_what_a_container_may_have_is_read_from_its_control_groups(
    tmp_path: Path, groups: str, files: dict[str, str], memory: int, cores: float | None
):
    all_files = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    all_files |= {
        "proc/self/cgroup": groups,
        "proc/meminfo": f"MemTotal: {8 * 1024 * 1024} kB\nMemFree: 1 kB\n",
    }
    for name, text in all_files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n" if text else "")
    assert memory_bytes(tmp_path) == memory
    assert usable_cores(tmp_path) == (cores or len(os.sched_getaffinity(0)))
