"""The 18 steps of the journey: the one definition that pytest and `dashtam smoke` both play.

Each step says what it sends, what it must see, how long it may take, and where to look when it fails. An
acknowledgement is followed at once by a call that depends on it, so that a server which answers first and
commits later fails here and not at a user.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from dashtam.journey import expect
from dashtam.journey.calls import (
    keep_new_pair,
    see_profile,
    send_login,
    send_refresh,
    send_reset_check,
    send_verification,
)
from dashtam.journey.expect import Mismatch
from dashtam.journey.mailbox import wait_for_token
from dashtam.journey.step import Step, step
from dashtam.journey.trip import Trip

_UNCOMMITTED: Final = (
    "The server must commit before it answers: it acknowledged this and then did not know of it."
)
_REVOCATION: Final = "Look at how sessions are revoked, and whether every request checks its session."


@step(
    1,
    "register",
    sends="POST /auth/register with a new address; at once a login with the same password",
    sees="201 with a message; the login refused with 403 email-not-verified",
    budget_ms=400,
    hint=f"Look at registration and at the database. {_UNCOMMITTED}",
)
async def register(trip: Trip) -> None:
    trip.asked_to_register = True
    account = {"email": trip.email, "password": trip.password, "name": trip.name}
    expect.a_message(await trip.wire.call("POST", "/auth/register", account), HTTPStatus.CREATED)
    trip.registered = True
    # 401 here would mean that the acknowledged account does not exist yet.
    early = await send_login(trip, trip.password)
    expect.a_problem(early, HTTPStatus.FORBIDDEN, "email-not-verified")


@step(
    2,
    "receive the verification mail",
    sends="reads the mailbox until the mail is there",
    sees="a mail to the new address; the same /verify-email#token= link in its text and HTML parts",
    budget_ms=2000,
    hint="Look at the mail outbox (`dashtam mail`): was the mail queued, is the delivery worker running, did "
    "the transport refuse it?",
)
async def receive_verification_mail(trip: Trip) -> None:
    trip.verification_token = await wait_for_token(
        trip.mailbox, trip.email, "verify-email", patience=trip.patience
    )
    trip.redactor.learn(trip.verification_token)


@step(
    3,
    "verify the address",
    sends="POST /auth/verify-email with the mailed token",
    sees="200 with a message",
    budget_ms=150,
    hint="The token was mailed a moment ago: is it stored, unexpired, and looked up by the right hash?",
)
async def verify_address(trip: Trip) -> None:
    expect.a_message(await send_verification(trip), HTTPStatus.OK)


@step(
    4,
    "log in",
    sends="POST /auth/login with the address and password",
    sees="200 with a bearer token pair, Cache-Control: no-store",
    budget_ms=300,
    hint=f"403 means the verification did not stick. {_UNCOMMITTED}",
)
async def log_in(trip: Trip) -> None:
    trip.keep(expect.a_token_pair(await send_login(trip, trip.password)))


@step(
    5,
    "open the protected profile",
    sends="GET /auth/me without a token, then with the access token",
    sees="401 token-invalid with WWW-Authenticate: Bearer; then 200 with this account, verified and active",
    budget_ms=150,
    hint="Look at the signing key, issuer, audience and clock, and at the lookup of the session.",
)
async def open_profile(trip: Trip) -> None:
    expect.a_refused_bearer(await trip.wire.call("GET", "/auth/me"))
    await see_profile(trip, trip.name)


@step(
    6,
    "refresh",
    sends="POST /auth/refresh with the refresh token",
    sees="200 with a token pair, both tokens new",
    budget_ms=150,
    hint="Look at the refresh statement and at SECRET_KEY: every node must have the same one.",
)
async def refresh(trip: Trip) -> None:
    keep_new_pair(trip, expect.a_token_pair(await send_refresh(trip, trip.pair.refresh)))


@step(
    7,
    "open the profile with the new access token",
    sends="GET /auth/me with the access token of the refresh",
    sees="200 with this account",
    budget_ms=100,
    hint=f"The refresh was acknowledged. {_UNCOMMITTED}",
)
async def open_profile_again(trip: Trip) -> None:
    await see_profile(trip, trip.name)


@step(
    8,
    "replay the spent refresh token",
    sends="POST /auth/refresh with the spent token twice; GET /auth/sessions; a refresh of its successor",
    sees="200 twice with the very refresh token of step 6; one session; the successor still good",
    budget_ms=300,
    hint="A second successor is a fork: two holders would live side by side. A refusal (401) means the "
    "replay window is 0, or shorter than this network is slow.",
)
async def replay_spent_refresh(trip: Trip) -> None:
    spent, successor = trip.pairs[-2].refresh, trip.pair.refresh
    # Twice, because a server that forks may hide it behind one cached answer.
    for _ in range(2):
        await _replay(trip, spent, successor)
    sessions = await trip.wire.call("GET", "/auth/sessions", bearer=trip.pair.access)
    expect.one_current_session(sessions)
    keep_new_pair(trip, expect.a_token_pair(await send_refresh(trip, successor)))


async def _replay(trip: Trip, spent: str, successor: str) -> None:
    replayed = expect.a_token_pair(await send_refresh(trip, spent))
    if replayed.refresh != successor:
        raise Mismatch("the same successor as in step 6", "a second, different refresh token: a fork")


@step(
    9,
    "update the profile",
    sends="PATCH /auth/me with a new name; at once GET /auth/me",
    sees="200 with the new name, twice",
    budget_ms=150,
    hint=f"Look at the update of the account. {_UNCOMMITTED}",
)
async def update_profile(trip: Trip) -> None:
    answer = await trip.wire.call("PATCH", "/auth/me", {"name": trip.new_name}, bearer=trip.pair.access)
    expect.a_user(answer, email=trip.email, name=trip.new_name)
    await see_profile(trip, trip.new_name)


@step(
    10,
    "ask for a password reset",
    sends="POST /password-resets with the address",
    sees="202 with a message",
    budget_ms=150,
    hint="This answer never depends on the account; look at the database and at the throttle.",
)
async def ask_for_reset(trip: Trip) -> None:
    answer = await trip.wire.call("POST", "/password-resets", {"email": trip.email})
    expect.a_message(answer, HTTPStatus.ACCEPTED)


@step(
    11,
    "receive the reset mail",
    sends="reads the mailbox until the mail is there",
    sees="a mail with the same /reset-password#token= link in its text and HTML parts",
    budget_ms=2000,
    hint="The verification mail came, so delivery works: was this one queued, or was the account not found?",
)
async def receive_reset_mail(trip: Trip) -> None:
    trip.reset_token = await wait_for_token(
        trip.mailbox, trip.email, "reset-password", patience=trip.patience
    )
    trip.redactor.learn(trip.reset_token)


@step(
    12,
    "check the reset token",
    sends="POST /password-resets/check with the mailed token",
    sees="200, valid, with the time it expires",
    budget_ms=100,
    hint="The token was mailed a moment ago: is it stored, unexpired, and of the right purpose?",
)
async def check_reset_token(trip: Trip) -> None:
    expect.a_valid_reset_token(await send_reset_check(trip))


@step(
    13,
    "set the new password",
    sends="POST /password-resets/confirm with the token and a new password; at once the check of step 12",
    sees="200 with a message; the token now refused with 400 token-invalid",
    budget_ms=400,
    hint=f"A refused token was spent by its check; one still valid was not spent by its use. {_UNCOMMITTED}",
)
async def set_new_password(trip: Trip) -> None:
    trip.reset_sent = True
    body = {"token": trip.reset_token, "new_password": trip.new_password}
    expect.a_message(await trip.wire.call("POST", "/password-resets/confirm", body), HTTPStatus.OK)
    expect.a_problem(await send_reset_check(trip), HTTPStatus.BAD_REQUEST, "token-invalid")


@step(
    14,
    "the old refresh tokens are refused",
    sends="POST /auth/refresh with the newest token from before the reset, then with the one it replaced",
    sees="401 token-invalid, twice",
    budget_ms=150,
    hint=f"A reset must end every session. {_REVOCATION}",
)
async def old_refresh_refused(trip: Trip) -> None:
    # The replaced one is still inside its replay window; a window must not outlive the session.
    for pair in (trip.pairs[-1], trip.pairs[-2]):
        expect.a_problem(await send_refresh(trip, pair.refresh), HTTPStatus.UNAUTHORIZED, "token-invalid")


@step(
    15,
    "the old access tokens are refused",
    sends="GET /auth/me with the newest and the first access token from before the reset",
    sees="401 token-invalid with WWW-Authenticate: Bearer, twice",
    budget_ms=150,
    hint=f"A signature that is still good is not enough. {_REVOCATION}",
)
async def old_access_refused(trip: Trip) -> None:
    for pair in (trip.pairs[-1], trip.pairs[0]):
        expect.a_refused_bearer(await trip.wire.call("GET", "/auth/me", bearer=pair.access))


@step(
    16,
    "the old password is refused, the new one logs in",
    sends="POST /auth/login with the old password, then with the new one",
    sees="401 invalid-credentials; then 200 with a token pair",
    budget_ms=500,
    hint="Look at which hash the login verifies against, and at the throttle: one wrong try is none.",
)
async def passwords_changed_places(trip: Trip) -> None:
    expect.a_problem(await send_login(trip, trip.password), HTTPStatus.UNAUTHORIZED, "invalid-credentials")
    keep_new_pair(trip, expect.a_token_pair(await send_login(trip, trip.new_password)))


@step(
    17,
    "log out",
    sends="POST /auth/logout with the access token",
    sees="200 with a message",
    budget_ms=100,
    hint="Look at the session's revocation; the access token was issued a moment ago.",
)
async def log_out(trip: Trip) -> None:
    answer = await trip.wire.call("POST", "/auth/logout", bearer=trip.pair.access)
    expect.a_message(answer, HTTPStatus.OK)


@step(
    18,
    "both tokens of that login are refused",
    sends="GET /auth/me and POST /auth/refresh with the tokens just logged out",
    sees="401 token-invalid, twice",
    budget_ms=150,
    hint=f"A logout must hold from the next request on. {_REVOCATION} {_UNCOMMITTED}",
)
async def logged_out_for_good(trip: Trip) -> None:
    expect.a_refused_bearer(await trip.wire.call("GET", "/auth/me", bearer=trip.pair.access))
    expect.a_problem(await send_refresh(trip, trip.pair.refresh), HTTPStatus.UNAUTHORIZED, "token-invalid")


STEPS: Final[tuple[Step, ...]] = (
    register,
    receive_verification_mail,
    verify_address,
    log_in,
    open_profile,
    refresh,
    open_profile_again,
    replay_spent_refresh,
    update_profile,
    ask_for_reset,
    receive_reset_mail,
    check_reset_token,
    set_new_password,
    old_refresh_refused,
    old_access_refused,
    passwords_changed_places,
    log_out,
    logged_out_for_good,
)
