"""SQL cut into words, and a reader that goes over them: as much of a parser as classifying statements takes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TOKEN = re.compile(
    r"""(?P<blank>\s+|--[^\n]*|/\*.*?\*/)
    |(?P<string>[Ee]'(?:[^'\\]|''|\\.)*'|[BbXxNn]?'(?:[^']|'')*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    |(?P<name>"(?:[^"]|"")+"|`[^`]+`)
    |(?P<bound>\$\d+|%\(\w+\)s|%s|\?\d*|(?<!:):[a-zA-Z_]\w*)
    |(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    |(?P<word>[^\W\d]\w*)
    |(?P<sign>::|.)""",
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """A word, a quoted name, a string, a number, a bound value or a sign."""

    kind: str
    text: str

    @property
    def upper(self) -> str:
        """The word to compare with keywords; a quoted name is none."""
        return self.text.upper() if self.kind in {"word", "sign"} else ""

    @property
    def identifier(self) -> str:
        """The name as the catalogue has it; empty where this is no name."""
        if self.kind == "word":
            return self.text.lower()
        return self.text[1:-1].replace('""', '"') if self.kind == "name" else ""


def tokens(sql: str) -> list[Token]:
    """All tokens but blanks and comments."""
    found = ((match.lastgroup or "", match[0]) for match in _TOKEN.finditer(sql))
    return [Token("string" if kind == "tag" else kind, text) for kind, text in found if kind != "blank"]


def split(sql: str) -> list[str]:
    """The statements of a text, without the semicolons between them and the comments around them."""
    pieces, start, depth, before = [], 0, 0, ""
    within = 0  # a function's body in plain SQL, BEGIN ATOMIC ... END, with semicolons of its own
    for match in _TOKEN.finditer(sql):
        if match.lastgroup == "blank":
            continue
        sign = match[0].upper()
        depth += {"(": 1, ")": -1}.get(sign, 0)
        within += (before, sign) == ("BEGIN", "ATOMIC") or (within > 0 and sign == "CASE")
        within -= within > 0 and sign == "END"
        before = sign
        if sign == ";" and depth == 0 and not within:
            pieces.append(sql[start : match.start()])
            start = match.end()
    return [piece.strip() for piece in (*pieces, sql[start:]) if tokens(piece)]


def parts(found: Sequence[Token]) -> Iterator[list[Token]]:
    """The pieces between the commas that stand outside of parentheses."""
    piece: list[Token] = []
    depth = 0
    for token in found:
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "sign" else 0
        if token.text == "," and token.kind == "sign" and depth == 0:
            yield piece
            piece = []
        else:
            piece.append(token)
    if piece:
        yield piece


def spelled(found: Sequence[Token]) -> str:
    """Tokens as one normal text: lower case outside of quotes, one blank between them, no outer parentheses."""
    inner = list(found)
    while len(inner) > 1 and inner[0].text == "(" and _closing(inner, 0) == len(inner) - 1:
        inner = inner[1:-1]
    return " ".join(token.identifier or token.text for token in inner)


def _closing(found: Sequence[Token], start: int) -> int:
    depth = 0
    for place in range(start, len(found)):
        depth += {"(": 1, ")": -1}.get(found[place].upper, 0)
        if depth == 0:
            return place
    return len(found)


@dataclass
class Reader:
    """A place in a statement, and what can be asked there."""

    found: Sequence[Token]
    place: int = 0

    @property
    def rest(self) -> list[Token]:
        """What is still to be read."""
        return list(self.found[self.place :])

    @property
    def word(self) -> str:
        """The keyword here, empty at the end."""
        return self.found[self.place].upper if self.place < len(self.found) else ""

    def at(self, phrase: str) -> bool:
        """Whether these keywords come next."""
        words = phrase.split()
        ahead = self.found[self.place : self.place + len(words)]
        return [token.upper for token in ahead] == words

    def take(self, *phrases: str) -> str:
        """Go past the first of these phrases that comes next, and return it."""
        for phrase in phrases:
            if self.at(phrase):
                self.place += len(phrase.split())
                return phrase
        return ""

    def skip(self) -> None:
        """Go past one token, whatever it is."""
        self.place += 1

    def name(self) -> str:
        """A name, with its schema if that is written; empty if there is none here."""
        words = []
        while self.place < len(self.found) and (word := self.found[self.place].identifier):
            words.append(word)
            self.place += 1
            if self.word != ".":
                break
            self.place += 1
        return ".".join(words)

    def names(self) -> list[str]:
        """Names with commas between them, each perhaps with ONLY before and * behind."""
        found = []
        while True:
            self.take("ONLY")
            found.append(self.name())
            self.take("*")
            if not self.take(","):
                return [name for name in found if name]

    def group(self) -> list[Token]:
        """What stands in the parentheses here, without them; empty if there are none."""
        if self.word != "(":
            return []
        end = _closing(self.found, self.place)
        inner = list(self.found[self.place + 1 : end])
        self.place = end + 1
        return inner

    def seek(self, *phrases: str) -> str:
        """Go behind the first place, outside of parentheses, where one of these phrases stands."""
        start = self.place
        while self.place < len(self.found):
            if found := self.take(*phrases):
                return found
            self.place = _closing(self.found, self.place) + 1 if self.word == "(" else self.place + 1
        self.place = start
        return ""

    def has(self, *phrases: str) -> bool:
        """Whether one of these phrases stands further on, outside of parentheses."""
        return bool(Reader(self.found, self.place).seek(*phrases))


def columns(found: Sequence[Token]) -> tuple[str, ...]:
    """The names in a list of columns; an expression has none."""
    return tuple(part[0].identifier for part in parts(found) if part and part[0].identifier)
