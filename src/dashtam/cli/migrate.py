"""`dashtam migrate`: bring the database up to date, back, or look at what it is."""

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dashtam.cli.console import AsJson, remark, say, say_json
from dashtam.cli.exit_codes import ExitCode
from dashtam.cli.trouble import Refusal, refusal
from dashtam.settings import Settings, load

if TYPE_CHECKING:
    from dashtam.migrations import Outcome, Status

app = typer.Typer(help="Bring the database up to date, or look at what it is.", no_args_is_help=True)

Target = Annotated[str, typer.Argument(help="A revision, or `head` for the newest.")]
Below = Annotated[str, typer.Argument(help="The revision to go back to; `base` for before the first.")]
Message = Annotated[str, typer.Argument(help="What it does, in a few words.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask whether the data may be lost.")]
Patience = Annotated[float, typer.Option(min=0, help="Seconds to wait for another migration to end.")]
Wait = Annotated[float, typer.Option(min=0, help="Seconds to wait for a database that is not up yet.")]

_POLL_SECONDS = 0.5


@app.command("up")
def up(revision: Target = "head", *, patience: Patience = 60, wait: Wait = 0, json: AsJson = False) -> None:
    """Run what is missing, in one transaction, and believe only the tables."""
    from dashtam import migrations

    def run() -> "Outcome":
        return asyncio.run(
            migrations.upgrade(settings.database, revision, patience=patience, waiting=tell_of_waiting)
        )

    settings = load()
    _report(_once_reachable(run, wait), json=json)


@app.command("down")
def down(revision: Below, *, yes: Yes = False, patience: Patience = 60, json: AsJson = False) -> None:
    """Undo every revision after the one given. The data in what is removed is lost."""
    from dashtam import migrations

    settings = load()
    if not yes:
        _ask(settings, revision)
    done = asyncio.run(
        migrations.downgrade(settings.database, revision, patience=patience, waiting=tell_of_waiting)
    )
    _report(done, json=json)


@app.command("status")
def status(*, json: AsJson = False) -> None:
    """Say what the database is, by its tables. Ends with 1 unless it is ready."""
    from dashtam import migrations

    found = asyncio.run(migrations.status(load().database))
    if json:
        say_json(_as_dict(found))
    else:
        say(found.explain())
        if found.pending:
            say(f"Still to run: {', '.join(found.pending)}")
    raise typer.Exit(ExitCode.OK if found.verdict == "ready" else ExitCode.FAILED)


@app.command("plan")
def plan(revision: Target = "head", *, json: AsJson = False) -> None:
    """Say what `up` would run, lock, rewrite and break, and for how long; nothing is changed.

    Ends with 1 where there is no saying, or `up` would not get through.
    """
    from dashtam import migrations

    planned = asyncio.run(migrations.plan(load().database, revision))
    if json:
        say_json(planned.as_dict())
    else:
        say(planned.render())
    raise typer.Exit(ExitCode.FAILED if planned.obstacles else ExitCode.OK)


@app.command("new", hidden=True)
def new(message: Message) -> None:
    """Write the revision that brings this database to the models. For developers, in a checkout."""
    from dashtam import migrations

    say(migrations.new_revision(load().database, message))


def _once_reachable(run: Callable[[], "Outcome"], seconds: float) -> "Outcome":
    """Run it, and again for so many seconds while the database cannot be reached."""
    until = time.monotonic() + seconds
    told = False
    while True:
        try:
            return run()
        except Exception as error:
            said = refusal(error)
            if said is None or said.code != ExitCode.UNREACHABLE or time.monotonic() >= until:
                raise
        if not told:
            remark(f"{said.words} Waiting for it ...")
            told = True
        time.sleep(_POLL_SECONDS)


def tell_of_waiting() -> None:
    """Say why nothing seems to happen."""
    remark("Another migration of this database is running; waiting for it ...")


def outcome_words(outcome: "Outcome") -> str:
    """What a run did, in a line."""
    ran = f"Ran {', '.join(outcome.revisions)}. " if outcome.revisions else ""
    return f"{ran}{outcome.status.words}"


def _report(outcome: "Outcome", *, json: bool) -> None:
    if json:
        say_json({"ran": outcome.revisions, **_as_dict(outcome.status)})
    else:
        say(outcome_words(outcome))


def _as_dict(found: "Status") -> dict[str, Any]:
    return {**asdict(found), "words": found.words, "advice": found.advice}


def _ask(settings: Settings, revision: str) -> None:
    if not sys.stdin.isatty():
        raise Refusal("Going back loses data: add --yes if that is meant.", ExitCode.USAGE)
    from sqlalchemy.engine import make_url

    where = make_url(settings.database).render_as_string(hide_password=True)
    if not typer.confirm(f"Go back to {revision} in {where}, and lose the data of what is removed?"):
        raise Refusal("Nothing was changed.")
