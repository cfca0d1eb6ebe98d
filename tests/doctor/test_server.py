"""Checks from outside that need a real server and a real socket: silence, slowness, clocks, nodes and TLS."""

import asyncio
import re
import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path

import httpx2
import pytest

from dashtam import __version__
from dashtam.core.clock import Clock
from dashtam.doctor.remote import Remote, remote
from dashtam.settings import load
from tests.core.mail_rig import certificate
from tests.doctor.asking import answer, complaints
from tests.doctor.fronts import Answer, Front, Request, through
from tests.makers import CHEAP, SECRET, Deployment, MovableClock, deployed

HERE = "http://testserver"


@pytest.fixture
async def one(
    base_url: Callable[[str], str], dbparity_lend: Callable[[str], AbstractContextManager[str]]
) -> AsyncIterator[Deployment]:
    """A server of developers."""
    with dbparity_lend(base_url("sqlite")) as url:
        settings = load(
            environment="test", database_url=url, secret_key=SECRET, public_url=HERE, mail_transport="memory"
        )
        async with deployed(settings, CHEAP) as running:
            yield running


def seen(one: Deployment, url: str = HERE, *, beside: bool = False) -> Remote:
    """The server from outside; with its settings as from `beside` it."""
    return Remote(url, one.client, Clock(), settings=one.settings if beside else None)


async def test_a_server_of_developers_has_nothing_wrong(one: Deployment):
    assert await complaints(seen(one)) == {}
    assert await complaints(seen(one, beside=True)) == {}


@pytest.mark.plants("server.answers")
async def test_where_nobody_listens_the_server_does_not_answer(unused_tcp_port: int):
    async with remote(f"http://127.0.0.1:{unused_tcp_port}") as server:
        found = await answer(server, "server.answers")
        assert (found.verdict, found.evidence.endswith("does not answer: ConnectError")) == ("failure", True)
        assert list(await complaints(server)) == ["server.answers"]


@pytest.mark.plants("server.answers")
async def test_a_server_that_says_nothing_is_told_from_one_that_is_not_there():
    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with silent, remote(f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}") as server:
        server.client.timeout = 0.1
        found = await answer(server, "server.answers")
    assert (found.verdict, found.evidence.rpartition(" ")[2]) == ("failure", "ReadTimeout")


@pytest.mark.plants("server.answers")
async def test_a_server_that_sends_elsewhere_is_to_be_asked_there(one: Deployment):
    async with through(Front(one.app), url="http://auth.example.org") as server:
        found = await answer(server, "server.answers")
    assert (found.verdict, found.evidence) == (
        "failure",
        "http://auth.example.org/health/live leads to https://auth.example.org/health/live",
    )
    assert "Ask there" in found.remedy


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("http://127.0.0.1:8000", False),
        ("http://[::1]:8000", False),
        ("http://10.0.0.7", False),
        ("http://app:8000", False),
        ("http://app.internal", False),
        ("http://auth.example.org", True),
        ("https://10.0.0.7", True),
    ],
)
def test_an_address_is_for_others_if_it_has_tls_or_a_public_name(url: str, *, public: bool):
    assert Remote(url, httpx2.AsyncClient(), Clock()).is_public is public


@pytest.mark.plants("server.ready")
async def test_a_server_without_tables_is_not_ready(tmp_path: Path):
    settings = load(
        database_url=f"sqlite:///{tmp_path}/empty.db", secret_key=SECRET, public_url="http://testserver"
    )
    async with deployed(settings, CHEAP) as running:
        found = await answer(Remote("http://testserver", running.client, Clock()), "server.ready")
    assert found.verdict == "failure"
    assert "answers 503: The tables are not what this version needs" in found.evidence
    assert "dashtam doctor --local" in found.remedy


@pytest.mark.plants("server.prompt")
async def test_a_server_that_takes_its_time_is_to_be_looked_at(one: Deployment):
    first = iter((0.0,))

    class Slow(Front):
        async def _asked(self, request: Request, receive: object) -> Answer:
            await asyncio.sleep(next(first, 1.05))  # what is measured
            return Answer(200, {"content-type": "application/json"}, b'{"status":"healthy"}')

    async with through(Slow(one.app)) as server:
        found = await answer(server, "server.prompt")
    assert found.verdict == "warning"
    assert "asks neither database nor disk" in found.evidence
    assert "workers" in found.remedy


@pytest.mark.plants("server.environment")
async def test_a_server_of_developers_at_a_public_address_is_to_be_looked_at(one: Deployment):
    found = await answer(seen(one, "http://auth.example.org"), "server.environment")
    assert (found.verdict, f"it runs as test {__version__}" in found.evidence) == ("warning", True)
    assert "ENVIRONMENT=prod" in found.remedy


