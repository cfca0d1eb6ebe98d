"""Secrets that arrive as files, the way containers are handed them: SECRET_KEY_FILE names the file with SECRET_KEY.

An environment is seen by more eyes than a file: by whoever inspects the container, and by every child process.
"""

import stat
from collections.abc import Mapping
from pathlib import Path

SECRETS = ("SECRET_KEY", "DATABASE_URL", "SMTP_URL", "SMOKE_TOKEN")
"""The settings that are secret, or may hold a password."""

_MOST_BYTES = 64 * 1024


class BadSecretFileError(Exception):
    """A secret cannot be had from its file: the variable, and what is wrong, without any value."""

    def __init__(self, variable: str, fault: str) -> None:
        super().__init__(f"{variable}: {fault}")
        self.variable = variable
        self.fault = fault


def secret(name: str, environment: Mapping[str, str]) -> str | None:
    """What the file that NAME_FILE names holds, else what NAME is; None where neither is set.

    Raises BadSecretFileError if both are set, or the file is no good.
    """
    variable = f"{name}_FILE"
    path, value = environment.get(variable), environment.get(name)
    if not path:
        return value
    if value:
        raise BadSecretFileError(variable, f"is set, and so is {name}: leave one of them out")
    return _content(variable, Path(path))


def read_all(environment: Mapping[str, str]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """The SECRETS that come from files, by the names of their settings; and (variable, fault) of those that cannot."""
    found, faults = {}, []
    for name in SECRETS:
        try:
            if environment.get(f"{name}_FILE"):
                found[name.lower()] = secret(name, environment) or ""
        except BadSecretFileError as error:
            faults.append((error.variable, error.fault))
    return found, faults


def _content(variable: str, path: Path) -> str:
    try:
        # Every worker reads it anew, and nobody waits for a pipe: a file it must be. Behind links it may lie.
        if not stat.S_ISREG(path.stat().st_mode):
            raise BadSecretFileError(variable, "names something that is not a file")
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1).decode("utf-8-sig").rstrip("\r\n")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise BadSecretFileError(variable, f"names a file that cannot be read: {why}") from None
    if not text:
        raise BadSecretFileError(variable, "names a file that is empty")
    if len(text) > _MOST_BYTES:
        raise BadSecretFileError(variable, "names a file that is too long to be a secret")
    return text
