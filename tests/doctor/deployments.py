"""Deployments by their settings alone, for checks that ask for no database."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from dashtam.doctor.check import Answer, Check
from dashtam.doctor.checkup import examine
from dashtam.doctor.inside import settings
from dashtam.doctor.local import Local, local
from dashtam.settings import Settings, load
from dbparity.environment import read_file
from tests.doctor.asking import answer

DOCTOR_SECRET = "Zk3vQx8pLw2nRt6yBs9dHf4gJm7cXa5eUo1i-doctor"
DEV: dict[str, Any] = {"environment": "dev", "mail_transport": "mailbox"}
PROD: dict[str, Any] = {
    "environment": "prod",
    "public_url": "https://login.example.org",
    "mail_transport": "smtp",
    "mail_from": "Dashtam <no-reply@example.org>",
    "smtp_url": "smtps://dashtam:w6mJq2Rz8vTn@127.0.0.1:1",
    "trusted_proxies": "127.0.0.1/32",
}
_ENV = Path(__file__).resolve().parents[2] / "env"


def variables(found: Settings) -> dict[str, str]:
    """What a process with these settings has in its environment, as far as the doctor asks for it."""
    secret = {"SECRET_KEY": found.secret_key.get_secret_value()}
    if found.environment == "prod":
        return {**{name.upper(): value for name, value in PROD.items()}, **secret}
    return {**read_file(_ENV / f".env.{found.environment}").values, **secret}


@asynccontextmanager
async def examined(
    var_dir: Path, environ: Mapping[str, str] | None = None, **given: Any
) -> AsyncIterator[Local]:
    """A deployment with these settings, and with these variables beside those of its environment."""
    found = load(**{"secret_key": DOCTOR_SECRET, "var_dir": var_dir, **given})
    async with local(settings=found, environ={**variables(found), **(environ or {})}) as here:
        yield here


async def answered(
    name: str, var_dir: Path, environ: Mapping[str, str] | None = None, **given: Any
) -> Answer:
    """What the check of this name says of such a deployment."""
    async with examined(var_dir, environ, **given) as here:
        return await answer(here, name)


async def answers(here: Local, checks: Sequence[Check[Local]]) -> dict[str, Answer]:
    """What those of the checks that apply say, by their names. Of other areas they need "settings.valid" alone."""
    found = examine(here, list(dict.fromkeys((*settings.CHECKS[:1], *checks))))
    wanted = {check.name for check in checks}
    return {each.check.name: each.answer async for each in found if each.check.name in wanted}
