"""What an answer must look like, exactly: one function for each kind of answer in the HTTP contract.

Each returns the useful part of a right answer and raises `Mismatch` for any other, in words a reader of a
failed journey can act on.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Final

import httpx2

PROBLEM_PREFIX: Final = "urn:problem-type:dashtam:"

_JSON: Final = "application/json"
_PROBLEM_JSON: Final = "application/problem+json"
_JWS: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_REFRESH_TOKEN: Final = re.compile(r"dsr1_[A-Za-z0-9_-]+")
_USER_FIELDS: Final = frozenset(
    {"id", "email", "name", "email_verified", "is_active", "created_at", "updated_at"}
)


class Mismatch(Exception):  # noqa: N818 - it names what happened; nothing is in error but the answer
    """An answer is not what the contract promises."""

    def __init__(self, expected: str, saw: str) -> None:
        super().__init__(f"expected {expected}; saw {saw}")
        self.expected = expected
        self.saw = saw


@dataclass(frozen=True, slots=True, repr=False)
class TokenPair:
    """The two tokens of one login or refresh."""

    access: str
    refresh: str


def a_message(answer: httpx2.Response, status: HTTPStatus) -> None:
    """Expect this status and a `message` for people."""
    body = _json(answer, status)
    message = body.get("message")
    if not (isinstance(message, str) and message.strip()):
        raise Mismatch("a body with a `message`", f"the fields {_fields(body)}")


def a_token_pair(answer: httpx2.Response) -> TokenPair:
    """Expect a token pair (RFC 6749 section 5.1), not to be stored by any cache."""
    body = _json(answer, HTTPStatus.OK)
    _unstored(answer)
    if body.get("token_type") != "bearer":
        raise Mismatch("token_type “bearer”", f"{body.get('token_type')!r}")
    access = _lifetime(body, "expires_in")
    refresh = _lifetime(body, "refresh_expires_in")
    if refresh < access:
        raise Mismatch("a refresh token that outlives its access token", f"{refresh} s against {access} s")
    return TokenPair(
        access=_token(body, "access_token", _JWS, "a signed JWT of three parts"),
        refresh=_token(body, "refresh_token", _REFRESH_TOKEN, "an opaque token that starts with dsr1_"),
    )


def a_user(answer: httpx2.Response, *, email: str, name: str) -> Mapping[str, object]:
    """Expect the verified, active account of this address and name, and no trace of its password."""
    body = _json(answer, HTTPStatus.OK)
    _unstored(answer)
    if missing := _USER_FIELDS - body.keys():
        raise Mismatch("a user with all its fields", f"no {', '.join(sorted(missing))}")
    if leaked := [field for field in body if "password" in field or "hash" in field]:
        raise Mismatch("a user without any password field", f"the field {', '.join(leaked)}")
    wanted = {"email": email, "name": name, "email_verified": True, "is_active": True}
    for field, value in wanted.items():
        if body[field] != value:
            raise Mismatch(f"{field} to be {value!r}", f"{body[field]!r}")
    _identity_and_times(body)
    return body


def a_problem(answer: httpx2.Response, status: HTTPStatus, *slugs: str) -> Mapping[str, object]:
    """Expect a refusal as a problem document (RFC 9457) of one of these types (any, when none is named)."""
    wanted = f"{status.value} {' or '.join(slugs) or 'with a problem'}"
    if answer.status_code != status:
        raise Mismatch(wanted, summary(answer))
    body = _body(answer, _PROBLEM_JSON)
    kind = str(body.get("type", ""))
    if not kind.startswith(PROBLEM_PREFIX) or (slugs and kind.removeprefix(PROBLEM_PREFIX) not in slugs):
        raise Mismatch(wanted, f"{answer.status_code} with the type {kind or 'missing'}")
    if body.get("status") != status:
        raise Mismatch(f"the problem's own status to be {status.value}", f"{body.get('status')!r}")
    for field in ("title", "detail", "request_id"):
        if not (isinstance(body.get(field), str) and body[field]):
            raise Mismatch(f"a problem with a `{field}`", f"the fields {_fields(body)}")
    return body


def a_refused_bearer(answer: httpx2.Response) -> None:
    """Expect a protected call to refuse its access token (RFC 6750 section 3)."""
    a_problem(answer, HTTPStatus.UNAUTHORIZED, "token-invalid")
    challenge = answer.headers.get("www-authenticate", "")
    if challenge.split(" ")[0].rstrip(",").lower() != "bearer":
        raise Mismatch("the header WWW-Authenticate: Bearer", challenge or "no such header")


def a_valid_reset_token(answer: httpx2.Response) -> None:
    """Expect the check of a reset token to say it is valid, and until when."""
    body = _json(answer, HTTPStatus.OK)
    _unstored(answer)
    if body.get("valid") is not True:
        raise Mismatch("valid to be true", f"{body.get('valid')!r}")
    _instant(body, "expires_at")


def one_current_session(answer: httpx2.Response) -> None:
    """Expect a list of exactly one session, marked as the one that asks."""
    if answer.status_code != HTTPStatus.OK:
        raise Mismatch("200 with the list of sessions", summary(answer))
    sessions = _decoded(answer, _JSON)
    if not isinstance(sessions, list):
        raise Mismatch("a list of sessions", "something else")
    current = [item for item in sessions if isinstance(item, dict) and item.get("current") is True]
    if len(sessions) != 1 or len(current) != 1:
        raise Mismatch("one session, the current one", f"{len(sessions)} session(s), {len(current)} current")


def summary(answer: httpx2.Response) -> str:
    """Say in a few words what came instead."""
    try:
        body = answer.json()
        kind = str(body["type"]).removeprefix(PROBLEM_PREFIX)
        return f"{answer.status_code} {kind}: {body['detail']}"
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code} {answer.reason_phrase}".strip()


def _json(answer: httpx2.Response, status: HTTPStatus) -> Mapping[str, object]:
    if answer.status_code != status:
        raise Mismatch(str(status.value), summary(answer))
    return _body(answer, _JSON)


def _body(answer: httpx2.Response, media_type: str) -> Mapping[str, object]:
    body = _decoded(answer, media_type)
    if not isinstance(body, dict):
        raise Mismatch("a JSON object", f"a JSON {type(body).__name__}")
    return body


def _decoded(answer: httpx2.Response, media_type: str) -> object:
    given = answer.headers.get("content-type", "").split(";")[0].strip().lower()
    if given != media_type:
        raise Mismatch(f"{answer.status_code} as {media_type}", given or "no content type")
    try:
        body: object = answer.json()
    except ValueError as error:
        raise Mismatch("a JSON body", f"one that does not parse ({error})") from error
    return body


def _unstored(answer: httpx2.Response) -> None:
    directives = {part.strip().lower() for part in answer.headers.get("cache-control", "").split(",")}
    if "no-store" not in directives:
        raise Mismatch(
            "the header Cache-Control: no-store", answer.headers.get("cache-control", "no such header")
        )


def _lifetime(body: Mapping[str, object], field: str) -> int:
    seconds = body.get(field)
    if not isinstance(seconds, int) or isinstance(seconds, bool) or seconds <= 0:
        raise Mismatch(f"{field} in whole seconds, above zero", f"{seconds!r}")
    return seconds


def _token(body: Mapping[str, object], field: str, shape: re.Pattern[str], described: str) -> str:
    token = body.get(field)
    if not (isinstance(token, str) and shape.fullmatch(token)):
        raise Mismatch(f"{field} to be {described}", "another value" if token else "none")
    return token


def _identity_and_times(body: Mapping[str, object]) -> None:
    try:
        uuid.UUID(str(body["id"]))
    except ValueError:
        raise Mismatch("the user's id to be a UUID", f"{body['id']!r}") from None
    if _instant(body, "updated_at") < _instant(body, "created_at"):
        raise Mismatch("updated_at not before created_at", f"{body['updated_at']} and {body['created_at']}")


def _instant(body: Mapping[str, object], field: str) -> datetime:
    try:
        instant = datetime.fromisoformat(str(body.get(field)))
    except ValueError:
        raise Mismatch(f"{field} as an ISO 8601 time", f"{body.get(field)!r}") from None
    if instant.tzinfo is None:
        raise Mismatch(f"{field} with its time zone", f"{body[field]!r}")
    return instant


def _fields(body: Mapping[str, object]) -> str:
    return ", ".join(sorted(body)) or "none"
