"""Removes the journey's account, wherever the journey stopped, and says so honestly when it cannot."""

from __future__ import annotations

import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import httpx2

from dashtam.journey import expect
from dashtam.journey.calls import send_login, send_verification
from dashtam.journey.expect import Mismatch
from dashtam.journey.mailbox import MailboxError, wait_for_token
from dashtam.journey.result import CleanUp
from dashtam.journey.trip import Trip

# The journey itself has waited for this mail before; the clean-up only looks again.
_SECOND_LOOK: Final = 0.2


@dataclass(frozen=True, slots=True, repr=False)
class _WayIn:
    access: str
    password: str


@dataclass(frozen=True, slots=True)
class _NoWayIn:
    """Why no login was possible, and whether an account is there nevertheless."""

    reason: str
    account_exists: bool


async def clean_up(trip: Trip) -> CleanUp:
    """Log in with whatever password stands and delete the account."""
    started = time.perf_counter()
    detail, left_behind = await _remove(trip)
    ms = (time.perf_counter() - started) * 1000
    return CleanUp(trip.redactor.text(detail), ms, trip.email if left_behind else None)


async def _remove(trip: Trip) -> tuple[str, bool]:
    """Say what became of the account, and whether it is still there."""
    if not trip.asked_to_register:
        return "nothing to remove, no account was asked for", False
    try:
        return await _log_in_and_delete(trip)
    except (Mismatch, MailboxError) as error:
        reason = str(error)
    except httpx2.ConnectError:
        if not trip.registered:
            return "nothing to remove, the server was never reached", False
        reason = "the server no longer answers"
    except Exception as error:  # noqa: BLE001 - in process, anything the application raises arrives here
        reason = f"{type(error).__name__}: {error}"
    return _left(trip, reason), True


async def _log_in_and_delete(trip: Trip) -> tuple[str, bool]:
    way_in = await _find_way_in(trip)
    if isinstance(way_in, _NoWayIn):
        if way_in.account_exists:
            return _left(trip, way_in.reason), True
        return "nothing to remove, the account was never made", False
    gone = await trip.wire.call("DELETE", "/auth/me", {"password": way_in.password}, bearer=way_in.access)
    if gone.status_code != HTTPStatus.OK or not await _is_gone(trip, way_in):
        return _left(
            trip, f"its deletion was answered with {expect.summary(gone)}, and it is still there"
        ), True
    return f"the account {trip.email} is removed", False


async def _is_gone(trip: Trip, way_in: _WayIn) -> bool:
    profile = await trip.wire.call("GET", "/auth/me", bearer=way_in.access)
    if profile.status_code == HTTPStatus.UNAUTHORIZED:
        return True
    # Either the account or only its token lives on; a login tells which.
    return (await send_login(trip, way_in.password)).status_code == HTTPStatus.UNAUTHORIZED


async def _find_way_in(trip: Trip) -> _WayIn | _NoWayIn:
    reason = ""
    for password in trip.likely_passwords:
        answer = await send_login(trip, password)
        if answer.status_code == HTTPStatus.FORBIDDEN:
            answer = await _verify_then_log_in(trip, password)
        if answer.status_code == HTTPStatus.OK:
            return _WayIn(_access_token(trip, answer), password)
        reason = f"its login was answered with {expect.summary(answer)}"
        if answer.status_code != HTTPStatus.UNAUTHORIZED:
            return _NoWayIn(reason, account_exists=True)
    return _NoWayIn(reason, account_exists=trip.registered)


async def _verify_then_log_in(trip: Trip, password: str) -> httpx2.Response:
    if not trip.verification_token:
        token = await wait_for_token(trip.mailbox, trip.email, "verify-email", patience=_SECOND_LOOK)
        trip.verification_token = token
        trip.redactor.learn(token)
    expect.a_message(await send_verification(trip), HTTPStatus.OK)
    return await send_login(trip, password)


def _access_token(trip: Trip, answer: httpx2.Response) -> str:
    """Read the token and forgive the rest: an answer that failed the journey may still open the door."""
    token = str(answer.json()["access_token"])
    trip.redactor.learn(token)
    return token


def _left(trip: Trip, reason: str) -> str:
    certainty = "was" if trip.registered else "may have been"
    return f"the account {trip.email} {certainty} left behind: {reason}"
