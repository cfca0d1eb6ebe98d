"""The signing keys: kept sealed in the database, scheduled by time, known to every node before they sign.

A key signs from `activated_at` until `retired_at`. Rotation retires the open-ended key at a moment that lies
`publish_seconds` ahead and adds its successor from that same moment, so verifiers know it before it signs; a
retired key stays published until its last token is dead. The key id is the key's RFC 7638 thumbprint. At most
one key is open-ended, by a unique index, so nodes that start at once make one key and rotate once.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from joserfc.errors import JoseError
from sqlalchemy import or_, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from dashtam.core.db import Database
from dashtam.core.known_answers import prove_sound
from dashtam.core.sealing import CannotOpenError, SecretKey
from dashtam.core.signatures import SCHEMES, Key, private_key, public_half
from dashtam.core.tables import SigningKey

LEEWAY_SECONDS = 30  # how far the clocks of two nodes may lie apart
_PURPOSE = "signing-key"


class KeysUnusableError(Exception):
    """There is no signing key that this service can work with. The words say why and what to do."""


class RotationUnderWayError(Exception):
    """A successor is published already and does not sign yet, so a second one would gain nothing."""

    def __init__(self, kid: str, at: datetime) -> None:
        super().__init__(
            f"A rotation is already under way: key {kid} takes over at {at.isoformat(timespec='seconds')}. "
            "Rotate again after that."
        )
        self.kid = kid
        self.at = at


@dataclass(frozen=True, slots=True)
class SigningPair:
    """The key that signs now, with its private half."""

    kid: str
    algorithm: str
    key: Key


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key and the one algorithm it verifies. The same object as long as the ring holds the key."""

    kid: str
    algorithm: str
    key: Key


@dataclass(frozen=True, slots=True)
class _Held:
    """A key of the ring: its schedule and its two halves."""

    signing: SigningPair
    verifying: VerifyingKey
    activated_at: datetime
    retired_at: datetime | None

    def signs(self, now: datetime) -> bool:
        return self.activated_at <= now and (self.retired_at is None or now < self.retired_at)


