"""The calls that several steps make; the clean-up makes some of them too."""

from __future__ import annotations

import httpx2

from dashtam.journey import expect
from dashtam.journey.expect import Mismatch, TokenPair
from dashtam.journey.trip import Trip


async def send_login(trip: Trip, password: str) -> httpx2.Response:
    """Try to log in with this password."""
    return await trip.wire.call("POST", "/auth/login", {"email": trip.email, "password": password})


async def send_verification(trip: Trip) -> httpx2.Response:
    """Spend the mailed verification token."""
    return await trip.wire.call("POST", "/auth/verify-email", {"token": trip.verification_token})


async def send_refresh(trip: Trip, token: str) -> httpx2.Response:
    """Spend or replay a refresh token."""
    return await trip.wire.call("POST", "/auth/refresh", {"refresh_token": token})


async def send_reset_check(trip: Trip) -> httpx2.Response:
    """Ask whether the mailed reset token is good; this spends nothing."""
    return await trip.wire.call("POST", "/password-resets/check", {"token": trip.reset_token})


async def see_profile(trip: Trip, name: str) -> None:
    """Open the profile with the newest access token and expect this name in it."""
    answer = await trip.wire.call("GET", "/auth/me", bearer=trip.pair.access)
    expect.a_user(answer, email=trip.email, name=name)


def keep_new_pair(trip: Trip, pair: TokenPair) -> None:
    """Keep a pair of which neither token was seen before."""
    if any(pair.refresh == kept.refresh for kept in trip.pairs):
        raise Mismatch("a new refresh token", "one that was handed out before")
    if any(pair.access == kept.access for kept in trip.pairs):
        raise Mismatch("a new access token", "one that was handed out before")
    trip.keep(pair)
