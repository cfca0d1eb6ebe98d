"""Keeping passwords out of what is written to a file that others will be sent."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterable

HIDDEN = "***"
IN_URL = re.compile(r"(?P<before>[a-zA-Z][a-zA-Z0-9+.\-]*://[^\s:/@'\"<>]*:)[^\s'\"<>]+?(?=@[^\s@/]*)")
NAMED = re.compile(
    r"(?P<before>\b(?:PGPASSWORD|password|passwd|pwd)(?:['\"]?\s*[=:]\s*(?=['\"])|=(?!['\"])))"
    r"(?P<quote>['\"]?)[^\s'\",;(){}\[\]&]+(?P=quote)",
    re.IGNORECASE,
)
SHORTENED = re.compile(r"(?P<before>\.\.\.)[^\s/@'\"<>]*(?=@)")
"""What is left of a URL where pytest shortens a long string in its middle."""
TELLING = 8
"""A password of this length is no word that a report has for other reasons."""


class Veil:
    """Hides passwords: those in URLs and settings by their shape, the configured ones wherever they stand."""

    def __init__(self, urls: Iterable[str] = ()) -> None:
        self._known = {form for url in urls for form in _forms(_password(url))}

    def over(self, value: Any) -> Any:  # noqa: ANN401 - whatever JSON can say
        """The same value with every password in it hidden."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, dict):
            return {key: self.over(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.over(each) for each in value]
        return value

    def _text(self, text: str) -> str:
        for known in self._known:
            text = text.replace(known, HIDDEN)
        if "://" in text:
            text = IN_URL.sub(rf"\g<before>{HIDDEN}", text)
        text = SHORTENED.sub(rf"\g<before>{HIDDEN}", text)
        return NAMED.sub(rf"\g<before>\g<quote>{HIDDEN}\g<quote>", text)


def _password(url: str) -> str:
    try:
        return make_url(url).password or ""
    except ArgumentError:
        return ""


def _forms(password: str) -> set[str]:
    return {password, quote(password, safe=""), quote_plus(password)} if len(password) >= TELLING else set()
