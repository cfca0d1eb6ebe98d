"""What stands between: whether proxies pass on what they must, and nothing else, and no more is open than should be."""

import asyncio
from http import HTTPStatus
from ipaddress import IPv4Address, IPv6Address, ip_address

import httpx2

from dashtam.doctor.check import Answer, Check, failure, ok, skipped, warning
from dashtam.doctor.outside.answers import health
from dashtam.doctor.outside.problems import is_problem
from dashtam.doctor.remote import Remote

STRANGE_HOST = "doctor-asks.invalid"
MADE_UP_ADDRESS = "192.0.2.66"
_OWN_PORT = 8000
_BYPASS_SECONDS = 1.0

Address = IPv4Address | IPv6Address


async def _host(server: Remote) -> Answer:
    answer = await server.get("/health/live", headers={"Host": STRANGE_HOST})
    if not health(answer):  # of a proxy it may be any status: Caddy's is 200, with nothing in it
        return ok(f"a Host that is not its own is answered with {answer.status_code}, and not as its own is")
    return warning(
        f"the Host {STRANGE_HOST} is answered with {answer.status_code}, as if it were its own",
        "The proxy puts another Host in its place. Let it pass on what it was sent, as in nginx's "
        "`proxy_set_header Host $host;`, and take its own name out of ALLOWED_HOSTS.",
    )


async def _forwarded(server: Remote) -> Answer:
    claims = {
        "X-Forwarded-Host": STRANGE_HOST,
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Prefix": f"/{STRANGE_HOST}",
        "Forwarded": f"host={STRANGE_HOST};proto=http",
    }
    plain, claimed = await asyncio.gather(
        server.get("/verify-email"), server.get("/verify-email", headers=claims)
    )
    told = f"{claimed.headers.get('Location', '')} {claimed.text}"
    if claimed.status_code == plain.status_code and STRANGE_HOST not in told:
        return ok("X-Forwarded-Host, -Proto, -Prefix and Forwarded of a stranger change nothing")
    return failure(
        f"with forwarding headers of our own /verify-email answers {claimed.status_code} in place of "
        f"{plain.status_code}{', and names the host that we made up' if STRANGE_HOST in told else ''}",
        "Let the proxy set these headers itself or take them off, and believe none that it is sent.",
    )


async def _bypass(server: Remote) -> Answer:
    if _is_this_machine(await server.get("/health/live")):
        return skipped("asked from the server's own machine, which may reach its port")
    host = f"[{server.host}]" if ":" in server.host else server.host
    direct = f"http://{host}:{_OWN_PORT}/health/live"
    try:
        answer = await server.client.get(direct, timeout=_BYPASS_SECONDS)
    except httpx2.TransportError:
        return ok(f"nothing answers at {host}:{_OWN_PORT}")
    if "X-Request-ID" not in answer.headers:
        return ok(f"what answers at {host}:{_OWN_PORT} is not Dashtam")
    return failure(
        f"{direct} answers {answer.status_code}: the service can be reached past its proxy, without TLS",
        "Listen where only the proxy is (`dashtam serve --host 127.0.0.1`), or close the port in the firewall.",
    )


def _is_this_machine(answer: httpx2.Response) -> bool:
    there, here = _end(answer, "server_addr"), _end(answer, "client_addr")
    return there is not None and (there == here or there.is_loopback)


def _end(answer: httpx2.Response, which: str) -> Address | None:
    """An end of the connection that the answer came by, where it came by one."""
    stream = answer.extensions.get("network_stream")
    end = stream.get_extra_info(which) if stream else None
    return ip_address(end[0].partition("%")[0]) if end else None


async def _client(server: Remote) -> Answer:
    """Asks as who we are taken, with and without an address of our own invention (one for documents, RFC 5737)."""
    plain, claimed = await asyncio.gather(_who_are_we(server), _who_are_we(server, MADE_UP_ADDRESS))
    told, believed = _taken_for(plain), _taken_for(claimed)
    if told is None or believed is None:
        return skipped(
            f"/smoke/client answers {plain.status_code}: SMOKE_TOKEN is not the server's, or that path is not passed on"
        )
    if _is_this_machine(plain):
        return skipped("asked from the server's own machine, which may say so of itself")
    if str(believed) == MADE_UP_ADDRESS:
        return _believed(server, told)
    return judged_address(told, _end(plain, "server_addr"))


def _taken_for(answer: httpx2.Response) -> Address | None:
    try:
        return ip_address(answer.json()["ip"])
    except (ValueError, LookupError, TypeError):
        return None


