"""Each kind of answer is accepted when right and refused for any one thing that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

import httpx2
import pytest

from dashtam.journey import Mismatch, expect

EMAIL, NAME = "a@journey.invalid", "A"
NO_STORE = {"Cache-Control": "private, no-store"}

PAIR = {
    "access_token": "eyJh.eyJz.c2ln",
    "refresh_token": "dsr1_abc",
    "token_type": "bearer",
    "expires_in": 600,
    "refresh_expires_in": 6000,
}
USER = {
    "id": "0191e5b0-0000-7000-8000-000000000000",
    "email": EMAIL,
    "name": NAME,
    "email_verified": True,
    "is_active": True,
    "created_at": "2030-01-01T00:00:00Z",
    "updated_at": "2030-01-01T00:00:00.5+00:00",
}
PROBLEM = {
    "type": "urn:problem-type:dashtam:token-invalid",
    "title": "The token is not valid",
    "status": 401,
    "detail": "It is unknown, spent or expired.",
    "request_id": "r1",
}
RESET = {"valid": True, "expires_at": "2030-01-01T00:00:00Z"}


def answer(
    body: object,
    status: int = 200,
    media_type: str = "application/json",
    headers: Mapping[str, str] = NO_STORE,
) -> httpx2.Response:
    return httpx2.Response(status, json=body, headers={"Content-Type": media_type, **headers})


def refusal(body: object = PROBLEM, status: int = 401, challenge: str = "Bearer") -> httpx2.Response:
    return answer(body, status, "application/problem+json", {"WWW-Authenticate": challenge})


def a_message(given: httpx2.Response) -> None:
    expect.a_message(given, HTTPStatus.CREATED)


def a_user(given: httpx2.Response) -> None:
    expect.a_user(given, email=EMAIL, name=NAME)


def a_problem(given: httpx2.Response) -> None:
    expect.a_problem(given, HTTPStatus.UNAUTHORIZED, "token-invalid")


RIGHT = [
    (a_message, answer({"message": "Done."}, 201)),
    (a_message, answer({"message": "Done."}, 201, "Application/JSON; charset=utf-8")),
    (expect.a_token_pair, answer(PAIR)),
    (a_user, answer(USER)),
    (a_user, answer(USER | {"role": "user"})),
    (a_problem, refusal()),
    (expect.a_refused_bearer, refusal(challenge='bearer realm="dashtam", error="invalid_token"')),
    (expect.a_valid_reset_token, answer(RESET)),
    (expect.one_current_session, answer([{"current": True}])),
]

WRONG = [
    (a_message, answer({"message": "Done."}), "200"),
    (a_message, answer({"message": " "}, 201), "message"),
    (a_message, answer(["Done."], 201), "list"),
    (a_message, answer({"message": "Done."}, 201, "text/html"), "text/html"),
    (a_message, httpx2.Response(201, text="{", headers={"Content-Type": "application/json"}), "not parse"),
    (expect.a_token_pair, answer(PAIR, headers={}), "no such header"),
    (expect.a_token_pair, answer(PAIR, headers={"Cache-Control": "no-cache"}), "no-cache"),
    (expect.a_token_pair, answer(PAIR | {"token_type": "mac"}), "mac"),
    (expect.a_token_pair, answer(PAIR | {"expires_in": 0}), "0"),
    (expect.a_token_pair, answer(PAIR | {"expires_in": True}), "True"),
    (expect.a_token_pair, answer(PAIR | {"expires_in": "600"}), "600"),
    (expect.a_token_pair, answer(PAIR | {"refresh_expires_in": 599}), "599 s against 600 s"),
    (expect.a_token_pair, answer(PAIR | {"access_token": "two.parts"}), "another value"),
    (expect.a_token_pair, answer(PAIR | {"refresh_token": "abc"}), "another value"),
    (expect.a_token_pair, answer(PAIR | {"refresh_token": None}), "none"),
    (a_user, answer({key: value for key, value in USER.items() if key != "updated_at"}), "no updated_at"),
    (a_user, answer(USER, headers={}), "no such header"),
    (a_user, answer(USER | {"password_hash": "x"}), "password_hash"),
    (a_user, answer(USER | {"email": "b@journey.invalid"}), "b@journey.invalid"),
    (a_user, answer(USER | {"email_verified": False}), "False"),
    (a_user, answer(USER | {"is_active": False}), "False"),
    (a_user, answer(USER | {"id": "7"}), "'7'"),
    (a_user, answer(USER | {"created_at": "yesterday"}), "yesterday"),
    (a_user, answer(USER | {"created_at": "2030-01-01T00:00:00"}), "2030-01-01T00:00:00"),
    (a_user, answer(USER | {"created_at": "2030-01-02T00:00:00Z"}), "2030-01-02"),
    (a_problem, refusal(status=400), "400"),
    (a_problem, answer(PROBLEM, 401), "application/json"),
    (a_problem, refusal(PROBLEM | {"type": "about:blank"}), "about:blank"),
    (a_problem, refusal(PROBLEM | {"type": "urn:problem-type:dashtam:other"}), "other"),
    (a_problem, refusal(PROBLEM | {"status": 400}), "400"),
    (a_problem, refusal(PROBLEM | {"request_id": ""}), "request_id"),
    (expect.a_refused_bearer, refusal(challenge="Basic"), "Basic"),
    (expect.a_refused_bearer, refusal(challenge=""), "no such header"),
    (expect.a_valid_reset_token, answer(RESET | {"valid": "yes"}), "yes"),
    (expect.a_valid_reset_token, answer({"valid": True}), "None"),
    (expect.one_current_session, answer([]), "0 session(s)"),
    (expect.one_current_session, answer([{"current": False}]), "1 session(s), 0 current"),
    (expect.one_current_session, answer([{"current": True}, {"current": False}]), "2 session(s)"),
    (expect.one_current_session, answer({"sessions": [{"current": True}]}), "something else"),
    (expect.one_current_session, refusal(), "401 token-invalid"),
]

Expectation = Callable[[httpx2.Response], object]


@pytest.mark.parametrize(("expectation", "right"), RIGHT)
def test_a_right_answer_is_accepted(expectation: Expectation, right: httpx2.Response):
    expectation(right)


@pytest.mark.parametrize(("expectation", "wrong", "saw"), WRONG)
def test_a_wrong_answer_is_refused_and_said(expectation: Expectation, wrong: httpx2.Response, saw: str):
    with pytest.raises(Mismatch) as caught:
        expectation(wrong)
    assert saw in caught.value.saw


def test_a_token_pair_shows_no_token_in_its_repr():
    pair = expect.a_token_pair(answer(PAIR))
    assert pair.access not in repr(pair)
    assert pair.refresh not in repr(pair)
