"""Files: what the service keeps on this machine, where it lies, and who else gets at it.

"Others" are the users of this machine who are neither the owner nor in the group. They get at a file only if
they may pass every folder above it.
"""

import os
import stat
from pathlib import Path

from dashtam.doctor.check import Answer, Check, failure, gravest, in_thread, ok, skipped, warning
from dashtam.doctor.inside import sqlite
from dashtam.doctor.inside.places import database_file, first_existing, in_pod, in_prod, kept_here
from dashtam.doctor.local import Local
from dashtam.secret_files import SECRETS
from dashtam.settings import SECRET_FILE

_MOUNTS = Path("/proc/self/mountinfo")


def _folders(local: Local) -> Answer:
    folders = kept_here(local)
    if not folders:
        return skipped("nothing is kept here: the database is a server, mail goes by SMTP, secrets are given")
    return gravest([_folder(each, alone=in_pod(local)) for each in folders])


def _folder(folder: Path, *, alone: bool) -> Answer:
    there = first_existing(folder)
    if folder.is_symlink() and not folder.exists():
        return failure(f"{folder} is a link to nothing", "Make the folder that it leads to, or remove it.")
    if not there.is_dir():
        return failure(f"{there} is not a folder", "Set VAR_DIR to a folder, or move what lies there.")
    if not os.access(there, os.W_OK | os.X_OK):
        return failure(f"{there} may not be written to", "Let the service's user own it.")
    if not alone and (exposed := _replaceable(there)):
        return failure(
            f"everybody on this machine may write to {exposed}", f"Take that away: chmod o-w {exposed}"
        )
    return ok(f"{folder}, mode {_mode(folder)}" if folder.exists() else f"{folder} is made when it is needed")


def _secret_key(local: Local) -> Answer:
    path = local.settings.var_dir / SECRET_FILE
    if not path.exists():
        return skipped("the secret is made at the first start")
    if _may(path, stat.S_IROTH | stat.S_IWOTH):
        return failure(
            f"everybody on this machine may read {path} (mode {_mode(path)})",
            f"chmod 600 {path}, and if anybody may have read it: delete it, and the rows of signing_keys.",
        )
    return ok(f"{path}, mode {_mode(path)}")


def _makes_its_secret(local: Local) -> bool:
    return local.parts is not None and not (
        local.environ.get("SECRET_KEY") or local.environ.get("SECRET_KEY_FILE")
    )


def _secret_files(local: Local) -> Answer:
    paths = _named_files(local)
    if in_pod(local):
        return ok("a pod's secrets are mounted for its containers alone")
    exposed = {name: path for name, path in paths.items() if _may(path, stat.S_IROTH) and not _mounted(path)}
    if exposed:
        return failure(
            f"everybody on this machine may read the files of {', '.join(exposed)}",
            f"chmod 600 {' '.join(map(str, exposed.values()))}",
        )
    return ok(f"{', '.join(paths)}: closed to others")


def _named_files(local: Local) -> dict[str, Path]:
    variables = (f"{name}_FILE" for name in SECRETS)
    return {name: Path(path) for name in variables if (path := local.environ.get(name))}


def _has_secret_files(local: Local) -> bool:
    return bool(_named_files(local))


def _mounted(path: Path) -> bool:
    """Whether the file, or its folder, is mounted for us, as a container's secrets are: others have no way there."""
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return False
    real = path.resolve()
    return not {str(real), str(real.parent)}.isdisjoint({mount.split(" ")[4] for mount in mounts} - {"/"})


def _database(local: Local) -> Answer:
    path = database_file(local.settings)
    if path is None or not path.exists():
        return skipped("there is no database yet")
    if not path.is_file():
        return failure(f"{path} is not a file", "Correct DATABASE_URL, or move away what lies there.")
    files = [file for end in ("", "-wal", "-shm") if (file := path.with_name(path.name + end)).exists()]
    if unwritable := [file for file in files if not os.access(file, os.R_OK | os.W_OK)]:
        return failure(f"{unwritable[0]} may not be written to", "Let the service's user own the database.")
    if writable := [file for file in files if _may(file, stat.S_IWOTH)]:
        return failure(f"everybody on this machine may write to {writable[0]}", _close(files))
    if readable := [file for file in files if _may(file, stat.S_IROTH)]:
        return warning(f"everybody on this machine may read {readable[0]}", _close(files))
    return ok(f"{path}, mode {_mode(path)}")


def _mailbox(local: Local) -> Answer:
    folder = local.settings.mailbox_dir
    if not folder.is_dir():
        return skipped("no mail has come yet")
    if _may(folder / "new", stat.S_IROTH | stat.S_IWOTH):
        return warning(
            f"everybody on this machine may read the mail in {folder}, with its links",
            f"chmod -R go= {folder}",
        )
    return ok(f"{folder}, mode {_mode(folder)}")


def _keeps_mail(local: Local) -> bool:
    return local.parts is not None and local.settings.mail_transport == "mailbox"


def _paths(local: Local) -> Answer:
    paths = _named_files(local)
    if file := database_file(local.settings):
        paths["DATABASE_URL" if local.settings.database_url else "VAR_DIR"] = file
    if relative := {name: path for name, path in paths.items() if not path.is_absolute()}:
        told = ", ".join(f"{name} ({path})" for name, path in relative.items())
        return warning(
            f"{told}: started in another folder, it is another file",
            "Write it out from the root; a SQLite URL has four slashes then: sqlite:////var/lib/dashtam/dashtam.db",
        )
    return ok(", ".join(paths) or "no file is named")


def _close(files: list[Path]) -> str:
    return f"chmod 600 {' '.join(map(str, files))}"


def _mode(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):03o}"


def _may(path: Path, bits: int) -> bool:
    """Whether others have one of these rights to it, and a way there."""
    real = path.resolve()
    if not real.exists() or not real.stat().st_mode & bits:
        return False
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in real.parents)


def _replaceable(path: Path) -> Path | None:
    """What others may put something else into, of this folder and those above it."""
    real = path.resolve()
    return next((folder for folder in (real, *real.parents) if _is_open(folder)), None)


def _is_open(folder: Path) -> bool:
    mode = folder.stat().st_mode
    return _may(folder, stat.S_IWOTH) and not mode & stat.S_ISVTX


_VALID = ("settings.valid",)
CHECKS = (
    Check("files.folders", "The service's folders are its own", in_thread(_folders), _VALID),
    Check(
        "files.secret_key",
        "The secret that was made is readable to nobody else",
        in_thread(_secret_key),
        _VALID,
        _makes_its_secret,
    ),
    Check(
        "files.secret_files",
        "Files with secrets are readable to nobody else",
        in_thread(_secret_files),
        _VALID,
        _has_secret_files,
    ),
    Check(
        "files.database", "The database file is the service's own", in_thread(_database), _VALID, sqlite.here
    ),
    Check(
        "files.mailbox",
        "Mail that is kept is readable to nobody else",
        in_thread(_mailbox),
        _VALID,
        _keeps_mail,
    ),
    Check("files.paths", "Paths hold wherever a command is started", in_thread(_paths), _VALID, in_prod),
)
