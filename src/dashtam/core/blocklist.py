"""Refuse new passwords that are long enough and still easy to guess: common ones, and the user's own words.

NIST SP 800-63B-4 section 3.1.1.2 asks for a blocklist that is compared with the whole password; ASVS 5.0
asks that it holds at least the 3,000 commonest passwords that meet the policy (6.2.4) and the words of the
context (6.1.2, 6.2.11). Nothing here opens a socket, and nothing here judges length.

`is_common` and `context_reason` are asked about new passwords only (register, change, reset), never at
login. A passphrase that merely contains a listed or a personal word is allowed.
"""

import gzip
import unicodedata
from functools import cache
from importlib.resources import files
from typing import Final, Literal

ContextSource = Literal["email", "name", "service"]

LONGEST_TRIVIAL_UNIT: Final = 4
"""A block of at most so many code points, repeated to the end, is refused whatever it is: `abcabcabcabc`."""

DECORATION_BUDGET: Final = 8
"""Decoration that costs more is no longer trivial; a date of birth written out (19840211) costs 5."""

STRAY_LETTERS: Final = 2
"""So many letters beside the context words still count as decoration: `xXalice.smithXx`, `ialicesmith`."""

SHORTEST_WORD: Final = 3
"""Shorter context words (initials, `me`) would match by accident; they count only inside longer ones."""

_SEPARATORS: Final = " \t\r\n._-,:;/|'\"&"
_LEET: Final = str.maketrans("4@301!l|$57+89", "aaeoiiiissttbg")
_FILLERS: Final = (
    "password",
    "passwort",
    "passphrase",
    "passwd",
    "pass",
    "login",
    "admin",
    "welcome",
    "qwerty",
    "abc",
)


def fold(password: str) -> str:
    """Bring a password to the form in which the list is written: NFKC, then case folding, then NFKC again.

    Only lookups use it. What is hashed keeps its case, so this never makes two passwords equal at login.
    """
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", password).casefold())


def is_common(password: str) -> bool:
    """Tell whether a password is a common one, or nothing but a common one repeated.

    The lookup is exact after `fold`: it compares text, not hashes, so it has no false positives. Refused are
    1. a listed password, in any case (`Password1234567`);
    2. a block of at most `LONGEST_TRIVIAL_UNIT` code points repeated to the end, even if the last one is cut
       short (fifteen times `a`, `abcabcabcabcabca`);
    3. a listed password of any length repeated so, with or without separators (`dragon-dragon-dragon`).
    """
    text = fold(password)
    return _is_listed(text) or _repeats_common_block(text)


def context_reason(password: str, *, email: str, name: str, service: str = "dashtam") -> ContextSource | None:
    """Name the source of the words that a password is made of; None when it says more than those words.

    Context words are the address, its local part, its domain, the name and the service name, whole and in
    pieces (of at least `SHORTEST_WORD` characters; the top-level domain is none), forwards and backwards.
    Case, accents, separators between letters, and digits or signs in a letter's place (`@l1ce`) make no
    difference.

    Refused is a password with at least one such word, and beside such words and fillers (`password`,
    `admin`, `qwerty`) only a trivial decoration: at most `STRAY_LETTERS` letters, and a cost of at most
    `DECORATION_BUDGET`. A year, a run of one character and a run that counts up or down cost 1, separators
    nothing, any other character 1. So `alice.smith2024!!` and `AliceAliceAlice` are refused; `alice keeps 4
    tulips` and `alice8305729164` are not. Where several sources fit, the one that explains most of the
    password is named.
    """
    sources: tuple[tuple[ContextSource, set[str]], ...] = (
        ("email", _words_of_address(email)),
        ("name", _words_of_text(name)),
        ("service", _words_of_text(service)),
    )
    letters = [(place, char) for place, char in enumerate(_plain(password)) if char not in _SEPARATORS]
    text = "".join(char for _, char in letters)
    words = {word for _, found in sources for word in found}
    spoken = _covered(text, words)
    if not spoken or not _is_trivial(
        "".join(" " if i in spoken else char for i, char in enumerate(text)), words
    ):
        return None
    return max(sources, key=lambda source: len(_covered(text, source[1])))[0]


@cache
def _entries() -> bytes:
    """Read the list once, as one block of bytes: an eighth of what a set of strings would take."""
    packed = (files("dashtam.core") / "data" / "common_passwords.txt.gz").read_bytes()
    text = gzip.decompress(packed)
    return text[text.index(b"\n\n") + 2 :]


def _is_listed(text: str) -> bool:
    """Look a folded password up by bisection over the sorted lines."""
    wanted = text.encode("utf-8", "surrogatepass")
    lines = _entries()
    low, high = 0, len(lines)
    while low < high:
        middle = (low + high) // 2
        start = lines.rfind(b"\n", low, middle) + 1 or low
        end = lines.index(b"\n", middle)
        line = lines[start:end]
        if line == wanted:
            return True
        low, high = (end + 1, high) if line < wanted else (low, start)
    return False


