"""Access tokens: JWTs of RFC 9068, signed with the ring's key, read by rules stricter than the standard's.

Reading goes through the pre-parser, then the signature, then the claims, each exactly as issued here. What
was verified is remembered by the token's SHA-256, as long as the ring holds the very key that verified it;
the times are looked at on each reading. A sound token says who asks, not whether their session still stands:
that is for `sessions` to say on every request.
"""

import hashlib
import json
import re
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from typing import Any
from uuid import UUID

from dashtam.core.ids import new_id
from dashtam.core.keys import LEEWAY_SECONDS, KeyRing, VerifyingKey
from dashtam.core.signatures import is_signed, sign
from dashtam.core.strict_jwt import LONGEST_TOKEN, TokenRefusedError, parse

__all__ = ["AccessTokens", "Claims", "TokenRefusedError"]

LONGEST_LIFE_SECONDS = 600
_REMEMBERED = 4096
_LAST_DATE = 253_402_300_799  # the end of the year 9999
_CLAIMS = {"iss", "sub", "aud", "iat", "exp", "jti", "sid", "auth_time", "amr"}
_METHOD = re.compile(r"[a-z0-9_-]{1,32}", re.ASCII)
_MOST_METHODS = 8


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified access token says: whose it is, which session it belongs to, and when it lives."""

    user_id: UUID
    session_id: UUID
    jti: UUID
    issued_at: datetime
    expires_at: datetime
    auth_time: datetime
    amr: tuple[str, ...]


class AccessTokens:
    """Issues access tokens and reads them back. `seconds` is how long one lives, at most ten minutes."""

    def __init__(self, ring: KeyRing, issuer: str, audience: str, seconds: int) -> None:
        if not 0 < seconds <= LONGEST_LIFE_SECONDS:
            raise ValueError(f"an access token lives 1 to {LONGEST_LIFE_SECONDS} seconds")
        self.ring = ring
        self.issuer = issuer
        self.audience = audience
        self.seconds = seconds
        self._verified = VerifiedTokens(_REMEMBERED)

    def issue(self, *, user_id: UUID, session_id: UUID, auth_time: datetime, amr: str, now: datetime) -> str:
        """A token for this session. `amr` is its authentication methods (RFC 8176), separated by spaces."""
        pair = self.ring.signing(now)
        issued_at = int(now.timestamp())
        claims = {
            "iss": self.issuer,
            "sub": str(user_id),
            "aud": self.audience,
            "iat": issued_at,
            "exp": issued_at + self.seconds,
            "jti": str(new_id()),
            "sid": str(session_id),
            "auth_time": min(int(auth_time.timestamp()), issued_at),  # the login may come from a faster clock
            "amr": amr.split(),
        }
        payload = json.dumps(claims, ensure_ascii=False, separators=(",", ":")).encode()
        return sign(payload, pair.key, algorithm=pair.algorithm, kid=pair.kid)

    def read(self, token: str, now: datetime) -> Claims:
        """What the token says, if it is ours and alive; TokenRefusedError, and nothing else, if it is not."""
        if len(token) > LONGEST_TOKEN or not token.isascii():
            raise TokenRefusedError("longer than 8 KiB, or not ASCII")
        digest = hashlib.sha256(token.encode("ascii")).digest()
        known = self._verified.get(digest)
        if known is not None and self.ring.verifying(known[1].kid, now) is known[1]:
            return _alive(known[0], now)
        claims, key = self._verify(token, now)
        alive = _alive(claims, now)
        self._verified.put(digest, (claims, key))
        return alive

    def _verify(self, token: str, now: datetime) -> tuple[Claims, VerifyingKey]:
        parsed = parse(token)
        key = self.ring.verifying(parsed.kid, now)
        if key is None:
            raise TokenRefusedError("an unknown key")
        if parsed.algorithm != key.algorithm:
            raise TokenRefusedError("an algorithm other than the key's")
        if not is_signed(token, key.key, algorithm=key.algorithm):
            raise TokenRefusedError("a wrong signature")
        return self._claims(parsed.claims), key

    def _claims(self, claims: dict[str, Any]) -> Claims:
        if claims.keys() != _CLAIMS:
            raise TokenRefusedError("a claim missing or unknown")
        if claims["iss"] != self.issuer or claims["aud"] != self.audience:
            raise TokenRefusedError("another issuer or audience")
        iat, exp, auth_time = _date(claims["iat"]), _date(claims["exp"]), _date(claims["auth_time"])
        if not (auth_time <= iat < exp <= iat + LONGEST_LIFE_SECONDS):
            raise TokenRefusedError("dates that do not fit together")
        return Claims(
            user_id=_id(claims["sub"]),
            session_id=_id(claims["sid"]),
            jti=_id(claims["jti"]),
            issued_at=datetime.fromtimestamp(iat, UTC),
            expires_at=datetime.fromtimestamp(exp, UTC),
            auth_time=datetime.fromtimestamp(auth_time, UTC),
            amr=_methods(claims["amr"]),
        )


class VerifiedTokens:
    """The tokens that were verified lately, by their hash; so many and no more.

    Safe to key on the hash, since a token has one form only: the pre-parser and the low-s rule see to that.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[bytes, tuple[Claims, VerifyingKey]] = OrderedDict()
        self._lock = Lock()

    def get(self, digest: bytes) -> tuple[Claims, VerifyingKey] | None:
        """What was verified, and with which key."""
        with self._lock:
            known = self._known.get(digest)
            if known is not None:
                self._known.move_to_end(digest)
            return known

    def put(self, digest: bytes, verified: tuple[Claims, VerifyingKey]) -> None:
        """Remember it, in place of the one unused longest if there are too many."""
        with self._lock:
            self._known[digest] = verified
            if len(self._known) > self._most:
                self._known.popitem(last=False)


def _alive(claims: Claims, now: datetime) -> Claims:
    if now >= claims.expires_at:
        raise TokenRefusedError("expired")
    if claims.issued_at.timestamp() > now.timestamp() + LEEWAY_SECONDS:
        raise TokenRefusedError("issued in the future")
    return claims


def _date(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _LAST_DATE:  # bool is an int to Python, and none to us
        raise TokenRefusedError("a date that is not an integer")
    return value


def _id(value: object) -> UUID:
    """A UUID in its one canonical form: 36 characters, lower case, hyphens."""
    try:
        identifier = UUID(value) if isinstance(value, str) else None
    except ValueError:
        identifier = None
    if identifier is None or str(identifier) != value:
        raise TokenRefusedError("an id that is not a UUID")
    return identifier


def _methods(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= _MOST_METHODS:
        raise TokenRefusedError("amr is not a short list")
    for method in value:
        if not isinstance(method, str) or not _METHOD.fullmatch(method):
            raise TokenRefusedError("amr holds something other than names")
    return tuple(value)
