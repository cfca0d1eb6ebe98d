"""Plays the 18 steps in order, stops at the first that fails, explains it, and always cleans up."""

from __future__ import annotations

import time
from collections.abc import Sequence

import httpx2

from dashtam.journey.clean_up import clean_up
from dashtam.journey.diagnosis import diagnose, place
from dashtam.journey.expect import Mismatch
from dashtam.journey.mailbox import Mailbox
from dashtam.journey.result import (
    CleanedUp,
    Event,
    Exchange,
    Failure,
    Listener,
    Result,
    Status,
    StepEnded,
    StepOutcome,
    StepStarted,
)
from dashtam.journey.step import Step
from dashtam.journey.steps import STEPS
from dashtam.journey.trip import Trip, Wire, set_out

DEFAULT_DOMAIN = "journey.invalid"
DEFAULT_PATIENCE = 10.0


async def play(
    client: httpx2.AsyncClient,
    mailbox: Mailbox,
    *,
    on_event: Listener | None = None,
    prefix: str = "/api/v1",
    domain: str = DEFAULT_DOMAIN,
    patience: float = DEFAULT_PATIENCE,
) -> Result:
    """Play the journey against whatever `client` speaks to; wait `patience` seconds at most for each mail.

    Nothing the service does makes this raise: what went wrong is in the result. A cancellation passes
    through, after the clean-up.
    """
    tell = on_event or _nobody
    trip = set_out(Wire(client, prefix), mailbox, domain=domain, patience=patience)
    started = time.perf_counter()
    try:
        steps, failure = await _walk(trip, tell)
        walked = _since(started)
    finally:
        cleaned = await clean_up(trip)
        tell(CleanedUp(cleaned))
    return Result(
        base_url=place(trip.wire),
        prefix=trip.wire.prefix,
        address=trip.email,
        steps=tuple(steps),
        failure=failure,
        clean_up=cleaned,
        total_ms=walked + cleaned.ms,
    )


async def _walk(trip: Trip, tell: Listener) -> tuple[Sequence[StepOutcome], Failure | None]:
    outcomes: list[StepOutcome] = []
    failure: Failure | None = None
    for step in STEPS:
        if failure is None:
            tell(StepStarted(step.number, step.name))
            outcome, failure = await _play_step(trip, step)
            tell(StepEnded(outcome, failure))
        else:
            outcome = _outcome(step, "skipped", 0.0)
        outcomes.append(outcome)
    return outcomes, failure


async def _play_step(trip: Trip, step: Step) -> tuple[StepOutcome, Failure | None]:
    trip.wire.forget()
    started = time.perf_counter()
    try:
        await step.play(trip)
    except Exception as error:  # noqa: BLE001 - in process, anything the application raises arrives here
        ms = _since(started)
        return _outcome(step, "failed", ms), await _failure(trip, step, error)
    return _outcome(step, "passed", _since(started)), None


async def _failure(trip: Trip, step: Step, error: Exception) -> Failure:
    exchange = _exchange(trip)
    expected, saw = (error.expected, error.saw) if isinstance(error, Mismatch) else (step.sees, _words(error))
    try:
        diagnosis, unreachable = await diagnose(trip.wire, error)
    except Exception as fault:  # noqa: BLE001 - a second fault must not hide the first
        diagnosis, unreachable = f"/health/ready could not be asked either: {_words(fault)}", False
    shown = trip.redactor.text
    return Failure(
        number=step.number,
        name=step.name,
        sends=step.sends,
        expected=shown(expected),
        saw=shown(saw),
        hint=step.hint,
        diagnosis=shown(diagnosis),
        unreachable=unreachable,
        exchange=exchange,
    )


def _exchange(trip: Trip) -> Exchange | None:
    request, response = trip.wire.request, trip.wire.response
    if request is None:
        return None
    redactor = trip.redactor
    return Exchange(
        request_line=redactor.text(f"{request.method} {request.url.copy_with(userinfo=b'')}"),
        request_headers=redactor.headers(request.headers),
        request_body=redactor.body(request.content),
        status_line=redactor.text(f"{response.status_code} {response.reason_phrase}")
        if response
        else "no answer",
        response_headers=redactor.headers(response.headers) if response else (),
        response_body=redactor.body(response.content) if response else "",
    )


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _outcome(step: Step, status: Status, ms: float) -> StepOutcome:
    return StepOutcome(step.number, step.name, status, ms, step.budget_ms)


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def _nobody(_: Event) -> None:
    """Listen to nothing."""
