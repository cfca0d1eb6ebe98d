"""What this process may have of the machine: memory and cores, less where a control group (cgroups(7)) limits it."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/")


def memory_bytes(root: Path = _ROOT) -> int:
    """The machine's memory, or what the tightest control group above us allows. `root` is where /proc and /sys are."""
    limits = [_machine_memory(root)]
    for group in _groups(root, "memory"):
        limits += _numbers(group / "memory.max") + _numbers(group / "memory.limit_in_bytes")
    return min(limits)


def usable_cores(root: Path = _ROOT) -> float:
    """The cores this process may run on, or the share of their time that it is given."""
    shares = [float(_machine_cores())]
    for group in _groups(root, "cpu"):
        quota = _numbers(group / "cpu.max") or _numbers(group / "cpu.cfs_quota_us") + _numbers(
            group / "cpu.cfs_period_us"
        )
        if len(quota) == 2 and quota[0] > 0:  # noqa: PLR2004  quota and period; "max" and -1 are no quota
            shares.append(quota[0] / quota[1])
    return min(shares)


def cores() -> int:
    """How many threads can be at work at the same time."""
    return max(1, math.ceil(usable_cores()))


def _machine_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _machine_memory(root: Path) -> int:
    for line in _lines(root / "proc/meminfo"):
        name, _, size = line.partition(":")
        if name == "MemTotal":
            return int(size.split()[0]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Our control group and those above it, in either version's tree."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / controllers
        group = top / path.strip("/")
        yield from (each for each in (group, *group.parents) if each.is_relative_to(top))


def _numbers(file: Path) -> list[int]:
    """The numbers in a control file; none where it is not there or says "max"."""
    return [int(word) for line in _lines(file) for word in line.split() if word.lstrip("-").isdigit()]


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
