"""The strict pre-parser in front of the JOSE library (RFC 8725 sections 3.7 to 3.11, RFC 7515 section 4).

JOSE libraries are generous: duplicate names (the last wins), a BOM, UTF-16, lone surrogates, `crit: []`, any
`typ`. Here a token has one form and no other: three canonical base64url parts, a header of exactly `alg`,
`typ` and `kid`, a payload that is one shallow JSON object in UTF-8. No key is touched, nothing is fetched.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Never

from dashtam.core.signatures import TOKEN_TYPE

LONGEST_TOKEN = 8 * 1024
LONGEST_KID = 128
DEEPEST = 4
_LONGEST_INTEGER = 16

_PARTS = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_HEADER = {"alg", "typ", "kid"}


class TokenRefusedError(Exception):
    """An access token that is not accepted. The reason is for the log and holds nothing of the token."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class StrictToken:
    """What a well-formed token says, before anyone has looked at its signature."""

    algorithm: str
    kid: str
    claims: dict[str, Any]


def parse(token: str) -> StrictToken:
    """Take the token apart; TokenRefusedError unless it has the one form that is accepted."""
    if len(token) > LONGEST_TOKEN:
        raise TokenRefusedError("longer than 8 KiB")
    parts = _PARTS.fullmatch(token)
    if parts is None:
        raise TokenRefusedError("not three base64url parts")
    header, payload, signature = parts.groups()
    _canonical(signature)
    algorithm, kid = _header(_json_object(_canonical(header)))
    return StrictToken(algorithm, kid, _json_object(_canonical(payload)))


def _canonical(part: str) -> bytes:
    """The bytes of a part that is written as base64url writes them, trailing bits included."""
    try:
        plain = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error:
        raise TokenRefusedError("not base64url") from None
    if base64.urlsafe_b64encode(plain).rstrip(b"=") != part.encode("ascii"):
        raise TokenRefusedError("not canonical base64url")
    return plain


def _header(header: dict[str, Any]) -> tuple[str, str]:
    if header.keys() != _HEADER:  # so jwk, jku, x5*, crit, zip, b64 and whatever comes next are refused
        raise TokenRefusedError("a header other than alg, typ and kid")
    algorithm, kid = header["alg"], header["kid"]
    if header["typ"] != TOKEN_TYPE:
        raise TokenRefusedError("not typed as an access token")
    if not isinstance(algorithm, str) or not isinstance(kid, str) or not 0 < len(kid) <= LONGEST_KID:
        raise TokenRefusedError("alg or kid is not a proper string")
    return algorithm, kid


def _json_object(plain: bytes) -> dict[str, Any]:
    try:
        text = plain.decode("utf-8")
    except UnicodeDecodeError:
        raise TokenRefusedError("not UTF-8") from None
    _bounded(text)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_without_duplicates,
            parse_int=_integer,
            parse_float=_refuse("a number that is not an integer"),
            parse_constant=_refuse("NaN or Infinity"),
        )
    except ValueError:
        raise TokenRefusedError("not JSON") from None
    if not isinstance(value, dict):
        raise TokenRefusedError("not a JSON object")
    if "\\u" in text and not _encodes(value):
        raise TokenRefusedError("a lone surrogate")
    return value


def _bounded(text: str) -> None:
    """Refuse deep nesting before the JSON parser recurses into it."""
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    outside = _STRING.sub("", text)
    if outside.count("[") + outside.count("{") > DEEPEST:
        raise TokenRefusedError("nested too deeply")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise TokenRefusedError("a duplicate name")
    return names


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_INTEGER:
        raise TokenRefusedError("a number too large")
    return int(digits)


def _refuse(reason: str) -> Callable[[str], Never]:
    def refuse(_: str) -> Never:
        raise TokenRefusedError(reason)

    return refuse


def _encodes(value: dict[str, Any]) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
