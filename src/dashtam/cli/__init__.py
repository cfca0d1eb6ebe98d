"""The `dashtam` command. Importing it costs little: each command imports what it needs when it runs."""

import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from dashtam.cli import keys, mail, migrate, users
from dashtam.cli.console import remark
from dashtam.cli.doctor import doctor
from dashtam.cli.exit_codes import EPILOG, ExitCode
from dashtam.cli.serve import serve
from dashtam.cli.smoke import smoke
from dashtam.cli.up import up

app = typer.Typer(
    name="dashtam",
    help="A self-hosted authentication service that proves itself wherever it runs.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # their frames would show settings
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(up)
app.command()(serve)
app.command()(smoke)
app.command()(doctor)
app.add_typer(migrate.app, name="migrate")
app.add_typer(keys.app, name="keys")
app.add_typer(users.app, name="users")
app.add_typer(mail.app, name="mail")


def main() -> None:
    """Run a command; what goes wrong is said in plain words and by the exit code."""
    if isinstance(sys.stdout, TextIOWrapper):  # a name or a mark that it cannot show is no reason to stop
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except Exception as error:
        from dashtam.cli.trouble import refusal

        found = refusal(error)
        if found is None:
            raise
        remark(found.words)
        sys.exit(found.code)
    except KeyboardInterrupt:
        remark("Stopped.")
        sys.exit(ExitCode.FAILED)


def _say_version(wanted: bool) -> None:
    if wanted:
        from dashtam import __version__

        typer.echo(f"dashtam {__version__}")
        raise typer.Exit(ExitCode.OK)


Version = Annotated[
    bool, typer.Option("--version", is_eager=True, callback=_say_version, help="Say the version and end.")
]


@app.callback()
def options(*, version: Version = False) -> None:
    """Options that belong to no command."""
