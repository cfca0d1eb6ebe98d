"""Where a deployment stands, and keeps what it keeps on this machine."""

import os
from pathlib import Path

from sqlalchemy.engine import make_url

from dashtam.doctor.local import Local
from dashtam.settings import Settings


def database_file(settings: Settings) -> Path | None:
    """The SQLite database; None where the database is a server."""
    url = make_url(settings.database)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def kept_here(local: Local) -> tuple[Path, ...]:
    """The folders that something is kept in: VAR_DIR if it is used, and that of the database file."""
    settings = local.settings
    file = database_file(settings)
    made = not any(local.environ.get(name) for name in ("SECRET_KEY", "SECRET_KEY_FILE"))
    var_dir = [settings.var_dir] if made or settings.mail_transport == "mailbox" else []
    return tuple(dict.fromkeys([*([file.parent] if file else []), *var_dir]))


def first_existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that is there and that we may look into."""
    # Path.exists raises where we may not look.
    return next(each for each in (path.absolute(), *path.absolute().parents) if os.path.exists(each))  # noqa: PTH110


def in_pod(local: Local) -> bool:
    """Whether this is a container of Kubernetes: what is mounted there is open to its own processes alone."""
    return "KUBERNETES_SERVICE_HOST" in local.environ


def in_prod(local: Local) -> bool:
    """Whether strangers come here."""
    return local.parts is not None and local.settings.environment == "prod"
