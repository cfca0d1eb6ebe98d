"""The signing keys: one that signs, which this SECRET_KEY opens, in a schedule without a hole."""

from datetime import datetime, timedelta
from itertools import pairwise

from sqlalchemy.exc import SQLAlchemyError

from dashtam.core.keys import LEEWAY_SECONDS, KeysUnusableError, every_key
from dashtam.core.tables import SigningKey
from dashtam.doctor.check import Answer, Check, FoundError, failure, ok, skipped, warning
from dashtam.doctor.local import Local

_OLD = timedelta(days=365)
"""A year: the lower end of what NIST SP 800-57 Part 1 Rev. 5, table 1, allows a private signature key (1 to 3)."""
_NONE_YET = "there is no key yet: the first start of the server makes one"
_ROTATE = "dashtam keys rotate"
_WRITTEN_BY_HAND = (
    "Rows of signing_keys are written by Dashtam alone. Start with one new key: delete them all."
)


async def _opened(local: Local) -> Answer:
    living = await _living(local)
    if not living:
        return skipped(_NONE_YET)
    for row in living:
        try:
            local.service.keys.prove_opens(row)
        except KeysUnusableError as error:
            why, _, remedy = str(error).partition(". ")
            return failure(why, remedy)
    return ok(f"it opens {len(living)} of {len(living)}")


async def _signing(local: Local) -> Answer:
    now, living = local.clock.now(), await _living(local)
    if not living:
        return skipped(_NONE_YET)
    early = now + timedelta(seconds=LEEWAY_SECONDS)  # the clocks of two nodes may lie apart
    signing = [row for row in living if _signs(row, now)] or [row for row in living if _signs(row, early)]
    if signing:
        return ok(f"{signing[-1].kid} ({signing[-1].algorithm}) since {_when(signing[-1].activated_at)}")
    return failure(
        f"none of {len(living)} keys signs now, at {_when(now)} by this machine's clock",
        f"See that the clock is right. {_WRITTEN_BY_HAND}",
    )


async def _schedule(local: Local) -> Answer:
    living = await _living(local)
    if not living:
        return skipped(_NONE_YET)
    last = living[-1]
    if last.retired_at is not None:
        return warning(
            f"{last.kid} ends at {_when(last.retired_at)} and no key follows",
            f"The key made then is not known to verifiers before it signs. {_WRITTEN_BY_HAND}",
        )
    for before, after in pairwise(living):
        if before.retired_at != after.activated_at:
            ends = _when(before.retired_at) if before.retired_at else "never"
            return warning(
                f"{before.kid} ends at {ends}, and {after.kid} begins at {_when(after.activated_at)}",
                _WRITTEN_BY_HAND,
            )
    return _follows(local, last)


def _follows(local: Local, last: SigningKey) -> Answer:
    """Whether the last key's turn is near enough: made by a clock that runs ahead, it blocks every rotation."""
    wait = last.activated_at - local.clock.now()
    if wait <= timedelta(0):
        return ok("the key that signs has no end yet, and no other waits")
    announced = timedelta(seconds=local.settings.key_publish_seconds + LEEWAY_SECONDS)
    if wait > announced:
        return warning(
            f"{last.kid} signs from {_when(last.activated_at)}, later than KEY_PUBLISH_SECONDS allows",
            "A clock ran ahead when it was made. Until its turn nothing can be rotated; delete its row, and "
            "set retired_at of the key before it to NULL.",
        )
    return ok(f"{last.kid} takes over at {_when(last.activated_at)}")


async def _algorithm(local: Local) -> Answer:
    wanted, living = local.settings.signing_algorithm, await _living(local)
    if not living:
        return skipped(_NONE_YET)
    last = living[-1]
    if last.algorithm == wanted:
        return ok(f"{wanted}, as set")
    return warning(
        f"the last key is of {last.algorithm}, and SIGNING_ALGORITHM is {wanted}",
        "Restart every node with the same SIGNING_ALGORITHM: a running server rotates by itself.",
    )


async def _age(local: Local) -> Answer:
    living = await _living(local)
    if not living:
        return skipped(_NONE_YET)
    age = local.clock.now() - living[-1].activated_at
    if age > _OLD:
        return warning(f"the key has signed for {age.days} days", f"Rotate it, once a year: {_ROTATE}")
    return ok(f"the key has signed for {max(0, age.days)} days; {_OLD.days} are enough")


async def _living(local: Local) -> list[SigningKey]:
    """The keys that still sign, or of which a token may live, in the order in which they sign."""
    ring, now = local.service.keys, local.clock.now()
    try:
        rows = await local.once(_rows)
    except (SQLAlchemyError, OSError):
        raise FoundError(skipped("the keys cannot be read; what is said of the database says why")) from None
    return [row for row in rows if row.retired_at is None or now < row.retired_at + ring.outlives_by]


async def _rows(local: Local) -> list[SigningKey]:
    return await every_key(local.service.database)


def _signs(row: SigningKey, now: datetime) -> bool:
    return row.activated_at <= now and (row.retired_at is None or now < row.retired_at)


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


CHECKS = (
    Check(
        "keys.opened", "SECRET_KEY opens the signing keys", _opened, ("settings.valid", "database.answers")
    ),
    Check("keys.signing", "A key signs", _signing, ("keys.opened",)),
    Check("keys.schedule", "Every key is followed by one", _schedule, ("keys.opened",)),
    Check("keys.algorithm", "The keys are of the algorithm that is set", _algorithm, ("keys.opened",)),
    Check("keys.age", "The key is not too old", _age, ("keys.opened",)),
)
