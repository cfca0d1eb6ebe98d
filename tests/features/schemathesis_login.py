"""Logs schemathesis in, with a session of its own for every logout (loaded through SCHEMATHESIS_HOOKS)."""

import json
import os
from functools import cache
from threading import Lock
from typing import Any
from urllib.request import Request, urlopen

import schemathesis
from schemathesis import Case

_ENDS_ITS_SESSION = "/auth/logout"


def log_in() -> str:
    """A fresh access token of the account that the test has made."""
    credentials = json.dumps({"email": os.environ["LOGIN_EMAIL"], "password": os.environ["LOGIN_PASSWORD"]})
    request = Request(  # noqa: S310  loopback, by the test that starts this
        os.environ["LOGIN_URL"], data=credentials.encode(), headers={"Content-Type": "application/json"}
    )
    with urlopen(request, timeout=10) as answer:  # noqa: S310
        tokens: dict[str, Any] = json.load(answer)
    token: str = tokens["access_token"]
    return token


_shared, _one_at_a_time = cache(log_in), Lock()


def shared() -> str:
    """The access token of one session for all workers: of two, one would end the other."""
    with _one_at_a_time:
        return _shared()


@schemathesis.auth(refresh_interval=None)
class Login:
    """The access token of a session that stands, for every case."""

    def get(self, case: Case[Any], context: schemathesis.AuthContext) -> str:
        return log_in() if case.path.endswith(_ENDS_ITS_SESSION) else shared()

    def set(self, case: Case[Any], data: str, context: schemathesis.AuthContext) -> None:
        case.headers["Authorization"] = f"Bearer {data}"
