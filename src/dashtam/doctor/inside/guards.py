"""Guards: in production, what keeps strangers from guessing passwords is not loosened."""

from dashtam.doctor.check import Answer, Check, ok, warning
from dashtam.doctor.inside.places import in_prod
from dashtam.doctor.local import Local
from dashtam.settings import HOUR, Rate, Settings

_SINGLE_FACTOR_LENGTH = 15
"""NIST SP 800-63B-4, 3.1.1.2: the least length of a password that is the only thing asked for."""
_LOOSE = 10
"""A limit that lets through so many times what it does by default guards nothing any more."""


async def _password_length(local: Local) -> Answer:
    length = local.settings.password_min_length
    if length < _SINGLE_FACTOR_LENGTH:
        return warning(
            f"{length} characters; NIST SP 800-63B-4 asks for {_SINGLE_FACTOR_LENGTH} where a password is all",
            f"Set PASSWORD_MIN_LENGTH={_SINGLE_FACTOR_LENGTH}; passwords of today go on working.",
        )
    return ok(f"new passwords have at least {length} characters")


async def _rates(local: Local) -> Answer:
    limits = {
        name: (getattr(local.settings, name), field.default)
        for name, field in Settings.model_fields.items()
        if isinstance(field.default, Rate)
    }
    loose = {name: pair for name, pair in limits.items() if _hourly(pair[0]) > _LOOSE * _hourly(pair[1])}
    if loose:
        told = (
            f"{name.upper()} lets {_hourly(here):.0f} an hour through, by default {_hourly(default):.0f}"
            for name, (here, default) in loose.items()
        )
        return warning("; ".join(told), "Unset them, or come down to a few times the default.")
    return ok(f"{len(limits)} limits, none over {_LOOSE} times its default")


def _hourly(rate: Rate) -> float:
    return rate.tries * HOUR / rate.seconds


_VALID = ("settings.valid",)
CHECKS = (
    Check("guards.password_length", "New passwords are long enough", _password_length, _VALID, in_prod),
    Check("guards.rates", "Limits hold back guessing", _rates, _VALID, in_prod),
)
