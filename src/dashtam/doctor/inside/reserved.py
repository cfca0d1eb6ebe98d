"""Names that nobody can reach: reserved for tests and documents (RFC 2606, RFC 6761), or this machine itself."""

from ipaddress import ip_address

_TOP_LEVEL = frozenset({"invalid", "test", "example", "localhost"})


def is_reserved(name: str) -> bool:
    """Whether this name stands for nothing in the public DNS, or for whoever asks."""
    return name.lower().rstrip(".").rpartition(".")[2] in _TOP_LEVEL


def is_own_machine(host: str) -> bool:
    """Whether this host is an address of the machine that asks, whichever that is."""
    try:
        address = ip_address(host)
    except ValueError:
        return host.lower().rstrip(".").endswith("localhost")
    return address.is_loopback or address.is_unspecified
