"""What a form may hold: one plain address in ASCII, strings only, nothing unknown; and what follows if not."""

import sys
import unicodedata
from typing import Any

import pytest
from sqlalchemy import func
from sqlmodel import select

from dashtam.core.tables import OutboxMail, User
from tests.makers import API, NAME, PASSWORD, Deployment, bearer, new_email, problem

ONLY_SQLITE = pytest.mark.parametrize(
    "dbparity_database_url", ["sqlite"], indirect=True
)  # no database is reached

BAD_ADDRESSES = (
    "", " ", "a", "a@", "@b.org", "a@b", "a@@b.org", "a@b@c.org", "a b@c.org", " a@b.org", "a@b.org ",
    "a@b.org\n", "a\r\nBcc: c@d.org@b.org", "a@b.org\r\nBcc: c@d.org", "a\tb@c.org", "a\0@b.org", "a@b.org\0",
    '"a"@b.org', '"a b"@c.org', "a(b)@c.org", "(a)b@c.org", "a@b.org(c)", "<a@b.org>", "A <a@b.org>",
    "a@[127.0.0.1]", "a@[IPv6:::1]", "a@127", "a@b..org", "a@.org", "a@b.org.", "a@-b.org", "a@b-.org",
    "a@b_c.org", "a@b.o!g", ".a@b.org", "a.@b.org", "a..b@c.org", "a,b@c.org", "a@b.org,c@d.org",
    "a@b.org;c@d.org", "a;b@c.org", "a:b@c.org", "a\\b@c.org", "a[b@c.org", "mailto:a@b.org", "a%00@b.org\u200b",
    "\u00e9@b.org", "a@b\u00e9.org", "a@\uff47ithub.com", "\uff41@b.org", "a\u0131@b.org", "\ufb01@b.org",
    "a@b\u3002org",
    "a@b.org\u2028", "a\u202e@b.org", "\u200ba@b.org", "\U0001d4b6@b.org", "x" * 65 + "@b.org",
    "a@" + "b" * 64 + ".org", "a@" + ".".join(["b" * 63] * 4), "a" * 300,
)  # fmt: skip
GOOD_ADDRESSES = (
    "a@b.org", "A.B+c@D-e.ORG", "x" * 64 + "@b.org", "!#$%&'*+/=?^_`{|}~-@b.org", "a@xn--bcher-kva.example",
    "a@1.2.3.4.org", "a@" + "b" * 63 + ".org", "_@b.org", "1@2.org",
)  # fmt: skip


async def counts(service: Deployment) -> tuple[int, int]:
    async with service.service.database.read() as db:
        users = (await db.exec(select(func.count()).select_from(User))).one()
        return users, (await db.exec(select(func.count()).select_from(OutboxMail))).one()


@ONLY_SQLITE
async def test_what_is_no_plain_address_is_refused_and_nothing_is_mailed(service: Deployment) -> None:
    for address in BAD_ADDRESSES:
        for path, form in (
            ("/auth/register", {"email": address, "password": PASSWORD, "name": NAME}),
            ("/password-resets", {"email": address}),
            ("/auth/resend-verification", {"email": address}),
            ("/auth/login", {"email": address, "password": PASSWORD}),
        ):
            answer = await service.post(path, form)
            assert (answer.status_code, problem(answer)) == (422, "invalid-request"), (path, address)
            assert answer.json()["errors"][0]["pointer"] == "/email"
    assert await counts(service) == (0, 0)
    for address in GOOD_ADDRESSES:
        assert await service.register(address)
    assert await counts(service) == (len(GOOD_ADDRESSES), len(GOOD_ADDRESSES))


@ONLY_SQLITE
async def test_no_look_alike_reaches_the_account(service: Deployment) -> None:
    """Every code point that becomes ASCII by NFKC or by a change of case (CVE-2019-19844)."""
    await service.verified("victim@example.org")
    before = await counts(service)
    tried = 0
    for character in map(chr, range(0x80, sys.maxunicode + 1)):
        forms = {
            unicodedata.normalize("NFKC", character),
            character.casefold(),
            character.upper(),
            character.lower(),
        }
        twins = [form for form in forms if form != character and form.isascii()]
        if not twins or "\ud800" <= character <= "\udfff":
            continue
        tried += 1
        letter = next((letter for letter in "victm" if letter in twins[0].lower()), "")
        for address in (f"v{character}ctim@example.org", f"victim@{character}xample.org"):
            typed = address if not letter else "victim@example.org".replace(letter, character, 1)
            answer = await service.post("/password-resets", {"email": typed})
            assert answer.status_code == 422, typed
    assert tried > 1_400
    assert await counts(service) == before
    assert len(await service.mailbox.messages("victim@example.org")) == 1


@ONLY_SQLITE
async def test_an_address_is_one_string_given_once_in_the_body(service: Deployment) -> None:
    for value in (["v@x.org", "a@y.org"], {"0": "v@x.org"}, 1, 1.5, True, None, []):
        for path, form in (
            ("/auth/register", {"email": value, "password": PASSWORD, "name": NAME}),
            ("/password-resets", {"email": value}),
        ):
            answer = await service.post(path, form)
            assert answer.status_code == 422, (path, value)
    twice = '{"email": "v@x.org", "email": "a@y.org"}'
    json_type = {"content-type": "application/json"}
    answer = await service.client.post(API + "/password-resets", content=twice, headers=json_type)
    assert (answer.status_code, problem(answer)) == (400, "malformed-request")
    answer = await service.post("/password-resets?email=a@y.org", {"email": "v@x.org"})
    assert answer.status_code == 422
    answer = await service.client.post(API + "/password-resets", data={"email[]": "v@x.org"})
    assert (answer.status_code, problem(answer)) == (415, "unsupported-media-type")
    assert await counts(service) == (0, 0)


