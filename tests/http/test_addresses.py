"""The client's address is what the trusted proxies say, and never what the client says (S-037)."""

from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

import httpx2
import pytest

from dashtam.http.addresses import Headers, Network, client_address
from tests.http.small_app import calling, made_app, made_settings

PROXIES = tuple(map(ip_network, ("10.0.0.0/8", "fd00::/8")))


def forwarded(*values: str) -> Headers:
    return [(b"x-forwarded-for", value.encode("latin-1")) for value in values]


@pytest.mark.parametrize(
    "headers",
    [
        forwarded("6.6.6.6"),
        forwarded("a"),
        forwarded("::1"),
        forwarded("127.0.0.1"),
        forwarded("1.1.1.1," * 1300),
        forwarded("1.1.1.1", "2.2.2.2"),
        [(b"forwarded", b"for=6.6.6.6")],
        [(b"x-real-ip", b"6.6.6.6")],
    ],
)
@pytest.mark.parametrize("proxies", [(), PROXIES])
def test_an_untrusted_peer_is_itself_whatever_it_says(headers: Headers, proxies: Sequence[Network]) -> None:
    assert client_address("203.0.113.9", headers, proxies) == "203.0.113.9"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (forwarded(), "10.0.0.1"),
        (forwarded("198.51.100.7"), "198.51.100.7"),
        (forwarded("6.6.6.6, 198.51.100.7"), "198.51.100.7"),
        (forwarded("6.6.6.6, 198.51.100.7, 10.9.9.9"), "198.51.100.7"),
        (forwarded("6.6.6.6", "198.51.100.7"), "198.51.100.7"),
        (forwarded("198.51.100.7,fd00::2 ,10.0.0.3"), "198.51.100.7"),
        (forwarded("10.1.1.1, 10.2.2.2"), "10.0.0.1"),
        (forwarded("2001:DB8::0001"), "2001:db8::1"),
        (forwarded("::ffff:198.51.100.7"), "198.51.100.7"),
        (forwarded("198.51.100.7, ::ffff:10.0.0.3"), "198.51.100.7"),
        (forwarded("fe80::1%eth0"), "fe80::1"),
        (forwarded("198.51.100.7, a"), "10.0.0.1"),
        (forwarded("6.6.6.6, unknown, 10.2.2.2"), "10.0.0.1"),
        (forwarded("198.51.100.7:4711"), "10.0.0.1"),
        (forwarded("[2001:db8::1]"), "10.0.0.1"),
        (forwarded(""), "10.0.0.1"),
        (forwarded("198.51.100.7,"), "10.0.0.1"),
        (forwarded("010.000.000.001"), "10.0.0.1"),
        (forwarded("198.51.100.7\n"), "198.51.100.7"),
        ([(b"x-real-ip", b"6.6.6.6"), *forwarded("198.51.100.7")], "198.51.100.7"),
    ],
)
def test_behind_trusted_proxies_it_is_the_rightmost_other_hop(headers: Headers, expected: str) -> None:
    assert client_address("10.0.0.1", headers, PROXIES) == expected


def test_a_mapped_peer_is_its_ipv4_address() -> None:
    assert client_address("::ffff:203.0.113.9", [], ()) == "203.0.113.9"
    assert client_address("::ffff:10.0.0.1", forwarded("198.51.100.7"), PROXIES) == "198.51.100.7"


def test_a_peer_without_an_address_stays_as_it_is() -> None:
    assert client_address(None, forwarded("6.6.6.6"), PROXIES) is None
    assert client_address("unix", forwarded("6.6.6.6"), PROXIES) == "unix"


async def test_routes_see_the_forwarded_address(tmp_path: Path) -> None:
    app = made_app(made_settings(tmp_path, trusted_proxies="10.0.0.0/8"))
    async with calling(app, peer="10.0.0.1") as client:
        answer = await client.get(
            "/api/things/who/asks", headers={"X-Forwarded-For": "6.6.6.6, 198.51.100.7"}
        )
    assert answer.json()["message"].startswith("198.51.100.7 ")


async def test_a_user_agent_is_kept_readable_and_short(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/api/things/who/asks", headers={"User-Agent": "a\x1b[31m" + "b" * 300})
    agent = answer.json()["message"].split(" ")[1]
    assert agent.startswith("a?[31mb")
    assert len(agent) == 255
