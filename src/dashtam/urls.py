"""The URLs among the settings: what the service, its libraries and its mail can all make something of."""

import re
from urllib.parse import urlsplit

_DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
}
# As sqlalchemy.engine.make_url has it: a password may hold a slash, and its @ must be percent-encoded.
_SERVER = re.compile(r"([^@]*@)?(\[[0-9A-Fa-f:.]+\]|[^@:/?\[\]]*)(:(?P<port>[0-9]{0,5}))?([/?].*)?")
_MOST_PORTS = 65535


def database_url(url: str) -> str:
    """The URL with the driver that we use. Raises ValueError for what is none of ours."""
    scheme, _, rest = url.partition("://")
    url = f"{_DRIVERS.get(scheme, scheme)}://{rest}"
    if url.startswith("postgresql+asyncpg://") and _is_server(rest):
        return url
    if url.startswith("sqlite+aiosqlite:///") and ":memory:" not in url and rest.strip("/"):
        return url
    msg = "must be sqlite:///path/to/file or postgresql://user:password@host:port/name"
    raise ValueError(msg)


def public_url(url: str) -> str:
    """The URL without a slash at its end. Raises ValueError where nobody could be led there."""
    msg = "must be an http:// or https:// address without query or fragment"
    try:
        parts = urlsplit(url)
        _ = parts.port, (parts.hostname or "").encode("idna")  # they raise where there is none
    except ValueError:
        raise ValueError(msg) from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(msg)
    if parts.port == 0 or url.split() != [url]:
        raise ValueError(msg)
    if parts.username or parts.password:
        msg = "must not carry a user name or password"
        raise ValueError(msg)
    return url.rstrip("/")


def is_smtp(url: str) -> bool:
    """Whether a mail server is named."""
    try:
        parts = urlsplit(url)
        return (
            parts.scheme in {"smtp", "smtps"}
            and bool(parts.hostname)
            and (parts.port is None or parts.port > 0)
        )
    except ValueError:
        return False


def _is_server(rest: str) -> bool:
    found = _SERVER.fullmatch(rest)
    return found is not None and 0 < int(found["port"] or 1) <= _MOST_PORTS
