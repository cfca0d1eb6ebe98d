"""A service of a few dicts that keeps the HTTP contract, and can be told to break it in one named way.

It is here to prove that the journey finds each fault at its step, and passes without one. It is no stand-in
for the service in any test of the service.
"""

from __future__ import annotations

import itertools
import json
import uuid
from dataclasses import dataclass, field

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

NOW = "2030-01-01T00:00:00+00:00"
PREFIX = "/api/v1"


@dataclass
class Account:
    email: str
    password: str
    name: str
    passwords: list[str] = field(default_factory=list)
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    verified: bool = False
    visible: bool = True


@dataclass
class Login:
    account: Account
    generation: int = 0
    alive: bool = True
    replays: int = 0
    dead_generation: int = -1


class Toy:
    def __init__(self, *faults: str) -> None:
        self.faults = set(faults)
        self.accounts: dict[str, Account] = {}
        self.logins: list[Login] = []
        self.mail: list[dict[str, str]] = []
        self.tokens: dict[str, tuple[str, Account]] = {}
        self.bodies: list[str] = []
        self.secrets_seen: set[str] = set()
        self.serial = itertools.count()
        self.app = Starlette(
            routes=[Route("/{path:path}", self.answer, methods=["GET", "POST", "PATCH", "DELETE"])]
        )

    def client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.ASGITransport(self.app), base_url="http://toy.test")

    async def answer(self, request: Request) -> Response:
        call = f"{request.method} {request.url.path.removeprefix(PREFIX)}"
        body = await request.body()
        self.bodies.append(body.decode())
        sent = json.loads(body or b"{}")
        secret_fields = ("password", "new_password", "token", "refresh_token")
        self.secrets_seen |= {sent[field] for field in secret_fields if field in sent}
        self.secrets_seen |= {request.headers.get("authorization", "Bearer ").removeprefix("Bearer ")} - {""}
        name = call.translate(str.maketrans("/.-", "  _")).split()
        if {f"500 {call}", f"500 {call} once"} & self.faults:
            self.faults.discard(f"500 {call} once")
            return PlainTextResponse(f"Traceback … {json.dumps(sent)}", 500)
        respond = getattr(self, "_".join(name).lower(), None)
        return respond(request, sent) if respond else problem(404, "not-found")

    # What each call does, named for its method and path.

    def get_health(self, *_: object) -> Response:
        return JSONResponse({"status": "ailing" if "unhealthy" in self.faults else "healthy"})

    def get_health_live(self, *_: object) -> Response:
        return JSONResponse({"status": "alive"})

    def get_docs(self, *_: object) -> Response:
        host = "https://cdn.test" if "docs from elsewhere" in self.faults else "/assets"
        return HTMLResponse(f'<link rel="icon" href="data:,"><script defer src="{host}/docs.js"></script>')

    def get_redoc(self, *_: object) -> Response:
        return HTMLResponse("<p>All calls</p>")

    def get_assets_docs_js(self, *_: object) -> Response:
        return PlainTextResponse("")

    def get_openapi_json(self, *_: object) -> Response:
        return JSONResponse(
            {"paths": {} if "no login documented" in self.faults else {f"{PREFIX}/auth/login": {}}}
        )

    def get_health_ready(self, *_: object) -> Response:
        if "schema" in self.faults:
            checks = {"database": {"ok": True}, "schema": {"ok": False, "reason": "table users is missing"}}
            return JSONResponse({"status": "unready", "checks": checks}, 503)
        return JSONResponse({"status": "ready"})

    def get_dev_mailbox(self, request: Request, _: object) -> Response:
        if "no mailbox" in self.faults:
            return problem(404, "not-found")
        if "mailbox speaks html" in self.faults:
            return PlainTextResponse("<p>mail</p>", media_type="text/html")
        to = request.query_params["to"]
        return JSONResponse({"messages": [mail for mail in reversed(self.mail) if mail["to"] == to]})

    def get_smoke_mailbox(self, request: Request, sent: object) -> Response:
        if "no mailbox" not in self.faults and request.headers.get("authorization") != f"Bearer {'s' * 32}":
            return problem(401, "token-invalid")
        return self.get_dev_mailbox(request, sent)

    def post_auth_register(self, _: Request, sent: dict[str, str]) -> Response:
        account = Account(sent["email"], sent["password"], sent["name"])
        account.visible = "commit after response" not in self.faults
        account.passwords.append(account.password)
        weak = len(account.password) < 15
        if weak and "weak is fine" not in self.faults:
            if "weak is kept" in self.faults:
                self.accounts[account.email] = account
            return problem(422, "password-too-short")
        self.accounts[account.email] = account
        self.send(account, "verify-email")
        return message(201)

    def post_auth_verify_email(self, _: Request, sent: dict[str, str]) -> Response:
        account = self.spend(sent["token"], "verify-email")
        if account is None:
            return problem(400, "token-invalid")
        account.verified = True
        return message(200)

    def post_auth_login(self, _: Request, sent: dict[str, str]) -> Response:
        if "everyone may enter" in self.faults:
            return message(200)
        if "refusal echoes" in self.faults:
            return problem(401, "invalid-credentials", echo=sent["email"])
        account = self.accounts.get(sent["email"])
        if account is None or sent["password"] not in account.passwords or not account.visible:
            if account is not None:
                account.visible = True
            return problem(401, "invalid-credentials")
        if not account.verified:
            return problem(403, "email-not-verified")
        self.logins.append(Login(account))
        return self.pair(len(self.logins) - 1)

    def post_auth_refresh(self, _: Request, sent: dict[str, str]) -> Response:
        number, generation = (int(part) for part in sent["refresh_token"].split("_")[1].split("-")[:2])
        login = self.logins[number]
        spent = generation < login.generation
        if not login.alive and not (spent and "window outlives session" in self.faults):
            return problem(401, "token-invalid")
        if spent:
            login.replays += 1
            if "successor dies" in self.faults:
                login.dead_generation = login.generation
            if "fork" in self.faults or ("fork behind a cache" in self.faults and login.replays > 1):
                return self.pair(number, suffix=f"-{next(self.serial)}")
            if "second session" in self.faults:
                self.logins.append(Login(login.account))
            return self.pair(number)
        if generation == login.dead_generation:
            return problem(401, "token-invalid")
        login.generation += "no rotation" not in self.faults
        return self.pair(number)

    def post_auth_logout(self, request: Request, _: object) -> Response:
        if login := self.bearer(request):
            login.alive = "logout is only said" in self.faults
            return message(200)
        return unauthenticated()

    def get_auth_me(self, request: Request, _: object) -> Response:
        login = self.bearer(request)
        return user(login.account) if login else unauthenticated()

    def patch_auth_me(self, request: Request, sent: dict[str, str]) -> Response:
        login = self.bearer(request)
        if login is None:
            return unauthenticated()
        before, login.account.name = login.account.name, sent["name"]
        answer = user(login.account)
        if "late update" in self.faults:
            login.account.name = before
        return answer

    def delete_auth_me(self, request: Request, sent: dict[str, str]) -> Response:
        login = self.bearer(request)
        if login is None or login.account.password != sent["password"]:
            return unauthenticated()
        del self.accounts[login.account.email]
        login.alive = False
        return message(200)

    def get_auth_sessions(self, request: Request, _: object) -> Response:
        mine = self.bearer(request)
        assert mine
        listed = [login for login in self.logins if login.alive and login.account is mine.account]
        return JSONResponse([{"current": login is mine} for login in listed])

    def post_password_resets(self, _: Request, sent: dict[str, str]) -> Response:
        if account := self.accounts.get(sent["email"]):
            self.send(account, "reset-password")
        return message(202)

    def post_password_resets_check(self, _: Request, sent: dict[str, str]) -> Response:
        if self.tokens.get(sent["token"], ("",))[0] != "reset-password":
            return problem(400, "token-invalid")
        if "check spends" in self.faults:
            self.tokens[sent["token"]] = ("spent", self.tokens[sent["token"]][1])
            self.faults.discard("check spends")
        return JSONResponse({"valid": True, "expires_at": NOW}, headers={"Cache-Control": "no-store"})

    def post_password_resets_confirm(self, _: Request, sent: dict[str, str]) -> Response:
        account = self.spend(sent["token"], "reset-password")
        if account is None:
            return problem(400, "token-invalid")
        account.password = sent["new_password"]
        account.passwords = [
            account.password,
            *(account.passwords if "old password works" in self.faults else []),
        ]
        for login in self.logins:
            if login.account is account and "no revocation" not in self.faults:
                login.alive = False
        return message(200)

    # What the calls share.

    def send(self, account: Account, page: str) -> None:
        if f"no {page} mail" in self.faults:
            return
        token = f"dot1_{uuid.uuid4().hex}{next(self.serial):011}"
        self.tokens[token] = (page, account)
        link = f"https://toy.test/{page}#token={token}"
        lost = f"https://toy.test/{page}" if "html without link" in self.faults else link
        self.mail.append(
            {
                "id": "1",
                "to": account.email,
                "subject": page,
                "text": f"Open {link}\n",
                "html": f'<a href="{lost}">',
                "sent_at": NOW,
            }
        )

    def spend(self, token: str, page: str) -> Account | None:
        found = self.tokens.get(token)
        if found is None or found[0] != page:
            return None
        if "reset twice" not in self.faults:
            del self.tokens[token]
        return found[1]

    def pair(self, number: int, suffix: str = "") -> Response:
        generation = self.logins[number].generation
        body = {
            "access_token": f"eyJhbGciOiJFUzI1NiJ9.{number}-{next(self.serial)}.c2ln",
            "refresh_token": f"dsr1_{number}-{generation}{suffix}",
            "token_type": "bearer",
            "expires_in": 600,
            "refresh_expires_in": 6000,
        }
        headers = {} if "cacheable" in self.faults else {"Cache-Control": "no-store"}
        return JSONResponse(body, headers=headers)

    def bearer(self, request: Request) -> Login | None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not token:
            return None
        login = self.logins[int(token.split(".")[1].split("-")[0])]
        revocable = "signature is enough" not in self.faults
        return login if login.alive or not revocable else None


def message(status: int) -> Response:
    return JSONResponse({"message": "Done."}, status)


def problem(status: int, slug: str, **headers: str) -> Response:
    body = {
        "type": f"urn:problem-type:dashtam:{slug}",
        "title": slug,
        "status": status,
        "detail": f"It is {slug}. {headers.pop('echo', '')}",
        "request_id": "r1",
    }
    return JSONResponse(body, status, headers=headers, media_type="application/problem+json")


def unauthenticated() -> Response:
    return problem(401, "token-invalid", **{"WWW-Authenticate": "Bearer"})


def user(account: Account) -> Response:
    body = {
        "id": account.id,
        "email": account.email,
        "name": account.name,
        "email_verified": account.verified,
        "is_active": True,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return JSONResponse(body, headers={"Cache-Control": "no-store"})
