"""What the machine, or the container on it, lets a process have."""

from __future__ import annotations

import os
import platform
import resource
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbparity.fingerprint.file import Facts

CGROUP = Path("/sys/fs/cgroup")
MOUNTS = Path("/proc/self/mounts")
GIB = 2**30
UNLIMITED = 2**60
"""Above this a limit of cgroups' first version means none."""


def machine() -> Facts:
    """Processors, memory, system and files; None where there is no limit, or none is to be seen."""
    return {
        "system": platform.system(),
        "release": platform.release(),
        "architecture": platform.machine(),
        "libc": " ".join(platform.libc_ver()).strip(),
        "cpus": os.cpu_count(),
        "cpus_usable": usable_cpus(),
        "cpu_limit": cpu_limit(),
        "memory": _gib(_physical()),
        "memory_limit": _gib(memory_limit()),
        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "temp_file_system": file_system(Path(tempfile.gettempdir())),
    }


def usable_cpus() -> int | None:
    """How many processors this process may run on."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count()
    return len(os.sched_getaffinity(0))


def cpu_limit(root: Path = CGROUP) -> float | None:
    """How many processors' time a container's quota comes to."""
    quota, period = _words(root / "cpu.max") or (
        _words(root / "cpu/cpu.cfs_quota_us") + _words(root / "cpu/cpu.cfs_period_us") or ["max", "1"]
    )
    return round(int(quota) / int(period), 2) if quota not in {"max", "-1"} else None


def memory_limit(root: Path = CGROUP) -> int | None:
    """How many bytes a container may use."""
    words = _words(root / "memory.max") or _words(root / "memory/memory.limit_in_bytes")
    return int(words[0]) if words and words[0] != "max" and int(words[0]) < UNLIMITED else None


def file_system(folder: Path, mounts: Path = MOUNTS) -> str:
    """The kind of file system that a folder is on; empty where the system does not say."""
    folder, found, longest = folder.resolve(), "", -1
    try:
        lines = mounts.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        _, place, kind, *_ = line.split()
        if folder.is_relative_to(place) and len(place) > longest:
            found, longest = kind, len(place)
    return found


def _physical() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _gib(size: int | None) -> str | None:
    return f"{size / GIB:.1f} GiB" if size is not None else None


def _words(path: Path) -> list[str]:
    try:
        return path.read_text("ascii").split()
    except OSError:
        return []