FORMS: dict[str, dict[str, Any]] = {
    "POST /auth/register": {"email": "a@b.org", "password": PASSWORD, "name": NAME},
    "POST /auth/verify-email": {"token": "t"},
    "POST /auth/resend-verification": {"email": "a@b.org"},
    "POST /auth/login": {"email": "a@b.org", "password": PASSWORD},
    "POST /auth/refresh": {"refresh_token": "t"},
    "PATCH /auth/me": {"name": NAME},
    "DELETE /auth/me": {"password": PASSWORD},
    "POST /auth/me/password": {"current_password": PASSWORD, "new_password": PASSWORD + "!"},
    "POST /auth/me/email": {"new_email": "c@d.org", "password": PASSWORD},
    "POST /auth/confirm-email": {"token": "t"},
    "POST /password-resets": {"email": "a@b.org"},
    "POST /password-resets/check": {"token": "t"},
    "POST /password-resets/confirm": {"token": "t", "new_password": PASSWORD},
}
UNKNOWN_FIELDS = (
    "id", "is_admin", "role", "email_verified", "email_verified_at", "password_hash", "created_at", "user_id",
    "is_active", "credential_version", "X-User-Id", "sub", "__proto__",
)  # fmt: skip
UNSEEN = [
    *map(
        chr,
        (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),
    )
]


@ONLY_SQLITE
def test_every_call_that_takes_a_body_has_its_form_here(service: Deployment) -> None:
    taking = {
        f"{method.upper()} {path.removeprefix(API)}"
        for path, item in service.app.openapi()["paths"].items()
        for method, operation in item.items()
        if "requestBody" in operation
    }
    assert taking == FORMS.keys()


async def test_no_form_takes_an_unknown_field_or_another_type(service: Deployment) -> None:
    account = await service.logged_in()
    before = await counts(service)
    for call, form in FORMS.items():
        method, path = call.split()
        bad = [{**form, field: True} for field in UNKNOWN_FIELDS]
        bad += [
            {**form, field: value}
            for field in form
            for value in (1, None, True, [form[field]], {"a": "b"}, 1.5)
        ]
        bad += [{name: form[name] for name in form if name != left_out} for left_out in form]
        bad += [[form], [], "text", 1, None, {}]  # type: ignore[list-item]
        for body in bad:
            answer = await service.client.request(method, API + path, json=body, headers=account.bearer)
            assert (answer.status_code, problem(answer)) == (422, "invalid-request"), (call, body)
        answer = await service.client.request(
            method, API + path + "?user_id=1", json=form, headers=account.bearer
        )
        assert answer.status_code == 422, call
    assert await counts(service) == before
    profile = (await service.get("/auth/me", headers=account.bearer)).json()
    assert (profile["name"], profile["email"]) == (NAME, account.email)


async def test_no_text_but_a_password_holds_what_cannot_be_seen(service: Deployment) -> None:
    """Refused before the database: PostgreSQL cannot store NUL at all."""
    account = await service.logged_in()
    for call, form in FORMS.items():
        method, path = call.split()
        for field in [name for name in form if "password" not in name]:
            for character in UNSEEN:
                body = {**form, field: f"a{character}{form[field]}"}
                answer = await service.client.request(method, API + path, json=body, headers=account.bearer)
                assert answer.status_code == 422, (call, field, hex(ord(character)))
                assert character not in answer.text


@ONLY_SQLITE
async def test_half_a_surrogate_pair_is_refused_everywhere(service: Deployment) -> None:
    account = await service.logged_in()
    for call, form in FORMS.items():
        method, path = call.split()
        for field in form:
            text = f'{{"{field}": "\\ud800{PASSWORD}"}}'
            answer = await service.client.request(
                method,
                API + path,
                content=text,
                headers=account.bearer | {"content-type": "application/json"},
            )
            assert (answer.status_code, problem(answer)) == (400, "malformed-request"), (call, field)


@ONLY_SQLITE
async def test_no_refusal_repeats_what_was_sent(service: Deployment) -> None:
    canary = "kWq7-canary-Zx9"
    account = await service.logged_in()
    for call, form in FORMS.items():
        method, path = call.split()
        for body in (
            {canary: canary},
            {**form, canary: canary},
            {name: [canary] for name in form},
            {**form, "a": {canary: 1}},
        ):
            answer = await service.client.request(method, API + path, json=body, headers=account.bearer)
            assert answer.status_code == 422
            assert canary not in answer.text, (call, body)
    short = await service.post("/auth/register", {"email": new_email(), "password": canary[:9], "name": NAME})
    assert (short.status_code, problem(short)) == (422, "password-too-short")
    assert canary[:9] not in short.text


@ONLY_SQLITE
async def test_a_name_is_shown_as_it_was_given(service: Deployment) -> None:
    account = await service.logged_in()
    for name in (
        "<img src=x onerror=alert(1)>",
        "{{7*7}} ${7*7}",
        "Åsa O'Neill-Björk",
        "名前 太郎",
        "😀",
        "x" * 100,
    ):
        answer = await service.client.patch(API + "/auth/me", json={"name": name}, headers=account.bearer)
        assert answer.json()["name"] == name
        shown = await service.get("/auth/me", headers=bearer(account.tokens["access_token"]))
        assert shown.json()["name"] == name
    for name in ("", "   ", "\u3000", "x" * 101):
        answer = await service.client.patch(API + "/auth/me", json={"name": name}, headers=account.bearer)
        assert answer.status_code == 422
