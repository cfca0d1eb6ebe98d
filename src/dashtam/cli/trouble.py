"""Errors in plain words: what is wrong, what to do, and with which exit code a command ends.

Commands let errors through; `dashtam.cli.main` asks here what to say. What a driver says of itself may quote
the password in a URL or the values of a row, so of an error nobody foresaw only the first line is shown.
"""

from collections.abc import Iterator
from pathlib import Path

from dashtam.cli.exit_codes import ExitCode
from dashtam.settings import BadSettingsError, Settings

_MIGRATE_FIRST = "The database has not been migrated: run `dashtam migrate up`."


class Refusal(Exception):  # noqa: N818  it is what the command answers
    """The end of a command: why, for people, and its exit code."""

    def __init__(self, words: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(words)
        self.words = words
        self.code = code


def refusal(error: BaseException) -> Refusal | None:
    """The plain words for an error, or None if it is a fault of ours and deserves its traceback."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, BadSettingsError):
        return Refusal(settings_words(error), ExitCode.USAGE)
    for translate in (_of_ours, _of_the_database):
        if found := translate(error):
            return found
    return None


def settings_words(error: BadSettingsError) -> str:
    """Each bad variable on a line of its own, without its value."""
    faults = [f"  {name} {fault}" for name, fault in error.faults]
    head = "A setting is wrong:" if len(faults) == 1 else f"{len(faults)} settings are wrong:"
    return "\n".join([head, *faults, "Settings are environment variables; nothing was started."])


def refuse_missing_file(settings: Settings) -> None:
    """A SQLite database that is not there yet is not made by looking at it."""
    scheme, _, path = settings.database.partition(":///")
    if scheme.startswith("sqlite") and not Path(path).exists():
        raise Refusal(f"There is no database at {path} yet: run `dashtam migrate up`.", ExitCode.UNREACHABLE)


def _of_ours(error: BaseException) -> Refusal | None:
    from dashtam.core.keys import KeysUnusableError, RotationUnderWayError
    from dashtam.core.problems import Problem
    from dashtam.migrations import MigrationBusyError, MigrationError

    if isinstance(error, Problem):
        return Refusal(error.detail)
    if isinstance(error, KeysUnusableError | RotationUnderWayError | MigrationBusyError | MigrationError):
        return Refusal(str(error))
    return None


def _of_the_database(error: BaseException) -> Refusal | None:
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.exc import TimeoutError as PoolTimeoutError

    causes = list(_chain(error))
    states = {str(state) for cause in causes if (state := getattr(cause, "sqlstate", None))}
    said = " ".join(
        str(cause) for cause in causes if type(cause).__module__.startswith(("sqlite3", "asyncpg"))
    )
    if "42P01" in states or "no such table" in said:
        return Refusal(_MIGRATE_FIRST)
    if "database is locked" in said or "55P03" in states:
        return Refusal(
            "Another program holds a lock in the database for too long: end it, or try again later."
        )
    if why := _unreachable(states, said, causes):
        return Refusal(f"The database of DATABASE_URL cannot be used: {why}.", ExitCode.UNREACHABLE)
    if isinstance(error, DBAPIError | PoolTimeoutError):
        words = str(error.orig if isinstance(error, DBAPIError) else error).splitlines()[0]
        return Refusal(f"The database refused: {words}")
    return None


_STATES = {
    "28P01": "the password is wrong",
    "28000": "this user may not connect",
    "3D000": "there is no database of that name",
    "42501": "this user is not allowed to do that",
    "53300": "it has no connection left",
    "57P03": "it is starting up or shutting down",
}


_SQLITE = {
    "unable to open database file": "the file cannot be opened; look at its folder and permissions",
    "readonly database": "the file is read-only",
    "file is not a database": "the file is not a SQLite database",
}


def _unreachable(states: set[str], said: str, causes: list[BaseException]) -> str:
    by_state = (words for state, words in _STATES.items() if state in states)
    by_words = (words for sign, words in _SQLITE.items() if sign in said)
    by_network = (_network_words(cause) for cause in causes if isinstance(cause, OSError))
    return next(iter((*by_state, *by_words, *by_network)), "")


def _network_words(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, PermissionError):
        return "its folder or file may not be written to"
    return f"no connection ({error.strerror or type(error).__name__})"


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = getattr(seen, "orig", None) or seen.__cause__ or seen.__context__