def _repeats_common_block(text: str) -> bool:
    size = next((n for n in range(1, len(text) // 2 + 1) if text[n:] == text[:-n]), 0)
    if not size:
        return False
    return (
        size <= LONGEST_TRIVIAL_UNIT or _is_listed(text[:size]) or _is_listed(text[:size].strip(_SEPARATORS))
    )


def _plain(text: str) -> str:
    """Fold, and take the accents off, so that `José` and `jose` are one word."""
    parts = unicodedata.normalize("NFKD", fold(text))
    return "".join(char for char in parts if not unicodedata.combining(char))


def _pieces(text: str) -> list[str]:
    """Cut at everything that is no letter or digit: `alice.smith+news` gives alice, smith, news."""
    return "".join(char if char.isalnum() else " " for char in text).split()


def _words_of_text(text: str) -> set[str]:
    """Give the words of a name or a local part: pieces, pieces without digits, all joined; and backwards."""
    pieces = _pieces(_plain(text))
    words = {
        "".join(pieces),
        "".join(reversed(pieces)),
        *pieces,
        *(piece.strip("0123456789") for piece in pieces),
    }
    words |= {word[::-1] for word in words}
    return {word for word in words if len(word) >= SHORTEST_WORD or (len(word) > 1 and not word.isascii())}


def _words_of_address(email: str) -> set[str]:
    local, _, domain = email.rpartition("@")
    labels, _, top_level = domain.rpartition(".")
    whole = "".join(_pieces(_plain(domain)))
    return (
        _words_of_text(local)
        | _words_of_text(labels)
        | ({whole} if whole and labels and top_level else set())
    )


def _covered(text: str, words: set[str]) -> set[int]:
    """Find the places of `text` that belong to words, which may not overlap, so that most are covered."""
    found = _words_ending_at(text, words)
    best: list[tuple[int, int]] = [(0, 0)]  # for each prefix: places covered, length of the word that ends it
    for end in range(1, len(text) + 1):
        sizes = found.get(end, ())
        best.append(max([(best[end - 1][0], 0), *((best[end - size][0] + size, size) for size in sizes)]))
    places: set[int] = set()
    end = len(text)
    while end:
        size = best[end][1]
        places.update(range(end - size, end))
        end -= size or 1
    return places


def _words_ending_at(text: str, words: set[str]) -> dict[int, set[int]]:
    """Map the end of each word in `text` to its lengths; digits and signs alone (`130`) are no `leo`."""
    alike = text.translate(_LEET)
    ends: dict[int, set[int]] = {}
    for word in words:
        shape, size = word.translate(_LEET), len(word)
        start = alike.find(shape)
        while start >= 0:
            written = text[start : start + size]
            if written == word or any(char.isalpha() for char in written):
                ends.setdefault(start + size, set()).add(size)
            start = alike.find(shape, start + 1)
    return ends


def _is_trivial(rest: str, words: set[str]) -> bool:
    """Judge what the context words leave of a password (blanks where they stood)."""
    for filler in _FILLERS:
        rest = rest.replace(filler, " ")
    tail = rest.rsplit(" ", 1)[-1]
    if tail and any(word.startswith(tail) for word in words):
        rest = rest.removesuffix(tail)
    letters = sum(char.isalpha() for char in _without_runs(rest))
    return letters <= STRAY_LETTERS and _cost(rest) <= DECORATION_BUDGET


def _without_runs(text: str) -> str:
    return "".join(char for i, char in enumerate(text) if i == 0 or text[i - 1] != char)


def _cost(rest: str) -> int:
    """Count what must be guessed: a year, a run (`!!!!`, `123456`, `987`) or any other character is 1."""
    cost = 0
    while rest := rest.lstrip():
        rest = rest[_trivial_run(rest) :]
        cost += 1
    return cost


def _trivial_run(text: str) -> int:
    """Length of what stands at the start of `text` and is guessed at once."""
    best = 4 if text[:4].isdecimal() and text[:2] in {"19", "20"} else 1
    for step in (-1, 0, 1):
        size = 1
        while size < len(text) and _follows(text[size - 1], text[size], step):
            size += 1
        best = max(best, size if size > 2 or step == 0 else 1)  # noqa: PLR2004 - two neighbours are no run yet
    return best


def _follows(left: str, right: str, step: int) -> bool:
    """Tell whether `right` comes `step` after `left`; after 9 comes 0, as on the keyboard."""
    if left.isdecimal() and right.isdecimal():
        return (int(left) + step) % 10 == int(right)
    return ord(left) + step == ord(right)
