"""Checks from outside: each fault of a proxy or a server is found through a front that has it, a sound one has none."""

import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from dashtam.doctor import REMOTE
from dashtam.doctor.check import Verdict
from dashtam.doctor.checkup import examine
from dashtam.doctor.outside.proxy import STRANGE_HOST, judged_address
from dashtam.settings import Settings, load
from tests.doctor.asking import answer
from tests.doctor.fronts import (
    URL,
    Alter,
    Answer,
    Front,
    Request,
    header,
    own_host,
    put,
    take,
    through,
    without,
)
from tests.makers import CHEAP, SECRET, Deployment, deployed

JWKS = "/.well-known/jwks.json"
SMOKE_TOKEN = "qV7-smoke-4nJx9Lr2Tz8Wb5Kd1Hp6Ys3M"


@pytest.fixture
def sqlite_url(
    base_url: Callable[[str], str], dbparity_lend: Callable[[str], AbstractContextManager[str]]
) -> Iterator[str]:
    with dbparity_lend(base_url("sqlite")) as url:
        yield url


@pytest.fixture
def production(sqlite_url: str) -> Settings:
    return load(
        environment="prod",
        database_url=sqlite_url,
        secret_key=SECRET,
        public_url=URL,
        mail_transport="smtp",
        smtp_url="smtp://127.0.0.1:9",
        trusted_proxies="127.0.0.1/32",
        smoke_token=SMOKE_TOKEN,
    )


@pytest.fixture
async def running(production: Settings) -> AsyncIterator[Deployment]:
    async with deployed(production, hash_cost=CHEAP) as service:
        yield service


async def test_through_a_sound_proxy_nothing_is_wrong_and_nearly_all_is_examined(running: Deployment):
    async with through(Front(running.app), settings=running.settings) as server:
        found = {each.check.name: each.answer async for each in examine(server, REMOTE)}
    assert [name for name, each in found.items() if each.verdict is not Verdict.OK] == [
        "server.clock",  # no Date: that is the server's, and there is none between
        "tls.certificate",
        "tls.versions",
    ]
    assert {found[name].verdict for name in ("server.clock", "tls.certificate")} == {Verdict.SKIPPED}


@pytest.mark.parametrize("check", ["proxy.host", "tls.plain_http"])
async def test_what_a_proxy_says_itself_is_not_taken_for_the_service(running: Deployment, check: str):
    """Caddy, for one, answers 200 with nothing in it where no site of its own is meant."""

    def nothing(request: Request, answer: Answer) -> None:
        if header(request, "host") == STRANGE_HOST or request["scheme"] == "http":
            answer.status, answer.headers, answer.body = 200, {"content-length": "0"}, b""

    async with through(Front(running.app, alter=nothing, plain_is_served=True)) as server:
        found = await answer(server, check)
    assert (found.verdict, "answer" in found.evidence, "200, and not as" in found.evidence) == (
        "ok",
        True,
        True,
    )


async def test_asking_from_outside_writes_nothing(running: Deployment):
    before = rows(running)
    async with through(Front(running.app), settings=running.settings) as server:
        assert [each async for each in examine(server, REMOTE)]
    assert rows(running) == before


def rows(running: Deployment) -> list[str]:
    """Everything that is in the database."""
    with closing(sqlite3.connect(running.settings.database.partition(":///")[2])) as connection:
        return list(connection.iterdump())


def replaced_errors(_: Request, answer: Answer) -> None:
    if answer.status in {404, 503}:
        answer.headers = {"content-type": "text/html"}
        answer.body = b"<h1>Not Found</h1><center>nginx</center>"


def no_patch(request: Request, answer: Answer) -> None:
    if request["method"] == "PATCH":
        answer.status, answer.headers, answer.body = 405, {"content-type": "text/html"}, b"no"


def only_the_api(request: Request, answer: Answer) -> None:
    if not request["path"].startswith(("/api/", "/health", "/.well-known/")):
        answer.status, answer.headers, answer.body = 404, {"content-type": "text/html"}, b"no"


def follows_forwarded_host(request: Request, answer: Answer) -> None:
    if host := header(request, "x-forwarded-host"):
        answer.status, answer.headers["location"] = 302, f"https://{host}{request['path']}"


def moved(request: Request) -> None:
    request["path"] = request["path"].replace("/api/", "/service/")


def lost_check(request: Request) -> None:
    request["path"] = request["path"].removesuffix("/check")


def another_host(request: Request) -> None:
    without("host")(request)
    request["headers"].append((b"host", b"10.0.0.7:8000"))


def bad_gateway(_: Request, answer: Answer) -> None:
    answer.status, answer.headers, answer.body = 502, {"content-type": "text/html"}, b"<h1>Bad Gateway</h1>"


