"""The head of a request, checked before anything else looks at it: its size, its Host, its body's length.

Limits of S-087, Host rules of S-080 (RFC 9110 section 7.2, RFC 9112 section 3.2).
"""

import re
from collections.abc import Iterable, MutableMapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from dashtam.core.problems import (
    BODY_TOO_LARGE,
    HEADERS_TOO_LARGE,
    MALFORMED_REQUEST,
    MISDIRECTED_REQUEST,
    URI_TOO_LONG,
    Problem,
)
from dashtam.settings import Settings

BODY_BYTES = 16 * 1024
HEADER_BYTES = 16 * 1024
HEADER_COUNT = 100
TARGET_BYTES = 4 * 1024

_LINE_OVERHEAD = 4  # ": " and CRLF
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_HOST = re.compile(r"(?P<name>[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::\d{0,5})?")
_VERSIONS = frozenset({"1.0", "1.1", "2"})
_DIGITS = re.compile(rb"\d{1,18}")


class Hosts:
    """The host names that this server answers for."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(name.lower() for name in names)
        self._cached = lru_cache(maxsize=256)(self._judge)

    @classmethod
    def of(cls, settings: Settings) -> "Hosts":
        """The host of PUBLIC_URL and ALLOWED_HOSTS; outside prod the names of this machine for itself too."""
        public = urlsplit(settings.public_url).hostname or ""
        own = f"[{public}]" if ":" in public else public
        return cls((own, *settings.allowed_hosts, *(() if settings.environment == "prod" else _LOOPBACK)))

    def refuses(self, host: bytes) -> Problem | None:
        """What is wrong with this Host, if anything."""
        return self._cached(host)

    def _judge(self, host: bytes) -> Problem | None:
        match = _HOST.fullmatch(host.decode("latin-1").lower())
        if match is None:
            return MALFORMED_REQUEST("The Host header is not a host name.")
        if match["name"] not in self._names and match["name"].rstrip(".") not in self._names:
            return MISDIRECTED_REQUEST()
        return None


def examine(scope: MutableMapping[str, Any], hosts: Hosts) -> tuple[Problem | None, bool]:
    """What is wrong with this head, if anything, and whether a body follows it."""
    size = count = hosts_seen = 0
    host = b""
    length: bytes | None = None
    chunked = False
    for name, value in scope["headers"]:
        count += 1
        size += len(name) + len(value) + _LINE_OVERHEAD
        if name == b"host":
            hosts_seen += 1
            host = value
        elif name == b"content-length":
            length = value
        elif name == b"transfer-encoding":
            chunked = True
    if size > HEADER_BYTES or count > HEADER_COUNT:
        return HEADERS_TOO_LARGE(), False
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) + 1 > TARGET_BYTES:
        return URI_TOO_LONG(), False
    if scope.get("http_version", "1.1") not in _VERSIONS:
        return MALFORMED_REQUEST("This version of HTTP is not spoken here."), False
    if hosts_seen != 1:
        return MALFORMED_REQUEST("A request carries exactly one Host header."), False
    problem = hosts.refuses(host)
    if problem is None and length is not None:
        problem = _length_fault(length)
    return problem, chunked or (length is not None and length != b"0")


def _length_fault(length: bytes) -> Problem | None:
    if not _DIGITS.fullmatch(length):
        return MALFORMED_REQUEST("Content-Length is not a number.")
    return BODY_TOO_LARGE() if int(length) > BODY_BYTES else None
