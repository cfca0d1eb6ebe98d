"""`dashtam doctor`: what is right and wrong with a deployment, as a checklist."""

import asyncio
import os
import re
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated

import typer

from dashtam.cli.address import base_url, own_url
from dashtam.cli.console import AsJson, say, say_json
from dashtam.cli.exit_codes import ExitCode
from dashtam.cli.smoke import token_in
from dashtam.cli.trouble import Refusal

if TYPE_CHECKING:
    from dashtam.doctor.report import AnyResult

_HOST = re.compile(r"[A-Za-z0-9_.:\[\]-]+")

Url = Annotated[
    str, typer.Argument(help="Examine the server at this URL, from outside alone.", show_default=False)
]
LocalOnly = Annotated[
    bool, typer.Option("--local", help="Examine from inside alone: this environment's settings.")
]
HostName = Annotated[
    str, typer.Option("--host", help="Send this Host: to ask a server in production past its proxy.")
]
Prefix = Annotated[str, typer.Option(envvar="API_V1_PREFIX", help="Where the API lives on that server.")]


def doctor(
    url: Url = "",
    *,
    local: LocalOnly = False,
    prefix: Prefix = "/api/v1",
    host: HostName = "",
    json: AsJson = False,
) -> None:
    """Say what is wrong with a deployment, and what to do. Changes nothing.

    Without URL and --local: this environment's deployment from inside, and at its PUBLIC_URL from outside.
    Ends with 5 if there is something to look at, 1 if something fails, 2 if a setting is wrong, 3 if server or
    database do not answer.
    """
    if url and local:
        raise Refusal("Give a URL, or --local, not both; neither stands for both.", ExitCode.USAGE)
    if host and (not url or not _HOST.fullmatch(host)):
        raise Refusal("--host takes the name to send, and goes with a URL.", ExitCode.USAGE)
    _follow_port()
    found = _from_outside(base_url(url), prefix, host) if url else _from_inside(local_only=local)
    raise typer.Exit(asyncio.run(_examine(found, json=json)))


def _follow_port() -> None:
    """Where PUBLIC_URL is not set it follows PORT, as in `dashtam up` and `dashtam serve`."""
    if (port := os.environ.get("PORT", "")).isdecimal():
        os.environ.setdefault("PUBLIC_URL", own_url("127.0.0.1", int(port)))


async def _examine(found: "AsyncIterator[AnyResult]", *, json: bool) -> ExitCode:
    from dashtam.doctor.report import as_dict, summary

    began = time.perf_counter()
    results: list[AnyResult] = []
    area = ""
    async for result in found:
        if not json and not result.stopped:  # the count at the end has room for those
            _show(result, area)
            area = result.check.area
        results.append(result)
    seconds = time.perf_counter() - began
    if json:
        say_json(as_dict(results, seconds))
    else:
        say()
        say(summary(results, seconds))
    return _code(results)


async def _from_outside(url: str, prefix: str, host: str) -> "AsyncIterator[AnyResult]":
    from dashtam.doctor import REMOTE
    from dashtam.doctor.checkup import examine
    from dashtam.doctor.remote import remote

    token = token_in("SMOKE_TOKEN")
    async with remote(url, prefix=prefix, host=host, smoke_token=token) as server:
        async for result in examine(server, REMOTE):
            yield result


async def _from_inside(*, local_only: bool) -> "AsyncIterator[AnyResult]":
    from dashtam.doctor import LOCAL, REMOTE
    from dashtam.doctor.checkup import examine
    from dashtam.doctor.local import local
    from dashtam.doctor.remote import remote

    async with local() as here:
        async for found in examine(here, LOCAL):
            yield found
        if local_only or here.parts is None:
            return
        settings = here.settings
        token = settings.smoke_token.get_secret_value()
        async with remote(
            settings.public_url, prefix=settings.api_v1_prefix, settings=settings, smoke_token=token
        ) as server:
            async for result in examine(server, REMOTE):
                yield result


def _show(result: "AnyResult", area: str) -> None:
    from dashtam.doctor.report import lines

    if result.check.area != area:
        say(result.check.area)
    for line in lines(result):
        say(line)


def _code(results: "list[AnyResult]") -> ExitCode:
    from dashtam.doctor.check import Verdict
    from dashtam.doctor.report import unreachable, unusable, worst

    if unusable(results):
        return ExitCode.USAGE
    if unreachable(results):
        return ExitCode.UNREACHABLE
    return {Verdict.FAILURE: ExitCode.FAILED, Verdict.WARNING: ExitCode.WARNINGS}.get(
        worst(results), ExitCode.OK
    )
