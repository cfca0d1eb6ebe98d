"""`dashtam users`: what an operator does with accounts. A password is never an argument."""

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from dashtam.cli.console import AsJson, say, say_json, when
from dashtam.cli.exit_codes import ExitCode
from dashtam.cli.parts import service
from dashtam.cli.trouble import Refusal

if TYPE_CHECKING:
    from datetime import datetime

    from sqlmodel.ext.asyncio.session import AsyncSession

    from dashtam.core.audit import Client
    from dashtam.core.service import Service
    from dashtam.core.tables import User

app = typer.Typer(help="Accounts, as an operator sees them.", no_args_is_help=True)

_NAME_LENGTH = 100

Who = Annotated[str, typer.Argument(metavar="EMAIL|ID", help="The address of the account, or its id.")]
Email = Annotated[str, typer.Argument(help="The address of the new account.")]
Name = Annotated[str, typer.Option(prompt=True, help="The name of the account.")]
Verified = Annotated[
    bool, typer.Option("--verified", help="Take the address as verified: no mail is needed.")
]
FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


@app.command("create")
def create(
    email: Email,
    *,
    name: Name,
    verified: Verified = False,
    password_stdin: FromStdin = False,
    json: AsJson = False,
) -> None:
    """Make an account. The password is asked for, twice and unseen."""
    password = (
        _piped_password()
        if password_stdin
        else typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    )
    asyncio.run(_create(email, name, password, verified=verified, json=json))


@app.command("show")
def show(who: Who, *, json: AsJson = False) -> None:
    """Show an account and how many sessions it has."""
    asyncio.run(_show(who, json=json))


@app.command("disable")
def disable(who: Who, *, json: AsJson = False) -> None:
    """Deactivate an account: its sessions and mailed links are dead from the next request on."""
    asyncio.run(_set_active(who, json=json, active=False))


@app.command("enable")
def enable(who: Who, *, json: AsJson = False) -> None:
    """Let a deactivated account log in again. Sessions that were ended stay ended."""
    asyncio.run(_set_active(who, json=json, active=True))


async def _create(email: str, name: str, password: str, *, verified: bool, json: bool) -> None:
    from dashtam.core import users

    name = _fit_name(name)
    address = _canonical(email)
    async with service() as parts:
        await parts.passwords.refuse_unfit(password, email=address, name=name)
        hashed = await parts.passwords.hash(password)
        now = parts.clock.now()
        async with parts.database.write() as db:
            if not await users.add(db, email=email, name=name, password_hash=hashed, now=now):
                raise Refusal(f"There is an account with the address {address} already.")
            user = await _find(db, address)
            _settle(db, parts, user, now, verified=verified)
        await _tell(parts, user.id, json=json)
    if not verified and not json:
        say("It can log in once its address is verified: a mail with the link is queued.")


async def _show(who: str, *, json: bool) -> None:
    async with service() as parts:
        async with parts.database.read() as db:
            user = await _find(db, who)
        await _tell(parts, user.id, json=json)


async def _set_active(who: str, *, json: bool, active: bool) -> None:
    from dashtam.core import users

    async with service() as parts:
        async with parts.database.write() as db:
            user = await _find(db, who)
            change = users.enable if active else users.disable
            await change(db, user.id, _operator(), parts.clock.now())
        await _tell(parts, user.id, json=json)


def _settle(db: "AsyncSession", parts: "Service", user: "User", now: "datetime", *, verified: bool) -> None:
    """What a new account gets beside its row, in the same transaction."""
    from dashtam.core import audit, one_time

    if verified:
        user.email_verified_at = now
        db.add(user)
    else:
        parts.outbox.queue(db, "resend-verification", user.email, now, token=one_time.new_token())
    audit.record(db, "account-created", _operator(), now, user_id=user.id, detail={"verified": verified})


async def _find(db: "AsyncSession", who: str) -> "User":
    from dashtam.core import users

    user = await users.find(db, _canonical(who)) if "@" in who else await users.get(db, _id(who))
    if user is None:
        raise Refusal(f"There is no account {who}.")
    return user


async def _tell(parts: "Service", user_id: UUID, *, json: bool) -> None:
    """The account as it is committed, read anew."""
    from sqlalchemy import func
    from sqlmodel import col, select

    from dashtam.core.tables import Session, User

    current = (
        select(func.count())
        .select_from(Session)
        .where(col(Session.user_id) == user_id, col(Session.revoked_at).is_(None))
        .where(col(Session.expires_at) > parts.clock.now())
    )
    async with parts.database.read() as db:
        user = (await db.exec(select(User).where(col(User.id) == user_id))).one()
        sessions = (await db.exec(current)).one()
    shown = _as_dict(user, sessions)
    if json:
        say_json(shown)
    else:
        _say_user(user, sessions)


def _say_user(user: "User", sessions: int) -> None:
    say(f"{user.email}  {user.name}")
    say(f"  id        {user.id}")
    say(f"  role      {user.role}")
    say(f"  state     {'active' if user.is_active else 'disabled'}")
    say(f"  verified  {when(user.email_verified_at)}")
    say(f"  created   {when(user.created_at)}")
    say(f"  sessions  {sessions}")


def _as_dict(user: "User", sessions: int) -> dict[str, object]:
    fields = ("id", "email", "name", "role", "is_active", "email_verified_at", "created_at", "updated_at")
    return {field: getattr(user, field) for field in fields} | {"sessions": sessions}


def _operator() -> "Client":
    from dashtam.core.audit import Client

    return Client(user_agent="dashtam users")


def _piped_password() -> str:
    """The first line of standard input, without its end."""
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise Refusal("There is no password on standard input.", ExitCode.USAGE)
    return password


def _fit_name(name: str) -> str:
    name = name.strip()
    if not 0 < len(name) <= _NAME_LENGTH or not name.isprintable():
        raise Refusal(f"The name must have 1 to {_NAME_LENGTH} printable characters.", ExitCode.USAGE)
    return name


def _canonical(email: str) -> str:
    from dashtam.core.users import canonical

    try:
        return canonical(email)
    except ValueError as error:
        raise Refusal(f"The address {error}.", ExitCode.USAGE) from None


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Refusal(f"{text} is neither an e-mail address nor an id.", ExitCode.USAGE) from None
