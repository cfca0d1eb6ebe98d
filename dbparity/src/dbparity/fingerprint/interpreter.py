"""What a process says of itself: its Python, its locale, its time zone."""

from __future__ import annotations

import locale
import os
import platform
import sys
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dbparity.fingerprint.file import Facts

ZONES = "zoneinfo/"
LOCALTIME = Path("/etc/localtime")


def python() -> Facts:
    """The interpreter, and those of its switches that change what a program does."""
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "debug_build": bool(sysconfig.get_config_var("Py_DEBUG")),
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "gil": bool(getattr(sys, "_is_gil_enabled", lambda: True)()),
        "optimize": sys.flags.optimize,
        "dev_mode": sys.flags.dev_mode,
        "utf8_mode": bool(sys.flags.utf8_mode),
        "hash_seed": hash_seed(),
        "hash_algorithm": sys.hash_info.algorithm,
        "int_max_str_digits": sys.get_int_max_str_digits(),
    }


def process() -> Facts:
    """What the process has from the machine and its variables."""
    return {
        "time_zone": time_zone(),
        "utc_offset": time.strftime("%z"),
        "locale": {name: _locale(number) for name, number in _CATEGORIES.items()},
        "encoding": locale.getpreferredencoding(do_setlocale=False).lower(),
        "file_names": sys.getfilesystemencoding(),
        "umask": f"{_umask():03o}",
    }


def hash_seed() -> str:
    """What PYTHONHASHSEED made of the order of sets of strings: a number, or another one at each start."""
    if not sys.flags.hash_randomization:
        return "0"
    said = os.environ.get("PYTHONHASHSEED", "")
    return said if said.isdigit() else "random"


def time_zone() -> str:
    """The zone of local time by its name, where it has one."""
    said = os.environ.get("TZ", "").removeprefix(":")
    if said:
        return said
    target = str(LOCALTIME.resolve()) if LOCALTIME.exists() else ""
    return target.partition(ZONES)[2] or "/".join(time.tzname)


_CATEGORIES = {
    "collate": locale.LC_COLLATE,
    "ctype": locale.LC_CTYPE,
    "numeric": locale.LC_NUMERIC,
    "time": locale.LC_TIME,
}


def _locale(category: int) -> str:
    return locale.setlocale(category)


def _umask() -> int:
    """Read without setting it for a moment, which other threads would see, where the system shows it."""
    try:
        lines = Path("/proc/self/status").read_text("ascii", errors="replace").splitlines()
        return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
    except (OSError, StopIteration):
        before = os.umask(0o077)
        os.umask(before)
        return before
