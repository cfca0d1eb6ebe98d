"""Settings: every one readable, known by its name, as the contract says, and fit to stand together."""

import re
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path

from dashtam.contract import contract_path
from dashtam.doctor.check import Answer, Check, failure, in_thread, ok, warning
from dashtam.doctor.inside.places import in_prod
from dashtam.doctor.local import Local
from dashtam.secret_files import SECRETS
from dashtam.settings import Settings
from dbparity.environment import BadEnvironmentError, check, load_contract

_HOST_NAME = re.compile(r"[a-z0-9_.-]+|\[[0-9a-f:.]+\]", re.IGNORECASE)

_NAMES = frozenset(name.upper() for name in Settings.model_fields)
_READ = _NAMES | {f"{name}_FILE" for name in SECRETS}


async def _valid(local: Local) -> Answer:
    if not local.faults:
        return ok(f"{len(_NAMES)} settings, as {local.settings.environment}")
    found = "; ".join(f"{name} {fault}" for name, fault in local.faults)
    return failure(found, "Set the variables named; docs/reference/settings.md says what each takes.")


async def _names(local: Local) -> Answer:
    if found := dict(_misnamed(local.environ)):
        told = ", ".join(f"{name} is not read ({meant} is)" for name, meant in found.items())
        return warning(told, "Rename the variable, or unset it: nothing here reads it.")
    count = sum(1 for name in local.environ if name.upper() in _READ)
    return ok(f"{count} settings are set by variables, and no other name looks like one")


def _misnamed(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The variables that nobody reads, though somebody must have believed so; and the names that are read."""
    for name in sorted(environ):
        if name in _READ or name.upper() in _NAMES:  # settings are read in any case
            continue
        if meant := _meant(name.upper()):
            in_use = environ.get(meant) or environ.get(f"{meant}_FILE")
            if not in_use or meant in name.upper():  # else a name alike may well be another program's
                yield name, meant


def _meant(name: str) -> str:
    if name in _READ:
        return name
    bare = name.removeprefix("DASHTAM_").removesuffix("_FILE")
    if bare in _NAMES:
        return bare
    return next((read for read in sorted(_READ) if _one_slip(name, read)), "")


def _one_slip(name: str, read: str) -> bool:
    """Whether one letter is wrong, missing or too many, or two have changed places."""
    same = _begins_alike(name, read)
    here, there = name[same:], read[same:]
    same = _begins_alike(here[::-1], there[::-1])
    here, there = here[: len(here) - same], there[: len(there) - same]
    return max(len(here), len(there)) == 1 or (here == there[::-1] and len(here) == 2)  # noqa: PLR2004  two letters


def _begins_alike(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _as_agreed(local: Local) -> Answer:
    try:
        found = breaches(contract_path(), local.settings.environment, local.environ)
    except BadEnvironmentError as error:
        return warning(f"cannot be compared: {str(error).splitlines()[0]}", "Mend that file.")
    if found:
        return warning(
            "; ".join(found), "Mend the variable, or state in env/contract.toml why it may differ here."
        )
    return ok(f"the variables are what the contract says of {local.settings.environment}")


def breaches(contract: Path, environment: str, environ: Mapping[str, str]) -> list[str]:
    """What the contract does not allow of a process of this environment. Raises BadEnvironmentError."""
    misnamed = dict(_misnamed(environ))  # told by a check of their own
    violations = check(load_contract(contract), environment, environ)
    return [f"{each.variable} {each.message}" for each in violations if each.variable not in misnamed]


async def _log_level(local: Local) -> Answer:
    level = local.settings.log_level
    if level == "debug":
        return warning("LOG_LEVEL is debug in prod", "Set LOG_LEVEL=info once what was looked for is found.")
    return ok(f"LOG_LEVEL is {level}")


async def _lifetimes(local: Local) -> Answer:
    settings = local.settings
    idle, access = settings.session_idle_seconds, settings.access_token_seconds
    if idle <= access:
        return warning(
            f"sessions end unused after {idle} s, before an access token of {access} s is refreshed: "
            "whoever is at work is logged out",
            "Set SESSION_IDLE_SECONDS to several times ACCESS_TOKEN_SECONDS.",
        )
    return ok(f"access tokens live {access} s, sessions {idle} s unused")


async def _hosts(local: Local) -> Answer:
    names = local.settings.allowed_hosts
    if not names:
        return ok("ALLOWED_HOSTS is empty: the host of PUBLIC_URL is answered for")
    if odd := [name for name in names if not _HOST_NAME.fullmatch(name)]:
        return warning(
            f"no request ever matches {', '.join(map(repr, odd))}",
            "Write whole host names into ALLOWED_HOSTS, without scheme, port, path or *; IPv6 in brackets.",
        )
    return ok(f"{len(names)} further host names")


_VALID = ("settings.valid",)
CHECKS = (
    Check("settings.valid", "Every setting is valid", _valid),
    Check("settings.names", "No variable is a misspelt setting", _names),
    Check("settings.contract", "The environment is as agreed", in_thread(_as_agreed), _VALID),
    Check("settings.lifetimes", "A session outlives its access token", _lifetimes, _VALID),
    Check("settings.hosts", "Every allowed host is a host name", _hosts, _VALID),
    Check("settings.log_level", "The log is fit for production", _log_level, _VALID, in_prod),
)
