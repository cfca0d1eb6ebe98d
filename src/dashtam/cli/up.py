"""`dashtam up`: migrate, serve, and prove it by the journey; then keep serving."""

import asyncio
import signal
import time
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import typer

from dashtam.cli.address import Host, Port, listen, own_url, settings_at
from dashtam.cli.console import remark, say
from dashtam.cli.exit_codes import ExitCode
from dashtam.cli.trouble import Refusal
from dashtam.settings import Settings

if TYPE_CHECKING:
    import httpx2

    from dashtam.cli.child import ServerProcess
    from dashtam.journey import Result

_READY_SECONDS = 30.0
_POLL_SECONDS = 0.03
_MAIL_SECONDS = 10.0


def up(*, host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """Migrate the database, serve the API, play the 18 steps against it, and keep serving until stopped."""
    settings = settings_at(host, port)
    _refuse_unreadable_mail(settings)
    listen(host, port).close()  # a busy port is named before anything is migrated
    raise typer.Exit(asyncio.run(_up(host, port, settings)))


def _refuse_unreadable_mail(settings: Settings) -> None:
    if settings.mail_transport != "mailbox" and not settings.smoke_token.get_secret_value():
        raise Refusal(
            f"The journey could not read its mail: MAIL_TRANSPORT is {settings.mail_transport} and SMOKE_TOKEN "
            "is not set. Set it, or use `dashtam migrate up` and `dashtam serve`.",
            ExitCode.USAGE,
        )


async def _up(host: str, port: int, settings: Settings) -> int:
    from dashtam.cli.child import ServerProcess

    await _migrate(settings)
    server = await ServerProcess.start(host, port)
    stop = _Stop(server)
    try:
        result = await _prove(server, own_url(host, port), settings)
        last = await _last_of_the_journey(own_url(host, port), settings) if result.passed else ""
    except asyncio.CancelledError:
        await server.stop()
        remark("Stopped before the journey was over.")
        return ExitCode.FAILED
    except BaseException:
        await server.stop()
        raise
    if not result.passed:
        await _give_up(server)
        return ExitCode.FAILED
    stop.only_pass_on()
    _say_where(own_url(host, port), settings, result)
    server.show_log(after=last)
    return await server.wait()


class _Stop:
    """What a signal does: while the journey is played it ends that; afterwards it is the server's to obey."""

    def __init__(self, server: "ServerProcess") -> None:
        self._server = server
        self._journey = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._come, number)

    def only_pass_on(self) -> None:
        self._journey = None

    def _come(self, number: signal.Signals) -> None:
        if self._journey is not None:
            self._journey.cancel()
        else:
            self._server.pass_on(number)


async def _migrate(settings: Settings) -> None:
    from dashtam import migrations
    from dashtam.cli.migrate import outcome_words, tell_of_waiting

    say(outcome_words(await migrations.upgrade(settings.database, waiting=tell_of_waiting)))


async def _last_of_the_journey(url: str, settings: Settings) -> str:
    """The id of one more request, whose line ends the journey's part of the log; none if no requests are logged."""
    from dashtam.cli.smoke import open_client

    if settings.log_level not in {"debug", "info"}:
        return ""
    async with open_client(url, host=urlsplit(settings.public_url).netloc) as client:
        answer = await client.get("/health/live")
    return answer.headers.get("X-Request-ID", "")


async def _prove(server: "ServerProcess", url: str, settings: Settings) -> "Result":
    from dashtam.cli.smoke import open_client, play_shown

    async with open_client(url, host=urlsplit(settings.public_url).netloc) as client:
        await _until_ready(server, client)
        say(f"The server is ready at {url}. The journey:")
        return await play_shown(
            client,
            token=settings.smoke_token.get_secret_value(),
            prefix=settings.api_v1_prefix,
            domain=settings.smoke_domain,
            patience=_MAIL_SECONDS,
        )


async def _until_ready(server: "ServerProcess", client: "httpx2.AsyncClient") -> None:
    until = time.monotonic() + _READY_SECONDS
    said = "nothing"
    while time.monotonic() < until:
        await server.ends_within(_POLL_SECONDS)
        await server.refuse_early_end()
        ready, said = await _ask(client)
        if ready:
            return
    raise Refusal(
        f"The server was not ready after {_READY_SECONDS:g} s. /health/ready answered: {said}\n"
        f"{server.kept_log()}",
        ExitCode.UNREACHABLE,
    )


async def _ask(client: "httpx2.AsyncClient") -> tuple[bool, str]:
    import httpx2

    try:
        answer = await client.get("/health/ready", timeout=2)
    except httpx2.TransportError as error:
        return False, type(error).__name__
    return answer.status_code == HTTPStatus.OK, f"{answer.status_code} {answer.text}"


async def _give_up(server: "ServerProcess") -> None:
    await server.stop()
    remark("The journey failed, so the server was stopped. Its log:")
    remark(server.kept_log())


def _say_where(url: str, settings: Settings, result: "Result") -> None:
    say()
    say(f"  API      {url}")
    if settings.docs_on:
        say(f"  Docs     {url}/docs")
    if settings.mail_transport == "mailbox":
        say(f"  Mailbox  {url}/dev/mailbox")
    say(f"  Journey  {result.score}")
    say()
    say("Ctrl-C stops the server.")