@pytest.mark.plants("server.environment")
async def test_a_server_with_other_settings_than_these_is_told(one: Deployment):
    other = one.settings.model_copy(update={"environment": "ci"})
    found = await answer(replace(seen(one), settings=other), "server.environment")
    assert (found.verdict, found.evidence) == (
        "warning",
        "the server says it is test, and this environment says ci",
    )
    assert "PUBLIC_URL" in found.remedy


def _old(request: Request, said: Answer) -> None:
    if request["path"] == "/health":
        said.body = said.body.replace(__version__.encode(), b"0.0.9")
        said.headers["content-length"] = str(len(said.body))


@pytest.mark.plants("server.environment")
async def test_a_server_of_another_version_is_told(one: Deployment):
    front = Front(one.app, alter=_old)
    async with through(front, url="https://127.0.0.1", settings=one.settings) as server:
        found = await answer(server, "server.environment")
    assert found.evidence == f"the server runs version 0.0.9, and this is {__version__}"
    assert (found.verdict, "Restart the server" in found.remedy) == ("warning", True)


@pytest.mark.plants("server.nodes")
async def test_nodes_of_different_versions_are_told(one: Deployment):
    turns = iter(range(1_000))

    def every_other(request: Request, said: Answer) -> None:
        if request["path"] == "/health" and next(turns) % 2:
            _old(request, said)

    async with through(Front(one.app, alter=every_other), url="https://127.0.0.1") as server:
        found = await answer(server, "server.nodes")
    assert (found.verdict, found.evidence) == (
        "warning",
        f"6 connections were told versions 0.0.9, {__version__}",
    )
    assert "all run the same release" in found.remedy


@pytest.mark.plants("server.clock")
async def test_a_clock_that_is_two_minutes_off_is_told():
    clock = MovableClock()
    clock.move(minutes=2)
    async with alive() as url, remote(url, clock=clock) as server:
        found = await answer(server, "server.clock")
    async with alive() as url, remote(url) as server:
        assert (await answer(server, "server.clock")).verdict == "ok"
    assert found.verdict == "warning"
    assert re.fullmatch(r"its clock and ours are 1[12]\d s apart", found.evidence)
    assert "NTP" in found.remedy


class TestTls:
    """Of a server with a certificate of 90 days."""

    @pytest.fixture
    def tls(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
        context, pem = certificate(tmp_path)
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        return context

    async def test_a_good_certificate_and_new_versions_alone_are_well(self, tls: ssl.SSLContext):
        async with alive(tls) as url, remote(url) as server:
            good, versions = await answer(server, "tls.certificate"), await answer(server, "tls.versions")
        assert (good.verdict, "89 days from now" in good.evidence) == ("ok", True)
        assert (versions.verdict, versions.evidence) == ("ok", "TLS 1.0 and 1.1 are refused")

    @pytest.mark.plants("tls.certificate")
    async def test_a_certificate_that_nears_its_end_is_told(self, tls: ssl.SSLContext):
        clock = MovableClock()
        clock.move(days=80)
        async with alive(tls) as url, remote(url, clock=clock) as server:
            found = await answer(server, "tls.certificate")
        assert (found.verdict, "Renew the certificate" in found.remedy) == ("warning", True)

    @pytest.mark.plants("server.answers")
    async def test_a_certificate_that_nobody_vouches_for_is_named(
        self, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.delenv("SSL_CERT_FILE")
        async with alive(tls) as url, remote(url) as server:
            found = await answer(server, "server.answers")
        assert (found.verdict, "its certificate is refused, self-signed" in found.evidence) == (
            "failure",
            True,
        )

    @pytest.mark.plants("tls.versions")
    async def test_old_versions_are_found(self, tls: ssl.SSLContext):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            tls.minimum_version = ssl.TLSVersion.TLSv1
        tls.set_ciphers("ALL:@SECLEVEL=0")
        async with alive(tls) as url, remote(url) as server:
            found = await answer(server, "tls.versions")
        assert (found.verdict, found.evidence) == ("failure", "a connection with TLSv1.1 is accepted")
        assert "ssl_protocols TLSv1.2 TLSv1.3" in found.remedy


@asynccontextmanager
async def alive(tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that is alive and no more: one answer a connection, whatever it is asked."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"status":"healthy"}'
        date = formatdate(usegmt=True).encode()
        head = b"HTTP/1.1 200 OK\r\nDate: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        writer.write(head % (date, len(body)) + body)
        await writer.drain()
        writer.close()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ssl.SSLError, asyncio.IncompleteReadError):
            await serve(reader, writer)

    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
