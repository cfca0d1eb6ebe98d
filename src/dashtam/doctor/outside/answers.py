"""The server about itself: that it answers, is ready, quick, what it should be, and one and the same on every node."""

import asyncio
import ssl
from datetime import timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from time import perf_counter
from typing import Any

import httpx2

from dashtam import __version__
from dashtam.doctor.check import Answer, Check, failure, ok, skipped, warning
from dashtam.doctor.remote import Remote

_SLOW_SECONDS = 1.0
_CLOCKS_APART = timedelta(seconds=30)  # what nodes allow each other
_CONNECTIONS = 6


async def _answers(server: Remote) -> Answer:
    try:
        answer = await server.client.get("/health/live")
    except httpx2.TransportError as error:
        return failure(
            f"{server.url} does not answer: {_why(error)}",
            "Start it, or look at the way there: name, port, proxy, firewall, certificate.",
        )
    if answer.status_code == HTTPStatus.OK and health(answer):
        return ok(f"{server.url}/health/live answers 200")
    if answer.status_code == HTTPStatus.MISDIRECTED_REQUEST:
        return failure(
            f"{server.url} refuses this Host with 421",
            "Ask at its PUBLIC_URL; or send that one's host with `dashtam doctor URL --host NAME`; or, if people "
            "use this name too, add it to ALLOWED_HOSTS.",
        )
    if answer.is_redirect:
        return failure(
            f"{server.url}/health/live leads to {answer.headers.get('Location', 'nowhere')[:200]}",
            "Ask there; the doctor follows no redirect.",
        )
    return failure(
        f"{server.url}/health/live answers {answer.status_code}, and not as Dashtam does",
        "See that the URL is Dashtam's own, with the path that a proxy may have put before it.",
    )


def _why(error: BaseException) -> str:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return f"its certificate is refused, {seen.verify_message}"
        if isinstance(seen, ssl.SSLError):
            return f"TLS failed, {seen.reason or type(seen).__name__}"
        seen = seen.__cause__ or seen.__context__
    return type(error).__name__


def health(answer: httpx2.Response) -> dict[str, Any]:
    """What a health document says; nothing for what is none."""
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) and said.get("status") == "healthy" else {}


async def _ready(server: Remote) -> Answer:
    answer = await server.get("/health/ready")
    if answer.status_code == HTTPStatus.OK:
        return ok("/health/ready answers 200: database, tables and signing keys are there")
    return failure(
        f"/health/ready answers {answer.status_code}: {_detail(answer)}",
        "Do what it says; `dashtam doctor --local` on the server says more, and so does its log.",
    )


def _detail(answer: httpx2.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, LookupError, TypeError):
        return "without a reason, so this is not Dashtam's own answer"


async def _prompt(server: Remote) -> Answer:
    seconds = min(await asyncio.gather(_seconds(server), _seconds(server)))
    if seconds <= _SLOW_SECONDS:
        return ok(f"/health/live took {seconds * 1000:.0f} ms")
    return warning(
        f"/health/live took {seconds * 1000:.0f} ms, and it asks neither database nor disk",
        "Compare with the same from beside the server: if that is quick, the way there is slow; else it has too few "
        "cores or workers for what it is asked.",
    )


async def _seconds(server: Remote) -> float:
    began = perf_counter()
    await server.get("/health/live")
    return perf_counter() - began


async def _environment(server: Remote) -> Answer:
    said = health(await server.get("/health"))
    runs = said.get("environment", "prod")
    version = f" {said['version']}" if "version" in said else ""
    if server.settings is not None and runs != server.settings.environment:
        return warning(
            f"the server says it is {runs}, and this environment says {server.settings.environment}",
            "Run the doctor with the server's own variables, and see that PUBLIC_URL is that server's.",
        )
    if server.settings is not None and "version" in said and said["version"] != __version__:
        return warning(
            f"the server runs version{version}, and this is {__version__}",
            "Restart the server, or run the doctor that was installed with it.",
        )
    if runs != "prod" and server.is_public:
        return warning(
            f"it runs as {runs}{version} at an address that others can reach",
            "Set ENVIRONMENT=prod: what is convenient for developers, such as the open mailbox, is off then.",
        )
    return ok(f"it runs as {runs}{version}")


async def _clock(server: Remote) -> Answer:
    before = server.clock.now()
    date = (await server.get("/health/live")).headers.get("Date")
    if date is None:
        return skipped("the answer carries no Date")
    apart = _apart(date, before.timestamp(), server.clock.now().timestamp())
    if apart is None:
        return skipped("the Date of the answer cannot be read")
    if apart <= _CLOCKS_APART.total_seconds():
        return ok(f"its clock and ours agree to within {apart + 1:.0f} s")
    return warning(
        f"its clock and ours are {apart:.0f} s apart",
        "Let NTP set both. Tokens and links live from seconds to hours, and nodes that differ by more than 30 s "
        "refuse each other's.",
    )


def _apart(date: str, before: float, after: float) -> float | None:
    """How many seconds the Date lies outside of the time in which it must have been written."""
    try:
        written = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return None
    return max(before - (written + 1), written - after, 0.0)


async def _nodes(server: Remote) -> Answer:
    seen = await asyncio.gather(*(_node(server) for _ in range(_CONNECTIONS)))
    if len(set(seen)) == 1:
        return ok(f"{_CONNECTIONS} connections were told the same version and signing keys")
    versions = sorted({version for version, _ in seen})
    what = f"versions {', '.join(versions)}" if len(versions) > 1 else "different sets of signing keys"
    return warning(
        f"{_CONNECTIONS} connections were told {what}",
        "Nodes differ: see that all run the same release on the same database with the same SECRET_KEY. During a "
        "deployment, or within 30 s of `dashtam keys rotate`, that is so for a moment: ask again.",
    )


async def _node(server: Remote) -> tuple[str, frozenset[str]]:
    """What a node behind this URL says of itself, each time on a connection of its own."""
    alone = {"Connection": "close"}
    said = health(await server.get("/health", headers=alone))
    keys = await server.get("/.well-known/jwks.json", headers=alone)
    try:
        kids = frozenset(str(key["kid"]) for key in keys.json()["keys"])
    except (ValueError, LookupError, TypeError):
        kids = frozenset()
    return str(said.get("version", "?")), kids


CHECKS = (
    Check("server.answers", "The server answers", _answers),
    Check(
        "server.prompt", "The server answers at once", _prompt, needs=("server.answers",)
    ),  # while we ask no more
    Check("server.ready", "The server is ready", _ready, needs=("server.prompt",)),
    Check("server.environment", "It runs as what it should be", _environment, needs=("server.prompt",)),
    Check("server.clock", "Its clock is right", _clock, needs=("server.prompt",)),
    Check("server.nodes", "Every node is the same", _nodes, needs=("server.prompt",)),
)
