"""The machine: room on its disk, memory and cores for hashing, files that may be open, packages installed."""

import os
import re
import resource
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from dashtam.core.allowance import cores, memory_bytes, usable_cores
from dashtam.doctor.check import Answer, Check, failure, gravest, in_thread, ok, skipped, warning
from dashtam.doctor.inside.places import database_file, first_existing, kept_here
from dashtam.doctor.local import Local
from dashtam.settings import Settings

_MIB = 1024 * 1024
_FULL_BYTES = 64 * _MIB
_LITTLE_BYTES = 512 * _MIB
_LITTLE_INODES = 1_000
_OWN_FILES = 64
"""What a worker has open beside its connections, rounded up: an idle one has about 25."""
_FEW_CONNECTIONS = 128
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[^]]*])?(>=(?P<least>[0-9.]+))?(?P<rest>.*)")


def _disk(local: Local) -> Answer:
    folders = kept_here(local)
    if not folders:
        return skipped("nothing is kept on this machine")
    file = database_file(local.settings)
    size = file.stat().st_size if file and file.exists() else 0
    return gravest([_room(folder, size) for folder in folders])


def _room(folder: Path, database_bytes: int) -> Answer:
    there = first_existing(folder)
    disk = os.statvfs(there)
    return judge_room(
        there, disk.f_bavail * disk.f_frsize, disk.f_favail if disk.f_files else None, database_bytes
    )


def judge_room(folder: Path, free: int, inodes: int | None, database_bytes: int) -> Answer:
    """What so much room means for a database of this size. `inodes`: how many files more; None where unlimited."""
    remedy = f"Make room on the disk of {folder}, or move VAR_DIR and the database to a larger one."
    if free < _FULL_BYTES or inodes == 0:
        left = "" if inodes is None else f", {inodes} inodes"
        return failure(f"{_size(free)} free at {folder}{left}: writes fail soon", remedy)
    if free < max(_LITTLE_BYTES, database_bytes):
        return warning(
            f"{_size(free)} free at {folder}, beside a database of {_size(database_bytes)}: a backup or a "
            "migration may need as much again",
            remedy,
        )
    if inodes is not None and inodes < _LITTLE_INODES:
        return warning(f"{inodes} inodes are left at {folder}: no more files than that", remedy)
    return ok(f"{_size(free)} free at {folder}")


def _memory(local: Local) -> Answer:
    settings = local.settings
    threads = _threads(settings)
    needed, there = threads * settings.argon2_memory_kib * 1024, memory_bytes()
    told = (
        f"{threads} hashes at once take {_size(needed)} a worker; the machine or container has {_size(there)}"
    )
    if needed > there:
        return failure(told, _LESS_MEMORY)
    if needed > there / 2:
        return warning(told, _LESS_MEMORY)
    return ok(told)


_LESS_MEMORY = "Lower HASH_THREADS, or ARGON2_MEMORY_KIB with more ARGON2_TIME_COST, or give it more memory."


def _hash_threads(local: Local) -> Answer:
    threads, usable = _threads(local.settings), usable_cores()
    told = f"{threads} hashes at once a worker, on {usable:g} cores"
    if threads > cores():
        return warning(
            f"{told}: more do not get done, and requests wait for the cores",
            f"Set HASH_THREADS={cores()}, or leave it out; with several workers on the same cores set less.",
        )
    return ok(told)


def _threads(settings: Settings) -> int:
    return settings.hash_threads or cores()


def _open_files(local: Local) -> Answer:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return ok("as many open files as it likes")
    pool = local.settings.database_pool_size
    clients = limit - pool - _OWN_FILES
    told = f"{limit} open files leave room for {max(0, clients)} clients beside {pool} database connections"
    if clients < _FEW_CONNECTIONS:
        return warning(told, "Raise it where the service is started: LimitNOFILE= or ulimit -n 65536.")
    return ok(told)


def _packages(_: Local) -> Answer:
    try:
        ours, theirs = metadata.version("dashtam"), metadata.version("dbparity")
    except metadata.PackageNotFoundError as missing:
        return skipped(f"{missing.name} runs from its sources, not as an installed package")
    faults = [fault for package in ("dashtam", "dbparity") for fault in _unmet(package)]
    if ours != theirs:
        faults.append(f"dbparity is {theirs}, not {ours} as released together")
    if faults:
        return failure("; ".join(faults), "Install again with the locked file: requirements/runtime.txt.")
    return ok(f"dashtam {ours}, and every package it needs is there and new enough")


def _unmet(package: str) -> Iterator[str]:
    """What the package asks for and is not there, or is too old. Its requirements name lower bounds alone."""
    for text in metadata.requires(package) or ():
        needed = _REQUIREMENT.match(text)
        if needed is None or "extra ==" in needed["rest"]:
            continue
        try:
            there = metadata.version(needed["name"])
        except metadata.PackageNotFoundError:
            yield f"{needed['name']} is not installed"
            continue
        if _numbers(there) < _numbers(needed["least"] or "0"):
            yield f"{needed['name']} is {there}, and {package} needs {needed['least']}"


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(part) for part in re.findall(r"\d+", re.split(r"[^0-9.]", version)[0])]
    return tuple(numbers + [0] * (4 - len(numbers)))


def _size(count: int) -> str:
    gib = count / 1024**3
    return f"{gib:.1f} GiB" if gib >= 1 else f"{count / _MIB:.0f} MiB"


_VALID = ("settings.valid",)
CHECKS = (
    Check("machine.disk", "The disk has room", in_thread(_disk), _VALID),
    Check("machine.memory", "Hashing fits into memory", in_thread(_memory), _VALID),
    Check("machine.hash_threads", "Hashing has the cores it counts on", in_thread(_hash_threads), _VALID),
    Check("machine.open_files", "Enough files may be open", in_thread(_open_files), _VALID),
    Check("machine.packages", "Every package is new enough", in_thread(_packages)),
)