def maintenance(request: Request, answer: Answer) -> None:
    if request["path"] == "/health/ready":
        bad_gateway(request, answer)


def caching() -> Alter:
    kept: dict[str, Answer] = {}

    def alter(request: Request, answer: Answer) -> None:
        if request["method"] != "GET" or answer.status != 200:
            return
        first = kept.setdefault(request["path"], Answer(answer.status, answer.headers, answer.body))
        answer.headers, answer.body = first.headers, first.body

    return alter


def keys(change: Callable[[dict[str, Any]], None]) -> Alter:
    """Publishes the keys as `change` leaves each of them."""

    def alter(request: Request, answer: Answer) -> None:
        if request["path"] == JWKS:
            published = json.loads(answer.body)
            for key in published["keys"]:
                change(key)
            answer.body = json.dumps(published).encode()
            answer.headers["content-length"] = str(len(answer.body))

    return alter


def no_keys(request: Request, answer: Answer) -> None:
    if request["path"] == JWKS:
        answer.body = b'{"keys":[]}'
        answer.headers["content-length"] = "11"


def open_mailbox(request: Request, answer: Answer) -> None:
    if request["path"] == "/dev/mailbox":
        answer.status, answer.body = 200, b'{"messages":[]}'
        answer.headers["content-length"] = str(len(answer.body))


def nodes_in_turn() -> Alter:
    """Two nodes take turns; they do not publish the same keys."""
    turn = iter(range(1_000))

    def alter(request: Request, answer: Answer) -> None:
        if request["path"] == JWKS and next(turn) % 2:
            keys(lambda key: key.update(kid="another"))(request, answer)

    return alter


class Plant:
    """A broken front, and what is to be said of it."""

    def __init__(self, check: str, verdict: str, evidence: str, remedy: str, **front: Any) -> None:
        self.check, self.verdict, self.evidence, self.remedy, self.front = (
            check,
            verdict,
            evidence,
            remedy,
            front,
        )


def plants(name: str, *plant: str, **front: Any) -> Any:
    """A case of the test below that plants a fault for the check of this name."""
    return pytest.param(
        Plant(name, *plant, **front), id=f"{name}: {plant[1]}", marks=pytest.mark.plants(name)
    )


@pytest.mark.parametrize(
    "plant",
    [
        plants("tls.plain_http", "failure", "answers 200", "redirect", plain_is_served=True),
        plants("tls.hsts", "warning", "is missing", "PUBLIC_URL", alter=take("strict-transport-security")),
        plants(
            "tls.hsts",
            "warning",
            "max-age=0",
            "pass on the service's own",
            alter=put("strict-transport-security", "max-age=0"),
        ),
        plants("api.prefix", "failure", "404 in place of 401", "API_V1_PREFIX", alter=None, rewrite=moved),
        plants("api.tokens", "failure", "422 in place of 400", "bodies", rewrite=lost_check),
        plants(
            "api.no_store",
            "failure",
            "max-age=3600",
            "Cache-Control",
            alter=put("cache-control", "max-age=3600"),
        ),
        plants("api.keys", "failure", "without a key", "/health/ready", alter=no_keys),
        plants(
            "api.keys",
            "failure",
            "private members",
            "DELETE FROM signing_keys",
            alter=keys(lambda key: key.update(d="x")),
        ),
        plants(
            "api.keys",
            "failure",
            "not its thumbprint",
            "keys list",
            alter=keys(lambda key: key.update(kid="x")),
        ),
        plants(
            "api.keys", "failure", "cannot be read", "keys list", alter=keys(lambda key: key.update(crv="x"))
        ),
        plants("api.keys", "failure", "HS256", "keys list", alter=keys(lambda key: key.update(alg="HS256"))),
        plants(
            "api.keys_kept",
            "failure",
            "86400 s",
            "300 s",
            alter=put("cache-control", "public, max-age=86400"),
        ),
        plants("api.keys_kept", "warning", "no-cache", "max-age=300", alter=put("cache-control", "no-cache")),
        plants("proxy.host", "warning", "answered with 200", "proxy_set_header Host", rewrite=own_host),
        plants(
            "proxy.forwarded",
            "failure",
            "answers 302 in place of 200, and names",
            "take them off",
            alter=follows_forwarded_host,
        ),
        plants("proxy.bypass", "failure", "past its proxy", "--host 127.0.0.1", own_port_is_open=True),
        plants(
            "proxy.client",
            "failure",
            "takes us for 127.0.0.1",
            "127.0.0.1/32",
            rewrite=without("x-forwarded-for"),
        ),
        plants("proxy.cache", "failure", "one and the same answer", "caching off", alter=caching()),
        plants("proxy.cache", "warning", "no X-Request-ID", "takes it off", alter=take("x-request-id")),
        plants(
            "proxy.errors", "failure", "404 and text/html", "proxy_intercept_errors", alter=replaced_errors
        ),
        plants("proxy.methods", "failure", "PATCH /auth/me gets 405", "every method", alter=no_patch),
        plants(
            "proxy.authorization",
            "failure",
            "does not speak of one",
            "takes off Authorization",
            rewrite=without("authorization"),
        ),
        plants("pages.links", "failure", "/verify-email answers 404", "Mailed links", alter=only_the_api),
        plants("pages.mailbox", "failure", "reads every reset link", "ENVIRONMENT=prod", alter=open_mailbox),
        plants(
            "headers.protecting",
            "warning",
            "Content-Security-Policy",
            "takes them off",
            alter=take("content-security-policy"),
        ),
        plants(
            "headers.origins",
            "warning",
            "Allow-Origin: *",
            "Name the origins",
            alter=put("access-control-allow-origin", "*"),
        ),
        plants(
            "headers.software",
            "warning",
            "nginx/1.18.0",
            "server_tokens",
            alter=put("server", "nginx/1.18.0 (Ubuntu)"),
        ),
        plants("server.answers", "failure", "502", "URL is Dashtam's own", alter=bad_gateway),
        plants("server.answers", "failure", "421", "--host", rewrite=another_host),
        plants("server.ready", "failure", "not Dashtam's own answer", "--local", alter=maintenance),
        plants(
            "server.nodes", "warning", "different sets of signing keys", "SECRET_KEY", alter=nodes_in_turn()
        ),
        plants(
            "server.clock", "warning", "s apart", "NTP", alter=put("date", "Thu, 01 Oct 2026 00:00:00 GMT")
        ),
    ],
)
async def test_a_fault_on_the_way_is_found(running: Deployment, plant: Plant):
    async with through(Front(running.app, **plant.front), settings=running.settings) as server:
        found = await answer(server, plant.check)
    assert found.verdict == plant.verdict, found
    assert plant.evidence in found.evidence
    assert plant.remedy in found.remedy


