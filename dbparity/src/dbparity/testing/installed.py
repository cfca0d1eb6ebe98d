"""What this machine offers a private PostgreSQL server: its programs, an account and a folder."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

NEEDED = ("initdb", "postgres", "psql")
WELL_KNOWN = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
)


class PostgresError(RuntimeError):
    """The private server could not do what was asked; the message holds its own words."""


class PostgresMissing(PostgresError):  # noqa: N818 - a state of the machine, named as one
    """No PostgreSQL server is installed here."""


def find_binaries(well_known: tuple[str, ...] = WELL_KNOWN) -> Path:
    """Return the folder of PostgreSQL's server binaries, the highest version first; PATH wins."""
    on_path = shutil.which("postgres")
    places = [Path(on_path).resolve().parent] if on_path else []
    for pattern in well_known:
        places += sorted(Path("/").glob(pattern.lstrip("/")), key=_version_of, reverse=True)
    for place in places:
        if all((place / name).exists() for name in NEEDED):
            return place
    wanted, searched = ", ".join(NEEDED), ", ".join(("PATH", *well_known))
    msg = f"PostgreSQL's programs ({wanted}) were not found in {searched}; install the server package."
    raise PostgresMissing(msg)


def _version_of(folder: Path) -> int:
    numbers = re.findall(r"\d+", str(folder))
    return int(numbers[0]) if numbers else 0


@dataclass(frozen=True)
class Account:
    """The system account the server runs as: PostgreSQL refuses to run as root."""

    uid: int
    gid: int
    switch: bool

    @classmethod
    def choose(cls) -> Self:
        if os.getuid() != 0:
            return cls(os.getuid(), os.getgid(), switch=False)
        for name in ("postgres", "nobody"):
            with contextlib.suppress(KeyError):
                entry = pwd.getpwnam(name)
                return cls(entry.pw_uid, entry.pw_gid, switch=True)
        msg = "PostgreSQL does not run as root, and neither a postgres nor a nobody account exists here."
        raise PostgresError(msg)

    def spawn(
        self,
        command: list[str | Path],
        *,
        stdin: int = subprocess.DEVNULL,
        output: int = subprocess.DEVNULL,
        keep: tuple[int, ...] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a process of this account, in its own session: Ctrl-C in the terminal is not for it."""
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            start_new_session=True,
            pass_fds=keep,
            user=self.uid if self.switch else None,
            group=self.gid if self.switch else None,
            extra_groups=[] if self.switch else None,
        )


def reachable_tempdir(account: Account) -> Path:
    """Return the temporary folder, or /tmp when the server's account cannot get into it."""
    base = Path(tempfile.gettempdir()).resolve()
    if account.switch and not all(folder.stat().st_mode & 0o001 for folder in (base, *base.parents)):
        return Path("/tmp")  # noqa: S108 - the folder made in it is private (mkdtemp)
    return base