def judged_address(told: Address, there: Address | None) -> Answer:
    """Whether that can be our own address, if we reach the server at `there`."""
    remedy = (
        f"Name it in TRUSTED_PROXIES, as {told}/{told.max_prefixlen}, and let the proxy set X-Forwarded-For "
        "(nginx: `proxy_set_header X-Forwarded-For $remote_addr;`)."
    )
    if told.is_loopback:
        return failure(
            f"the server takes us for {told}, which is its proxy: all clients share that one's limits", remedy
        )
    if there is not None and there.is_global and told.is_private:
        return warning(
            f"the server takes us for {told}, of a private network, and we come to it by the public {there}: that "
            "is its proxy, unless you ask from the server's own network",
            remedy,
        )
    return ok(f"the server takes us for {told}, whatever we claim")


def _believed(server: Remote, told: Address) -> Answer:
    if server.settings and any(told in network for network in server.settings.proxies):
        return skipped(f"asked from within TRUSTED_PROXIES (as {told}), from where all is believed")
    return failure(
        f"the server took us for {MADE_UP_ADDRESS} because our X-Forwarded-For said so: who does that has no limits",
        "Let the outermost proxy set X-Forwarded-For anew (nginx: `proxy_set_header X-Forwarded-For $remote_addr;`), "
        "and name in TRUSTED_PROXIES the proxies alone, not the networks of clients.",
    )


async def _who_are_we(server: Remote, claim: str = "") -> httpx2.Response:
    headers = {
        "Authorization": f"Bearer {server.smoke_token}",
        **({"X-Forwarded-For": claim} if claim else {}),
    }
    return await server.get("/smoke/client", headers=headers)


async def _cache(server: Remote) -> Answer:
    first, second = [(await server.get("/health/live")).headers.get("X-Request-ID") for _ in range(2)]
    if first is None or second is None:
        return warning(
            "answers carry no X-Request-ID",
            "A proxy takes it off. Let it pass: it is how an answer is found in the log.",
        )
    if first != second:
        return ok("two requests were two requests: each has an X-Request-ID of its own")
    return failure(
        "two requests got one and the same answer: a cache stands before the service and keeps what says no-store",
        "Turn caching off for this host in the proxy or the content delivery network.",
    )


async def _errors(server: Remote) -> Answer:
    answer = await server.get(f"{server.prefix}/doctor-asks-for-nothing")
    if is_problem(answer, HTTPStatus.NOT_FOUND, "not-found"):
        return ok("a refusal arrives as the service wrote it (problem+json)")
    kind = answer.headers.get("Content-Type", "no type")
    return failure(
        f"a call that does not exist is answered with {answer.status_code} and {kind}",
        "Clients read refusals. Let the proxy pass error answers on unchanged (nginx: `proxy_intercept_errors off;`).",
    )


async def _methods(server: Remote) -> Answer:
    calls = (("POST", "/auth/logout"), ("PATCH", "/auth/me"), ("DELETE", "/auth/me"))
    answers = await asyncio.gather(*(server.ask(method, server.prefix + path) for method, path in calls))
    lost = [
        f"{method} {path} gets {answer.status_code}"
        for (method, path), answer in zip(calls, answers, strict=True)
        if not is_problem(answer, HTTPStatus.UNAUTHORIZED, "token-invalid")
    ]
    if not lost:
        return ok("POST, PATCH and DELETE arrive")
    return failure(
        f"{'; '.join(lost)} in place of 401",
        "Let the proxy or web application firewall pass every method under the API's prefix.",
    )


async def _authorization(server: Remote) -> Answer:
    answer = await server.get(f"{server.prefix}/auth/me", headers={"Authorization": "Bearer doctor-asks"})
    challenge = answer.headers.get("WWW-Authenticate", "")
    if 'error="invalid_token"' in challenge:
        return ok("a token that is sent arrives, and is refused")
    return failure(
        f"a token was sent, and the answer {answer.status_code} does not speak of one "
        f"(WWW-Authenticate: {challenge or 'missing'})",
        "A proxy takes off Authorization, or changes the answer. Let it pass both on: without them nobody is let in.",
    )


def _has_token(server: Remote) -> bool:
    return bool(server.smoke_token)


def _by_tls(server: Remote) -> bool:
    return server.https  # which the service itself does not speak


_BEHIND = ("api.prefix",)
CHECKS = (
    Check("proxy.host", "A Host that is not its own is refused", _host, needs=("server.prompt",)),
    Check(
        "proxy.forwarded",
        "Forwarding headers of strangers are ignored",
        _forwarded,
        needs=("server.prompt",),
    ),
    Check("proxy.bypass", "The way around the proxy is closed", _bypass, ("server.prompt",), _by_tls),
    Check("proxy.client", "Nobody chooses the address he has", _client, ("server.prompt",), _has_token),
    Check("proxy.cache", "Nothing answers in the server's place", _cache, needs=("server.prompt",)),
    Check("proxy.errors", "Refusals arrive unchanged", _errors, needs=_BEHIND),
    Check("proxy.methods", "Every method arrives", _methods, needs=_BEHIND),
    Check("proxy.authorization", "The Authorization header arrives", _authorization, needs=_BEHIND),
)
