"""Folders of private servers that outlived them, as after a power cut.

A folder is locked by its owner, its watchdog and its server; the kernel lets go when the last of them ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from typing import TYPE_CHECKING

from dbparity.testing.installed import Account

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = "dbparity-pg-"
LOCK = "owner.lock"
STALE_SECONDS = 3600.0
"""How old a folder must be that has no lock yet: a young one may be about to take it."""


def remove_orphans(base: Path) -> list[Path]:
    """Remove the folders of clusters that no living process holds; return what was removed."""
    removed = []
    for folder in base.glob(f"{PREFIX}*"):
        if _is_orphan(folder):
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    return removed


def _is_orphan(folder: Path) -> bool:
    try:
        if folder.stat().st_uid not in {os.getuid(), Account.choose().uid}:
            return False
        lock = os.open(folder / LOCK, os.O_RDWR)
    except FileNotFoundError:
        with contextlib.suppress(FileNotFoundError):
            return time.time() - folder.stat().st_mtime > STALE_SECONDS
        return False
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(lock)
    return True