class KeyRing:
    """The keys that this node knows. `load` reads them from the database; everything else is memory alone."""

    def __init__(self, secret: SecretKey, algorithm: str, publish_seconds: int, token_seconds: int) -> None:
        self.secret = secret
        self.algorithm = algorithm
        self.publish_for = timedelta(seconds=publish_seconds)
        self.outlives_by = timedelta(seconds=token_seconds + LEEWAY_SECONDS)
        self.loaded_at: datetime | None = None
        self._held: dict[str, _Held] = {}

    async def load(self, database: Database, now: datetime) -> None:
        """Read the usable keys; make the first if there is none; rotate if another algorithm is now wanted.

        Raises KeysUnusableError if SECRET_KEY does not open them, and keeps what was loaded before.
        """
        if self.loaded_at is None:
            prove_sound()
        held = await self._read(database, now)
        if await self._complete(held, database, now):
            held = await self._read(database, now)
        self._held = held
        self.loaded_at = now

    def signing(self, now: datetime) -> SigningPair:
        """The key to sign with. If this clock runs behind the one that made the first key: that key."""
        held = self._held.values()
        signing = [key for key in held if key.signs(now)] or [key for key in held if now < key.activated_at][
            :1
        ]
        if not signing:
            raise KeysUnusableError(
                "No signing key is loaded: see that the database answers and is migrated."
            )
        return signing[-1].signing

    def verifying(self, kid: str, now: datetime) -> VerifyingKey | None:
        """The key of this id, by exact look-up in memory, unless every token of it is dead by now."""
        held = self._held.get(kid)
        return held.verifying if held and self._lives(held, now) else None

    def jwks(self, now: datetime) -> dict[str, list[dict[str, Any]]]:
        """The public keys as a JWK set (RFC 7517): upcoming, active, and retired while a token may live."""
        return {"keys": [_jwk(held.verifying) for held in self._held.values() if self._lives(held, now)]}

    def _lives(self, held: _Held, now: datetime) -> bool:
        return held.retired_at is None or now < held.retired_at + self.outlives_by

    async def _read(self, database: Database, now: datetime) -> dict[str, _Held]:
        useful = or_(
            col(SigningKey.retired_at).is_(None), col(SigningKey.retired_at) > now - self.outlives_by
        )
        async with database.read() as db:
            rows = await db.exec(select(SigningKey).where(useful).order_by(col(SigningKey.activated_at)))
            return {row.kid: self._hold(row) for row in rows}

    def _hold(self, row: SigningKey) -> _Held:
        held = self._held.get(row.kid)
        if held is None:
            return self._open(row)
        return replace(held, activated_at=row.activated_at, retired_at=row.retired_at)

    def _open(self, row: SigningKey) -> _Held:
        try:
            key = private_key(row.algorithm, self.secret.open(_PURPOSE, row.private_key, row.kid))
        except (CannotOpenError, JoseError, ValueError) as error:
            raise _unopened(row.kid) from error
        if key.thumbprint() != row.kid:
            raise _unopened(row.kid)
        signing = SigningPair(row.kid, row.algorithm, key)
        verifying = VerifyingKey(row.kid, row.algorithm, public_half(key))
        return _Held(signing, verifying, row.activated_at, row.retired_at)

    async def _complete(self, held: dict[str, _Held], database: Database, now: datetime) -> bool:
        """Make the key that is missing from `held`, if one is; whether the keys are to be read again."""
        last = next((key for key in held.values() if key.retired_at is None), None)
        if last is None:
            await self._make_first(database, now)
        elif last.signing.algorithm != self.algorithm and last.activated_at <= now:
            with suppress(RotationUnderWayError):  # another node was told the same, and was first
                await rotate(database, self, now)
        else:
            return False
        return True

    async def _make_first(self, database: Database, now: datetime) -> None:
        row = await self.new_row(activated_at=now)
        with suppress(IntegrityError):  # another node made it at the same moment: its key is the one
            async with database.write() as db:
                db.add(row)

    def prove_opens(self, row: SigningKey) -> None:
        """Raise KeysUnusableError unless this node can sign and verify with the key of this row."""
        self._open(row)

    async def new_row(self, *, activated_at: datetime) -> SigningKey:
        """A fresh open-ended key, sealed, not yet in the database."""
        # In a thread: making an RSA key takes long.
        key = await asyncio.to_thread(SCHEMES[self.algorithm].generate)
        kid = key.thumbprint()
        sealed = self.secret.seal(_PURPOSE, key.as_der(private=True), kid)
        return SigningKey(kid=kid, algorithm=self.algorithm, private_key=sealed, activated_at=activated_at)


async def rotate(database: Database, ring: KeyRing, now: datetime) -> SigningKey:
    """Retire the open-ended key `publish_seconds` from now and add its successor, which is returned.

    Nodes see it at their next `load`. Raises RotationUnderWayError while an earlier successor waits its turn.
    """
    successor = await ring.new_row(activated_at=now + ring.publish_for)
    retire = (
        update(SigningKey)
        .where(col(SigningKey.retired_at).is_(None), col(SigningKey.activated_at) <= now)
        .values(retired_at=successor.activated_at)
        .returning(col(SigningKey.kid))
    )
    async with database.write() as db:
        if (await db.exec(retire)).first() is None:
            raise await _why_not(db)
        db.add(successor)
    return successor


async def every_key(database: Database) -> list[SigningKey]:
    """All rows, the dead ones too, in the order in which they sign."""
    async with database.read() as db:
        return list(await db.exec(select(SigningKey).order_by(col(SigningKey.activated_at))))


async def _why_not(db: AsyncSession) -> Exception:
    upcoming = (await db.exec(select(SigningKey).where(col(SigningKey.retired_at).is_(None)))).first()
    if upcoming is None:
        return KeysUnusableError(
            "There is no signing key to rotate: the service makes the first when it starts."
        )
    return RotationUnderWayError(upcoming.kid, upcoming.activated_at)


def _jwk(key: VerifyingKey) -> dict[str, Any]:
    return dict(key.key.as_dict(private=False, use="sig", alg=key.algorithm, kid=key.kid))


def _unopened(kid: str) -> KeysUnusableError:
    return KeysUnusableError(
        f"SECRET_KEY does not open the signing key {kid} in the database. Set SECRET_KEY to the one it was "
        "made with. If that is lost, delete the rows of the table signing_keys: a new key is made, and the "
        "access tokens of before are refused."
    )
