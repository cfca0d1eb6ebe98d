"""What an exit code of `dashtam` means. Said here once; `dashtam --help` prints it from here."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    PORT_BUSY = 4
    WARNINGS = 5


MEANINGS = {
    ExitCode.OK: "done, and all is well",
    ExitCode.FAILED: "what was asked for failed, or is not so (a journey, a migration, a check)",
    ExitCode.USAGE: "the command line or a setting is wrong",
    ExitCode.UNREACHABLE: "the server or the database cannot be reached",
    ExitCode.PORT_BUSY: "the port is in use by another program",
    ExitCode.WARNINGS: "nothing fails, and the doctor has something for you to look at",
}

EPILOG = "Exit codes: " + "; ".join(f"{code.value} {meaning}" for code, meaning in MEANINGS.items()) + "."
