"""Secrets: hard to guess, published nowhere, and each good for one thing only. Their values are never shown."""

import math
from collections import defaultdict
from hashlib import sha256
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from sqlalchemy.engine import make_url

from dashtam.core import blocklist
from dashtam.doctor.check import Answer, Check, failure, ok, warning
from dashtam.doctor.inside.places import in_prod
from dashtam.doctor.local import Local
from dashtam.settings import Settings

_BITS = 80
"""What a secret must be worth by its variety. Of 200,000 made of 32 hexadecimal digits the poorest was worth 83."""
_PASSWORD_LENGTH = 12
_ROWS = ("abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")
_SUCCESSORS = frozenset(pair for row in _ROWS for a, b in pairwise(row) for pair in (a + b, b + a))
_CHUNK = 3

# Samples that people copy from the documentation of FastAPI, Flask and jwt.io, as SHA-256.
_PUBLISHED = frozenset(
    {
        "570dad43de1af4c925f92c16a68a50936da42b7dd6fdeb24850507a1199aac89",
        "2598f7d6adc142d88161630f3db12ab2bd3403521c281811e5e1ce60d4ac5d76",
        "465d9ad5d5528ebe287b5dce4fb51620833d09b290e49ddcc70ca6c4a0aea01b",
    }
)
_PUBLISHED_PREFIXES = ("django-insecure-",)
_MAKE = "Make another with: openssl rand -base64 48"


class _Login(NamedTuple):
    """What a URL logs in with."""

    user: str
    password: str
    place: str


async def _strength(local: Local) -> Answer:
    settings = local.settings
    secrets = {"SECRET_KEY": settings.secret_key, "SMOKE_TOKEN": settings.smoke_token}
    given = {name: value for name, secret in secrets.items() if (value := secret.get_secret_value())}
    if not given:
        return ok("SECRET_KEY is made at the first start")
    faults = [f"{name} {fault}" for name, value in given.items() if (fault := _weakness(value))]
    if faults:
        return failure("; ".join(faults), f"{_MAKE}. A new SECRET_KEY ends every session and link.")
    sources = (f"{name} {_source(local, name)}" for name in given)
    return ok(f"{', '.join(sources)}: each over {_BITS} bits")


def _weakness(secret: str) -> str:
    if sha256(secret.encode()).hexdigest() in _PUBLISHED or secret.startswith(_PUBLISHED_PREFIXES):
        return "is a sample that is published"
    return "" if variety_bits(secret) >= _BITS else "is too regular to be made by chance"


def variety_bits(secret: str) -> float:
    """The most that a secret can be worth: characters that neither repeat nor continue what came before."""
    folded, seen, free = secret.lower(), set[str](), 0
    for at in range(len(folded)):
        chunk = folded[at : at + _CHUNK]
        free += not (chunk in seen or _continues(folded, at))
        seen.add(chunk)
    return free * math.log2(len(set(secret)) or 1)


def _continues(text: str, at: int) -> bool:
    """Whether the character is the third of a row such as 123 or poi."""
    return at > 1 and text[at - 1 : at + 1] in _SUCCESSORS and text[at - 2 : at] in _SUCCESSORS


def _source(local: Local, name: str) -> str:
    if local.environ.get(f"{name}_FILE"):
        return f"from {name}_FILE"
    return "from the environment" if local.environ.get(name) else "kept in VAR_DIR"


async def _apart(local: Local) -> Answer:
    uses: dict[str, list[str]] = defaultdict(list)
    for name, value in _values(local.settings).items():
        uses[value].append(name)
    if shared := [" and ".join(names) for names in uses.values() if len(names) > 1]:
        return failure(
            f"the same secret serves as {'; '.join(shared)}",
            f"Give each its own: whoever learns one of them has the others. {_MAKE}.",
        )
    return ok("no two are the same" if len(uses) > 1 else "there are no two")


def _values(settings: Settings) -> dict[str, str]:
    values = {
        "SECRET_KEY": settings.secret_key.get_secret_value(),
        "SMOKE_TOKEN": settings.smoke_token.get_secret_value(),
        **{f"the password in {name}": login.password for name, login in _logins(settings).items()},
    }
    return {name: value for name, value in values.items() if value}


def _logins(settings: Settings) -> dict[str, _Login]:
    database, smtp = make_url(settings.database), _parts(settings.smtp_url.get_secret_value())
    logins = {
        "DATABASE_URL": _Login(database.username or "", database.password or "", database.database or ""),
        "SMTP_URL": _Login(unquote(smtp.username or ""), unquote(smtp.password or ""), ""),
    }
    return {name: login for name, login in logins.items() if login.password}


def _parts(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # it is not looked at where no mail goes by SMTP
        return urlsplit("")


async def _passwords(local: Local) -> Answer:
    logins = _logins(local.settings)
    if weak := [name for name, login in logins.items() if _guessable(login)]:
        return warning(
            f"the password in {' and in '.join(weak)} is short, common or made of the user's name",
            f"Set one made by chance, of at least {_PASSWORD_LENGTH} characters, there and on the server.",
        )
    return ok(f"good ones, in {' and in '.join(logins)}" if logins else "no URL carries a password")


def _guessable(login: _Login) -> bool:
    return (
        len(login.password) < _PASSWORD_LENGTH
        or blocklist.is_common(login.password)
        or blocklist.context_reason(login.password, email=f"{login.user}@", name=login.place) is not None
    )


_VALID = ("settings.valid",)
CHECKS = (
    Check("secrets.strength", "Secrets are hard to guess", _strength, _VALID),
    Check("secrets.apart", "No secret serves twice", _apart, _VALID),
    Check("secrets.passwords", "Passwords in URLs are hard to guess", _passwords, _VALID, in_prod),
)
