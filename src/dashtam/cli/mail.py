"""`dashtam mail`: the outbox, looked at and delivered by hand. What a mail says is never shown."""

import asyncio
import signal
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal
from uuid import UUID

import typer

from dashtam.cli.console import AsJson, remark, say, say_json, say_table, when
from dashtam.cli.exit_codes import ExitCode
from dashtam.cli.parts import service
from dashtam.cli.trouble import Refusal

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from dashtam.core.mail import Delivery
    from dashtam.core.service import Service
    from dashtam.core.tables import OutboxMail

app = typer.Typer(help="The mail outbox.", no_args_is_help=True)

State = Literal["waiting", "stuck", "given-up", "sent"]
_COLUMNS = ("id", "to", "template", "state", "attempts", "created_at", "next_attempt_at", "last_error")
_MOST = 1000

Which = Annotated[str, typer.Argument(metavar="[ID]", help="The mail to retry; without: every stuck one.")]
Every = Annotated[bool, typer.Option("--all", help="Sent ones too.")]
Watch = Annotated[bool, typer.Option("--watch", help="Go on delivering until stopped.")]


@app.command("list")
def list_mail(*, every: Every = False, json: AsJson = False) -> None:
    """List what is not sent: waiting, stuck (tried, and to be tried again) or given up."""
    asyncio.run(_list(every=every, json=json))


@app.command("deliver")
def deliver(*, watch: Watch = False, json: AsJson = False) -> None:
    """Deliver what is due now, once. Ends with 1 if a mail was not taken."""
    raise typer.Exit(asyncio.run(_deliver(watch=watch, json=json)))


@app.command("retry")
def retry(which: Which = "", *, json: AsJson = False) -> None:
    """Make stuck mails due now; a delivery worker takes them up within about a second."""
    asyncio.run(_retry(_id(which) if which else None, json=json))


async def _list(*, every: bool, json: bool) -> None:
    from sqlmodel import col, select

    from dashtam.core.tables import OutboxMail

    rows = select(OutboxMail).order_by(col(OutboxMail.created_at)).limit(_MOST)
    if not every:
        rows = rows.where(col(OutboxMail.sent_at).is_(None))
    async with service() as parts, parts.database.read() as db:
        mails = [_as_dict(mail) for mail in await db.exec(rows)]
    if json:
        say_json({"mails": mails})
    elif not mails:
        say("The outbox is empty.")
    else:
        say_table([name.upper().replace("_", " ") for name in _COLUMNS], [_line(mail) for mail in mails])


async def _deliver(*, watch: bool, json: bool) -> ExitCode:
    async with service() as parts:
        delivery = _delivery(parts)
        if watch:
            await _until_stopped(parts, delivery)
            return ExitCode.OK
        counts = await delivery.deliver_due()
    if json:
        say_json(asdict(counts))
    else:
        say(f"{counts.sent} sent, {counts.put_off} put off, {counts.given_up} given up.")
    return ExitCode.FAILED if counts.put_off or counts.given_up else ExitCode.OK


def _delivery(parts: "Service") -> "Delivery":
    from dashtam.core.mail import Delivery, transport_for
    from dashtam.features import mail_preparers

    if parts.settings.mail_transport == "memory":
        raise Refusal("MAIL_TRANSPORT=memory keeps mail in the server alone.", ExitCode.USAGE)
    return Delivery(
        parts.database,
        parts.outbox,
        transport_for(parts.settings),
        parts.clock,
        prepare=mail_preparers(parts),
    )


async def _until_stopped(parts: "Service", delivery: "Delivery") -> None:
    from dashtam.core.logs import configure

    configure(parts.settings)
    worker = asyncio.create_task(delivery.run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, worker.cancel)
    remark("Delivering mail. Ctrl-C stops it.")
    await asyncio.wait({worker})
    if not worker.cancelled():
        worker.result()


async def _retry(which: UUID | None, *, json: bool) -> None:
    from sqlmodel import col, update

    from dashtam.core.tables import OutboxMail

    stuck: list[ColumnElement[bool]] = [
        col(OutboxMail.sent_at).is_(None),
        col(OutboxMail.next_attempt_at).is_not(None),
        col(OutboxMail.last_error).is_not(None),
    ]
    if which is not None:
        stuck.append(col(OutboxMail.id) == which)
    async with service() as parts, parts.database.write() as db:
        due = update(OutboxMail).where(*stuck).values(next_attempt_at=parts.clock.now())
        found = [row[0] for row in (await db.exec(due.returning(col(OutboxMail.id)))).all()]
    if which is not None and not found:
        raise Refusal(
            f"There is no stuck mail {which}. What was given up cannot be sent: its content is gone."
        )
    if json:
        say_json({"due": found})
    else:
        say(f"{len(found)} due now.")


def _as_dict(mail: "OutboxMail") -> dict[str, object]:
    return {name: getattr(mail, name) for name in _COLUMNS if name != "state"} | {"state": _state(mail)}


def _line(mail: dict[str, object]) -> list[object]:
    from datetime import datetime

    cells = [mail[name] for name in _COLUMNS]
    return [when(cell) if isinstance(cell, datetime) else "-" if cell is None else cell for cell in cells]


def _state(mail: "OutboxMail") -> State:
    if mail.sent_at is not None:
        return "sent"
    if mail.next_attempt_at is None:
        return "given-up"
    return "stuck" if mail.last_error else "waiting"


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Refusal(
            f"{text} is not the id of a mail; `dashtam mail list` shows them.", ExitCode.USAGE
        ) from None
