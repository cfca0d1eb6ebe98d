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
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

CHOICE = "DBPARITY_POSTGRES"
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
    """Return the folder of PostgreSQL's server binaries: that which DBPARITY_POSTGRES asks for, where it is set.

    It names a major version, a folder, or `none`. Otherwise PATH wins, then the highest version does.
    """
    wanted = os.environ.get(CHOICE, "")
    if wanted == "none":
        msg = f"{CHOICE}=none asks for no PostgreSQL."
        raise PostgresMissing(msg)
    if wanted and not wanted.isdigit():
        return _chosen(Path(wanted))
    found = [place for place in _places(well_known) if _is_whole(place)]
    fitting = [place for place in found if not wanted or version(place) == wanted]
    if fitting:
        return fitting[0]
    if found:
        msg = f"{CHOICE} asks for PostgreSQL {wanted}; there is only {', '.join(map(str, found))}."
        raise PostgresMissing(msg)
    needed, searched = ", ".join(NEEDED), ", ".join(("PATH", *well_known))
    msg = f"PostgreSQL's programs ({needed}) were not found in {searched}; install the server package."
    raise PostgresMissing(msg)


def version(folder: Path) -> str:
    """The major version of the server in this folder, as it says itself."""
    said = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True)
    return str(re.findall(r"\d+", said.stdout)[0])


def _chosen(folder: Path) -> Path:
    if not _is_whole(folder):
        msg = f"{CHOICE}={folder} is neither a major version nor a folder with {', '.join(NEEDED)} in it."
        raise PostgresMissing(msg)
    return folder


def _is_whole(folder: Path) -> bool:
    return all((folder / name).exists() for name in NEEDED)


def _places(well_known: tuple[str, ...]) -> Iterator[Path]:
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    for pattern in well_known:
        yield from sorted(Path("/").glob(pattern.lstrip("/")), key=_number_in, reverse=True)


def _number_in(folder: Path) -> int:
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
