"""`dashtam smoke`: the journey against any server, with a live checklist and reports."""

import asyncio
import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from dashtam.cli.address import base_url
from dashtam.cli.console import rich_console, say
from dashtam.cli.exit_codes import ExitCode
from dashtam.cli.trouble import Refusal
from dashtam.secret_files import BadSecretFileError, secret

if TYPE_CHECKING:
    import httpx2

    from dashtam.journey import Result

_TIMEOUT_SECONDS = 15

Url = Annotated[str, typer.Argument(help="The base URL of the server.")]
JsonTo = Annotated[
    str, typer.Option("--json", metavar="FILE", help="Write the result as JSON; - for standard output.")
]
JunitTo = Annotated[str, typer.Option("--junit", metavar="FILE", help="Write the result as JUnit XML.")]
HtmlTo = Annotated[str, typer.Option("--html", metavar="FILE", help="Write the result as an HTML page.")]
TokenFrom = Annotated[
    str,
    typer.Option("--smoke-token", metavar="NAME", help="The variable that holds the server's SMOKE_TOKEN."),
]
Prefix = Annotated[str, typer.Option(envvar="API_V1_PREFIX", help="Where the API lives on that server.")]
Domain = Annotated[
    str, typer.Option(envvar="SMOKE_DOMAIN", help="The reserved domain of the journey's addresses.")
]
Patience = Annotated[float, typer.Option(min=0, help="Seconds to wait for each mail.")]


def smoke(  # noqa: PLR0913  as many as there are options
    url: Url = "http://127.0.0.1:8000",
    *,
    json: JsonTo = "",
    junit: JunitTo = "",
    html: HtmlTo = "",
    smoke_token: TokenFrom = "SMOKE_TOKEN",  # noqa: S107  the name of a variable
    prefix: Prefix = "/api/v1",
    domain: Domain = "journey.invalid",
    patience: Patience = 10,
) -> None:
    """Play the 18 steps against a running server. Ends with 1 if a step fails, 3 if nothing answers.

    In production the mail is read back with SMOKE_TOKEN, which is taken from the environment, or from the file
    that SMOKE_TOKEN_FILE names.
    """
    url = base_url(url)
    for path in (json, junit, html):
        _refuse_unwritable(path)
    token = token_in(smoke_token)
    result = asyncio.run(
        _play(url, token=token, prefix=prefix, domain=domain, patience=patience, to_stderr=json == "-")
    )
    _write_reports(result, json=json, junit=junit, html=html)
    if result.passed:
        raise typer.Exit(ExitCode.OK)
    raise typer.Exit(ExitCode.UNREACHABLE if result.unreachable else ExitCode.FAILED)


def open_client(url: str, *, host: str | None = None) -> "AbstractAsyncContextManager[httpx2.AsyncClient]":
    """A client for that server alone: no proxy from the environment; `host` where it goes by another name."""
    import httpx2

    headers = {"User-Agent": "dashtam-journey"} | ({"Host": host} if host else {})
    return httpx2.AsyncClient(
        base_url=url, timeout=_TIMEOUT_SECONDS, headers=headers, trust_env=urlsplit(url).scheme == "https"
    )


async def play_shown(
    client: "httpx2.AsyncClient",
    *,
    token: str,
    prefix: str,
    domain: str,
    patience: float,
    to_stderr: bool = False,
) -> "Result":
    """Play the journey with its checklist on the terminal."""
    from dashtam.journey import HttpMailbox, play
    from dashtam.journey.checklist import Checklist

    checklist = Checklist(rich_console(stderr=to_stderr))
    mailbox = HttpMailbox(client, smoke_token=token or None)
    with checklist:
        result = await play(
            client, mailbox, on_event=checklist, prefix=prefix, domain=domain, patience=patience
        )
    checklist.show_result(result)
    return result


def token_in(variable: str) -> str:
    """The token in this variable, or in the file that VARIABLE_FILE names; empty if there is none."""
    try:
        return secret(variable, os.environ) or ""
    except BadSecretFileError as error:
        raise Refusal(f"{error.variable} {error.fault}.", ExitCode.USAGE) from None


async def _play(
    url: str, *, token: str, prefix: str, domain: str, patience: float, to_stderr: bool
) -> "Result":
    async with open_client(url) as client:
        return await play_shown(
            client, token=token, prefix=prefix, domain=domain, patience=patience, to_stderr=to_stderr
        )


def _write_reports(result: "Result", *, json: str, junit: str, html: str) -> None:
    from dashtam.journey.page import as_html
    from dashtam.journey.report import as_json, as_junit

    if json == "-":
        say(as_json(result))
    elif json:
        _write(json, as_json(result) + "\n")
    if junit:
        _write(junit, as_junit(result))
    if html:
        _write(html, as_html(result))


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refusal(f"The report cannot be written to {path}: {error.strerror}.") from None


def _refuse_unwritable(path: str) -> None:
    """Said before the journey, not after it."""
    if path not in {"", "-"} and not Path(path).resolve().parent.is_dir():
        raise Refusal(f"The report cannot be written to {path}: there is no such folder.", ExitCode.USAGE)
