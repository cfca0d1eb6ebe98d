"""`dashtam keys`: the signing keys and their schedule. No command shows a private key."""

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING

import typer

from dashtam.cli.console import AsJson, say, say_json, say_table, when
from dashtam.cli.parts import service

if TYPE_CHECKING:
    from dashtam.core.tables import SigningKey

app = typer.Typer(help="The keys that sign access tokens.", no_args_is_help=True)


@app.command("list")
def list_keys(*, json: AsJson = False) -> None:
    """List every key with the time it signs from and until."""
    asyncio.run(_list(json=json))


@app.command("rotate")
def rotate_keys(*, json: AsJson = False) -> None:
    """Publish a new key now; it signs once every verifier had time to learn of it (KEY_PUBLISH_SECONDS)."""
    asyncio.run(_rotate(json=json))


async def _list(*, json: bool) -> None:
    from dashtam.core.keys import every_key

    async with service() as parts:
        keys = [_as_dict(key, parts.clock.now()) for key in await every_key(parts.database)]
    if json:
        say_json({"keys": keys})
    elif not keys:
        say("There are no keys yet: the first start of the server makes one.")
    else:
        head = ("KID", "ALGORITHM", "STATE", "SIGNS FROM", "UNTIL")
        columns = ("kid", "algorithm", "state")
        times = ("activated_at", "retired_at")
        say_table(head, [[*(key[c] for c in columns), *(_time(key[c]) for c in times)] for key in keys])


async def _rotate(*, json: bool) -> None:
    from dashtam.core.keys import rotate

    async with service() as parts:
        now = parts.clock.now()
        await parts.keys.load(parts.database, now)
        successor = await rotate(parts.database, parts.keys, now)
    if json:
        say_json(_as_dict(successor, now))
    else:
        say(f"Key {successor.kid} is published and signs from {when(successor.activated_at)}.")


def _as_dict(key: "SigningKey", now: datetime) -> dict[str, object]:
    return {
        "kid": key.kid,
        "algorithm": key.algorithm,
        "state": _state(key, now),
        "activated_at": key.activated_at,
        "retired_at": key.retired_at,
    }


def _state(key: "SigningKey", now: datetime) -> str:
    if now < key.activated_at:
        return "upcoming"
    return "retired" if key.retired_at is not None and key.retired_at <= now else "signing"


def _time(moment: object) -> str:
    return when(moment) if isinstance(moment, datetime) else "-"
