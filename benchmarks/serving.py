"""Requests a second: the protected profile and refresh, against FastAPI with one statement, and with less."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from statistics import median

from benchmarks.databases import Person, Place, people
from benchmarks.figure import Figure, Target, ratios
from benchmarks.load import Caller, Load, press
from benchmarks.servers import Server, cores, dashtam, floor, running_on

CONNECTIONS = (1, 16, 64)
_ROUND_SECONDS = 1.0
_WARM_UP = 0.3
_REFRESH_TOKEN = re.compile(rb'"refresh_token":"([^"]+)"')


@dataclass(slots=True)
class Same:
    """Says the same thing again and again."""

    said: bytes

    def request(self) -> bytes:
        return self.said

    def absorb(self, body: bytes) -> None:
        """Nothing is learned."""


@dataclass(slots=True)
class Refreshing:
    """Exchanges the token that the last exchange has brought."""

    path: str
    token: str

    def request(self) -> bytes:
        return post(self.path, {"refresh_token": self.token})

    def absorb(self, body: bytes) -> None:
        found = _REFRESH_TOKEN.search(body)
        assert found, body
        self.token = found[1].decode()


@dataclass(frozen=True, slots=True)
class Contender:
    """A server, and what each of so many connections says to it."""

    server: Server
    callers: Callable[[Sequence[Person]], Sequence[Caller]]


def get(path: str, token: str) -> bytes:
    """A GET with a bearer token; floors are sent one too."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def post(path: str, form: Mapping[str, str]) -> bytes:
    """A POST of JSON."""
    body = json.dumps(form, separators=(",", ":"))
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def profile(place: Place, seconds: float) -> list[Figure]:
    """GET /auth/me at 1, 16 and 64 connections."""
    path = f"{place.settings.api_v1_prefix}/auth/me"

    def plain(crowd: Sequence[Person]) -> Sequence[Caller]:
        return [Same(get("/health", one.access_token)) for one in crowd]

    with ExitStack() as stack:
        core, _ = cores()
        service = stack.enter_context(dashtam(place.environment, core))
        floors = [
            stack.enter_context(floor(name, place.environment, core))
            for name in ("statements", "framework", "bare")
        ]
        contenders = {
            "dashtam": Contender(service, lambda crowd: [Same(get(path, one.access_token)) for one in crowd]),
            "FastAPI + SELECT": Contender(
                floors[0],
                lambda crowd: [Same(get(f"/select/{one.user_id}", one.access_token)) for one in crowd],
            ),
            "FastAPI": Contender(floors[1], plain),
            "Starlette": Contender(floors[2], plain),
        }
        return _figures("profile", place, contenders, seconds, limit=0.9)


def refresh(place: Place, seconds: float) -> list[Figure]:
    """POST /auth/refresh at 1, 16 and 64 connections; a refresh token's every use is the first one."""
    path = f"{place.settings.api_v1_prefix}/auth/refresh"
    with ExitStack() as stack:
        core, _ = cores()
        service = stack.enter_context(dashtam(place.environment, core))
        statements = stack.enter_context(floor("statements", place.environment, core))
        contenders = {
            "dashtam": Contender(
                service, lambda crowd: [Refreshing(path, one.refresh_token) for one in crowd]
            ),
            "FastAPI + UPDATE": Contender(
                statements,
                lambda crowd: [Same(post("/update", {"key": one.session_id})) for one in crowd],
            ),
        }
        return _figures("refresh", place, contenders, seconds, limit=0.85)


def _figures(
    name: str, place: Place, contenders: Mapping[str, Contender], seconds: float, *, limit: float
) -> list[Figure]:
    for contender in contenders.values():
        contender.server.wait_for("/health")
    figures = []
    for connections in CONNECTIONS:
        loads = race(place, contenders, connections, seconds)
        ours = loads.pop("dashtam")
        for nearest, (floor_name, floors) in enumerate(loads.items()):
            ratio, spread = ratios([load.rate for load in ours], [load.rate for load in floors])
            figures.append(
                Figure(
                    name,
                    place.database,
                    f"{connections} connections" if connections > 1 else "1 connection",
                    "/s",
                    median(load.rate for load in ours),
                    median(load.rate for load in floors),
                    floor_name,
                    ratio,
                    spread,
                    f"{_how(ours)}; floor {_how(floors)}",
                    Target("ratio", ratio, limit, at_least=True) if nearest == 0 else None,
                )
            )
    return figures


def race(
    place: Place, contenders: Mapping[str, Contender], connections: int, seconds: float
) -> dict[str, list[Load]]:
    """Load each contender for so many seconds in all, in short turns, so that all meet the same weather."""
    rounds = max(1, round(seconds / _ROUND_SECONDS))
    # Each contender has people of its own: the floor's updates would take the service's sessions along.
    callers = {name: one.callers(people(place, connections)) for name, one in contenders.items()}
    loads: dict[str, list[Load]] = {name: [] for name in contenders}
    with running_on(cores()[1]):
        for name, one in contenders.items():
            press(one.server.port, callers[name], min(_WARM_UP, seconds))
        for turn in range(rounds):
            for name in list(contenders)[:: -1 if turn % 2 else 1]:
                loads[name].append(measured(contenders[name].server, callers[name], seconds / rounds))
    return loads


def measured(server: Server, callers: Sequence[Caller], seconds: float) -> Load:
    """Load a server for so long; the load says what processor time a request cost the server as well."""
    before = server.cpu_seconds()
    load = press(server.port, callers, seconds)
    return replace(load, cpu_ms=(server.cpu_seconds() - before) * 1000 / len(load.latencies))


def _how(loads: Sequence[Load]) -> str:
    p50, p99 = (median(load.percentile(share) for load in loads) for share in (0.5, 0.99))
    cpu, busy = median(load.cpu_ms for load in loads), max(load.busy for load in loads)
    limited = f", load generator {busy:.0%} busy" if busy > 0.9 else ""  # noqa: PLR2004
    return f"p50 {p50:.3g} ms, p99 {p99:.3g} ms, {cpu:.2f} ms CPU{limited}"
