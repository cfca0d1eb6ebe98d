"""The headers that every answer carries, errors and refusals included (S-101, ASVS 3.4)."""

from collections.abc import Iterable

HSTS = b"max-age=63072000; includeSubDomains"
API_POLICY = b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_POLICY = (b"content-security-policy", API_POLICY)
_CACHING = (b"cache-control", b"no-store")
_HTTPS = (*_ALWAYS, (b"strict-transport-security", HSTS))
_OURS = frozenset({b"x-request-id", *(name for name, _ in _HTTPS)})

Header = tuple[bytes, bytes]


class SecurityHeaders:
    """The headers of one answer. A page may set its own content policy and caching; no more."""

    __slots__ = ("_https", "_request_id")

    def __init__(self, request_id: str, *, https: bool) -> None:
        self._request_id = request_id
        self._https = https

    def put_on(self, headers: Iterable[Header]) -> list[Header]:
        """These headers and ours."""
        kept = list(_HTTPS if self._https else _ALWAYS)
        own_policy = own_caching = False
        for header in headers:
            name = header[0]
            if name in _OURS:
                continue
            own_policy = own_policy or name == b"content-security-policy"
            own_caching = own_caching or name == b"cache-control"
            kept.append(header)
        if not own_policy:
            kept.append(_POLICY)
        if not own_caching:
            kept.append(_CACHING)
        kept.append((b"x-request-id", self._request_id.encode()))
        return kept
