"""Logs schemathesis in, anew for every case: some of its cases log out (loaded through SCHEMATHESIS_HOOKS)."""

import json
import os
from typing import Any
from urllib.request import Request, urlopen

import schemathesis
from schemathesis import Case


@schemathesis.auth(refresh_interval=None)
class Login:
    """A fresh access token of the account that the test has made."""

    def get(self, case: Case[Any], context: schemathesis.AuthContext) -> str:
        credentials = json.dumps(
            {"email": os.environ["LOGIN_EMAIL"], "password": os.environ["LOGIN_PASSWORD"]}
        )
        request = Request(  # noqa: S310  loopback, by the test that starts this
            os.environ["LOGIN_URL"], data=credentials.encode(), headers={"Content-Type": "application/json"}
        )
        with urlopen(request, timeout=10) as answer:  # noqa: S310
            tokens: dict[str, Any] = json.load(answer)
        token: str = tokens["access_token"]
        return token

    def set(self, case: Case[Any], data: str, context: schemathesis.AuthContext) -> None:
        case.headers["Authorization"] = f"Bearer {data}"
