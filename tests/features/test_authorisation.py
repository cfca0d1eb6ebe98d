"""Who may call what: every route of the application, against every kind of caller. A new route needs a row here."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from fastapi.routing import iter_route_contexts
from sqlalchemy import update
from sqlmodel import col, select

from dashtam.core import users
from dashtam.core.access_tokens import AccessTokens
from dashtam.core.audit import Client
from dashtam.core.ids import new_id
from dashtam.core.tables import User
from tests.makers import API, NAME, PASSWORD, Deployment, bearer, problem

OWN = "the token's own account"
ANYBODY = "anybody"
SOME_ID = "01980a2f-6f1c-7d3e-9a51-3c2f0e8b7d64"

# The call: who may make it, a body that its form takes, and the status for whoever may.
POLICY: dict[str, tuple[str, dict[str, Any] | None, int]] = {
    f"POST {API}/auth/register": (ANYBODY, {"email": "a@b.org", "password": PASSWORD, "name": NAME}, 201),
    f"POST {API}/auth/verify-email": (ANYBODY, {"token": "t"}, 400),
    f"POST {API}/auth/resend-verification": (ANYBODY, {"email": "a@b.org"}, 202),
    f"POST {API}/auth/login": (ANYBODY, {"email": "a@b.org", "password": "wrong one"}, 401),
    f"POST {API}/auth/refresh": (ANYBODY, {"refresh_token": "t"}, 401),
    f"POST {API}/auth/confirm-email": (ANYBODY, {"token": "t"}, 400),
    f"POST {API}/password-resets": (ANYBODY, {"email": "a@b.org"}, 202),
    f"POST {API}/password-resets/check": (ANYBODY, {"token": "t"}, 400),
    f"POST {API}/password-resets/confirm": (ANYBODY, {"token": "t", "new_password": PASSWORD}, 400),
    f"GET {API}/auth/me": (OWN, None, 200),
    f"PATCH {API}/auth/me": (OWN, {"name": NAME}, 200),
    f"DELETE {API}/auth/me": (OWN, {"password": "wrong one"}, 403),
    f"POST {API}/auth/me/password": (OWN, {"current_password": "wrong one", "new_password": PASSWORD}, 403),
    f"POST {API}/auth/me/email": (OWN, {"new_email": "c@d.org", "password": "wrong one"}, 403),
    f"GET {API}/auth/sessions": (OWN, None, 200),
    f"DELETE {API}/auth/sessions/{{session_id:uuid}}": (OWN, None, 404),
    f"POST {API}/auth/sessions/revoke-others": (OWN, None, 200),
    f"POST {API}/auth/logout": (OWN, None, 200),
    "GET /health": (ANYBODY, None, 200),
    "GET /health/live": (ANYBODY, None, 200),
    "GET /health/ready": (ANYBODY, None, 200),
    "GET /.well-known/jwks.json": (ANYBODY, None, 200),
    "GET /openapi.json": (ANYBODY, None, 200),
    "GET /docs": (ANYBODY, None, 200),
    "GET /redoc": (ANYBODY, None, 200),
    "GET /docs/assets/{name}": (ANYBODY, None, 404),
    "GET /verify-email": (ANYBODY, None, 200),
    "GET /confirm-email": (ANYBODY, None, 200),
    "GET /reset-password": (ANYBODY, None, 200),
    "GET /static/landing.js": (ANYBODY, None, 200),
    "GET /static/pages.css": (ANYBODY, None, 200),
    "GET /dev/mailbox": (ANYBODY, None, 200),
    "GET /dev/mailbox/{mail_id}": (ANYBODY, None, 404),
    "GET /smoke/mailbox": (ANYBODY, None, 404),  # not found unless SMOKE_TOKEN is set; then for its bearer
    "GET /smoke/client": (ANYBODY, None, 404),  # the same
}
OWNED = [call for call, (who, _, _) in POLICY.items() if who is OWN]


def calls(service: Deployment) -> Iterator[str]:
    for route in iter_route_contexts(service.app.routes):
        for method in sorted(route.methods or ()):
            if method != "HEAD":
                yield f"{method} {route.path}"


def target(call: str) -> tuple[str, str]:
    method, path = call.split()
    for parameter, value in (
        ("{session_id:uuid}", SOME_ID),
        ("{name}", "x.js"),
        ("{mail_id}", "no-such-mail"),
    ):
        path = path.replace(parameter, value)
    return method, path


async def change_user(service: Deployment, email: str, **values: Any) -> UUID:
    async with service.service.database.write() as db:
        changed = update(User).where(col(User.email) == email).values(**values).returning(col(User.id))
        id_: UUID = (await db.exec(changed)).scalar_one()
        return id_


async def refused_tokens(service: Deployment) -> dict[str, dict[str, str]]:
    """The headers of everybody who has no session here, or none any more."""
    own = service.service.access_tokens
    sound = await service.logged_in()
    over = await service.logged_in()
    await service.post("/auth/logout", headers=over.bearer)
    ended, disabled, removed = [await service.logged_in() for _ in range(3)]
    await service.post("/auth/refresh", {"refresh_token": ended.refresh_token})
    await service.client.delete(
        API + "/auth/sessions/" + await session_id(service, ended.bearer), headers=ended.bearer
    )
    async with service.service.database.write() as db:
        for account, act in ((disabled, users.disable), (removed, users.remove)):
            user = (await db.exec(select(User).where(User.email == account.email))).one()
            await act(db, user.id, Client(), service.clock.now())
    user_id = await change_user(service, sound.email, name=NAME)
    id_ = UUID(await session_id(service, sound.bearer))
    now = service.clock.now()

    def issued(tokens: AccessTokens, user: UUID = user_id, session: UUID = id_) -> dict[str, str]:
        return bearer(tokens.issue(user_id=user, session_id=session, auth_time=now, amr="pwd", now=now))

    assert (await service.get("/auth/me", headers=issued(own))).status_code == 200, "the sound twin"
    return {
        "nobody": {},
        "an empty header": {"Authorization": ""},
        "another scheme": {"Authorization": f"Basic {sound.tokens['access_token']}"},
        "a refresh token": bearer(sound.refresh_token),
        "logged out": over.bearer,
        "ended": ended.bearer,
        "disabled": disabled.bearer,
        "removed": removed.bearer,
        "another audience": issued(AccessTokens(own.ring, own.issuer, "another", own.seconds)),
        "another issuer": issued(AccessTokens(own.ring, "https://evil.example", own.audience, own.seconds)),
        "an unknown session": issued(own, session=new_id()),
        "an unknown account": issued(own, user=new_id()),
        "somebody else's session": issued(
            own, session=UUID(await session_id(service, (await service.logged_in()).bearer))
        ),
    }


async def session_id(service: Deployment, headers: dict[str, str]) -> str:
    answer = await service.get("/auth/sessions", headers=headers)
    (id_,) = [device["id"] for device in answer.json() if device["current"]]
    return str(id_)


@pytest.mark.parametrize("dbparity_database_url", ["sqlite"], indirect=True)
async def test_every_route_has_a_policy_and_every_policy_a_route(service: Deployment) -> None:
    assert sorted(calls(service)) == sorted(POLICY)


@pytest.mark.parametrize("dbparity_database_url", ["sqlite"], indirect=True)
async def test_the_document_asks_for_a_token_where_the_policy_does(service: Deployment) -> None:
    for path, item in service.app.openapi()["paths"].items():
        for method, operation in item.items():
            call = f"{method.upper()} {path}".replace("{session_id}", "{session_id:uuid}")
            assert ("security" in operation) == (POLICY[call][0] is OWN), call


async def test_whoever_has_no_session_is_refused_wherever_one_is_needed(service: Deployment) -> None:
    headers = await refused_tokens(service)
    for call in OWNED:
        method, path = target(call)
        for who, sent in headers.items():
            answer = await service.client.request(method, path, json=POLICY[call][1], headers=sent)
            assert (answer.status_code, problem(answer)) == (401, "token-invalid"), (call, who)
            challenge = answer.headers["www-authenticate"]
            named = who not in {"nobody", "an empty header", "another scheme"}
            assert challenge == 'Bearer realm="dashtam"' + (', error="invalid_token"' if named else ""), who


async def test_an_expired_token_is_refused_wherever_a_session_is_needed(service: Deployment) -> None:
    account = await service.logged_in()
    service.clock.move(seconds=service.settings.access_token_seconds)
    for call in OWNED:
        method, path = target(call)
        answer = await service.client.request(method, path, json=POLICY[call][1], headers=account.bearer)
        assert answer.status_code == 401, call


@pytest.mark.parametrize("role", ["user", "admin"])
async def test_whoever_has_a_session_gets_its_own_and_no_role_more(service: Deployment, role: str) -> None:
    account = await service.logged_in()
    await change_user(service, account.email, role=role)
    for call, (_, body, status) in POLICY.items():
        if "auth/logout" in call:
            continue  # last
        method, path = target(call)
        answer = await service.client.request(method, path, json=body, headers=account.bearer)
        assert answer.status_code == status, (call, answer.text)
    answer = await service.post("/auth/logout", headers=account.bearer)
    assert answer.status_code == 200


async def test_anybody_may_call_what_is_open_to_anybody(service: Deployment) -> None:
    for call, (who, body, status) in POLICY.items():
        if who is ANYBODY:
            method, path = target(call)
            answer = await service.client.request(method, path, json=body)
            assert answer.status_code == status, (call, answer.text)


@pytest.mark.parametrize("dbparity_database_url", ["sqlite"], indirect=True)
async def test_other_methods_are_refused_by_name_and_change_nothing(service: Deployment) -> None:
    account = await service.logged_in()
    by_path: dict[str, set[str]] = {}
    for call in POLICY:
        method, path = call.split()
        by_path.setdefault(path, set()).add(method)
    for path, methods in by_path.items():
        allowed = methods | ({"HEAD"} if "GET" in methods else set())
        for method in {
            "GET",
            "HEAD",
            "POST",
            "PUT",
            "PATCH",
            "DELETE",
            "OPTIONS",
            "TRACE",
            "PROPFIND",
        } - allowed:
            _, at = target(f"{method} {path}")
            answer = await service.client.request(method, at, headers=account.bearer)
            assert answer.status_code == 405, (method, path)
            assert answer.headers["allow"] == ", ".join(sorted(allowed)), (method, path)
            slashed = await service.client.request(method, at + "/", headers=account.bearer)
            assert slashed.status_code in {404, 405}
    assert (await service.get("/auth/me", headers=account.bearer)).status_code == 200


@pytest.mark.parametrize("dbparity_database_url", ["sqlite"], indirect=True)
async def test_a_route_without_a_policy_is_noticed(service: Deployment) -> None:
    """The twin: planted, and found by the very comparison above."""
    service.app.router.add_api_route("/planted", lambda: None, methods=["GET"])
    assert set(calls(service)) - POLICY.keys() == {"GET /planted"}
