"""Takes every secret out of what a report shows.

A journey handles passwords, mailed tokens, refresh tokens, access tokens and perhaps a smoke token. None of
them may reach a terminal, a build log or an attached file. Tokens are replaced by their kind and a short
fingerprint, so that a reader can still see whether two of them were the same; passwords by nothing at all.
The synthetic address stays: it is what an operator needs to find the account.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Final

HIDDEN: Final = "[redacted]"
SHOWN_CHARACTERS: Final = 4000

_SECRET_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
_SECRET_FIELD: Final = re.compile(r"passw|secret|token$|^token|api_?key", re.IGNORECASE)
_HARMLESS_FIELDS: Final = frozenset({"token_type"})
# Prefixed tokens are recognised however short, so that one cut off by a proxy is not shown either.
_TOKENS: Final = re.compile(
    r"(?P<prefixed>d(?:ot|sr)1_)[A-Za-z0-9_-]*"
    r"|eyJ[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*){1,4}"
)
_BEARER: Final = re.compile(r"\b(Bearer|Basic)(\s+)(?!\[redacted)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)


# C0 and C1 controls but for tab and line feed, and the marks that turn text around: a server's words must not
# steer the terminal or the build log that shows them.
_STEERING: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Show a replacement mark for every character that acts instead of being seen."""
    return _STEERING.sub("\ufffd", text.replace("\r\n", "\n"))


class Redactor:
    """Knows the secrets of one journey by value, and all others by their shape."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = {secret for secret in secrets if secret}

    def learn(self, secret: str) -> None:
        """Hide this value too, from now on."""
        if secret:
            self._secrets.add(secret)

    def text(self, text: str) -> str:
        """Hide tokens, credentials and the known secrets in free text."""
        text = _TOKENS.sub(lambda found: _mask(found[0], found["prefixed"]), text)
        text = _BEARER.sub(rf"\1\2{HIDDEN}", text)
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return visible(text)

    def headers(self, headers: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """Hide headers that carry credentials, and secrets inside any other."""
        return tuple(
            (name, HIDDEN if name.lower() in _SECRET_HEADERS else self.text(value))
            for name, value in headers.items()
        )

    def body(self, body: bytes) -> str:
        """Show a body as indented JSON or as text, redacted first and shortened second."""
        text = body.decode("utf-8", "replace")
        try:
            shown = json.dumps(self._value(json.loads(text)), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            shown = self.text(text)
        if len(shown) > SHOWN_CHARACTERS:
            return f"{shown[:SHOWN_CHARACTERS]}\n… ({len(shown) - SHOWN_CHARACTERS} more characters)"
        return shown

    def _value(self, value: object, field: str = "") -> object:
        if isinstance(value, dict):
            return {self.text(str(key)): self._value(inner, str(key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._value(inner, field) for inner in value]
        if isinstance(value, str):
            text = self.text(value)
            return HIDDEN if _is_secret(field) and text == value and value else text
        return value


def _is_secret(field: str) -> bool:
    return field not in _HARMLESS_FIELDS and bool(_SECRET_FIELD.search(field))


def _mask(token: str, prefix: str | None) -> str:
    fingerprint = hashlib.sha256(token.encode()).hexdigest()[:6]
    return f"[{prefix or 'jwt '}redacted #{fingerprint}]"