@pytest.mark.plants("proxy.client")
async def test_clients_that_are_taken_for_proxies_choose_their_address(production: Settings):
    careless = production.model_copy(update={"trusted_proxies": ("127.0.0.1/32", "198.51.100.0/24")})
    async with (
        deployed(careless, hash_cost=CHEAP) as running,
        through(Front(running.app), settings=careless) as beside,
    ):
        from_outside = replace(beside, settings=None)
        found, known = await answer(from_outside, "proxy.client"), await answer(beside, "proxy.client")
    assert found.verdict == "failure"
    assert "took us for 192.0.2.66 because our X-Forwarded-For said so" in found.evidence
    assert "the proxies alone" in found.remedy
    assert (known.verdict, "within TRUSTED_PROXIES" in known.evidence) == ("skipped", True)


async def test_without_the_servers_own_token_nobody_is_told_his_address(running: Deployment):
    async with through(Front(running.app), settings=running.settings) as server:
        told = await answer(server, "proxy.client")
        other = await answer(replace(server, smoke_token="x" * 32), "proxy.client")
    assert (told.verdict, told.evidence) == ("ok", "the server takes us for 198.51.100.7, whatever we claim")
    assert (other.verdict, "answers 401" in other.evidence) == ("skipped", True)


@pytest.mark.parametrize(
    ("told", "there", "verdict"),
    [
        ("172.18.0.2", "8.8.8.8", "warning"),
        ("fd00::2", "2606:4700::1", "warning"),
        ("127.0.0.1", "10.0.0.7", "failure"),
        ("172.18.0.2", "10.0.0.7", "ok"),
        ("1.1.1.1", "8.8.8.8", "ok"),
    ],
)
def test_a_private_address_is_a_proxys_if_we_come_by_a_public_one(told: str, there: str, verdict: str):
    found = judged_address(ip_address(told), ip_address(there))
    assert found.verdict == verdict
    assert told in found.evidence
    assert ("TRUSTED_PROXIES" in found.remedy) == (verdict != "ok")


async def test_a_page_in_place_of_our_address_is_no_fault_of_the_doctor(running: Deployment):
    def page(request: Request, answer: Answer) -> None:
        if request["path"] == "/smoke/client":
            answer.status, answer.headers, answer.body = (
                200,
                {"content-type": "text/html"},
                b"<h1>Welcome</h1>",
            )

    async with through(Front(running.app, alter=page), settings=running.settings) as server:
        found = await answer(server, "proxy.client")
    assert (found.verdict, "that path is not passed on" in found.evidence) == ("skipped", True)
