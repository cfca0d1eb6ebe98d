"""Whose request it is: the client's address as the proxies we trust tell it (S-037)."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network
Headers = Iterable[tuple[bytes, bytes]]


@lru_cache(maxsize=4096)
def parsed(text: str) -> IPv4Address | IPv6Address | None:
    """The address that this text is, IPv4 where it is IPv4-mapped, or None."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(int(address))  # a zone (RFC 4007) says nothing elsewhere
    return address


def client_address(peer: str | None, headers: Headers, proxies: Sequence[Network]) -> str | None:
    """The rightmost hop of X-Forwarded-For that is not a trusted proxy, if the peer is one; else the peer.

    Anyone can write the left part of that header; only what trusted proxies appended is known. A hop that is
    no address makes the whole header worthless.
    """
    address = parsed(peer) if peer else None
    if address is None or not proxies or not _trusted(address, proxies):
        return peer if address is None else str(address)
    for hop in reversed(_hops(headers)):
        found = parsed(hop)
        if found is None:
            return str(address)
        if not _trusted(found, proxies):
            return str(found)
    return str(address)


def _hops(headers: Headers) -> list[str]:
    values = [value.decode("latin-1") for name, value in headers if name == b"x-forwarded-for"]
    return [hop.strip() for value in values for hop in value.split(",")] if values else []


def _trusted(address: IPv4Address | IPv6Address, proxies: Sequence[Network]) -> bool:
    return any(address in network for network in proxies)
