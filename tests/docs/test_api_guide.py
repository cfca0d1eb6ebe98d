"""What api-guide.md promises a client is what the service does."""

import base64
import json
import re
from typing import Any

import httpx2
import pytest

from dashtam.core import one_time
from dashtam.http.head import BODY_BYTES
from tests.docs.reading import ROOT, blocks
from tests.makers import API, NAME, OTHER_PASSWORD, PASSWORD, Deployment, new_email, problem

GUIDE = (ROOT / "docs" / "api-guide.md").read_text("utf-8")
EXAMPLES = [json.loads(block.text) for block in blocks(GUIDE, "json")]

# The promises are the same on every database; that both keep them is shown by the tests of the features.
pytestmark = pytest.mark.parametrize("dbparity_database_url", ["sqlite"], indirect=True)


async def send(service: Deployment, body: bytes | str, path: str = "/auth/login") -> httpx2.Response:
    return await service.client.post(API + path, content=body, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"email": "ada@example.org", "password": "x", "remember": true}', 422),
        ('{"email": "ada@example.org", "email": "bob@example.org", "password": "x"}', 400),
        ('{"email": "ada@example.org", "password": 1}', 422),
        (json.dumps({"email": "ada@example.org", "password": "x" * BODY_BYTES}), 413),
    ],
    ids=["an unknown field", "a field twice", "a number for a string", "over 16 KiB"],
)
async def test_reading_is_strict(service: Deployment, body: str, status: int) -> None:
    assert BODY_BYTES == 16 * 1024
    assert (await send(service, body)).status_code == status


async def test_unknown_query_parameters_and_trailing_slashes_are_refused(service: Deployment) -> None:
    assert (await service.client.get("/health?verbose=1")).status_code == 422
    assert (await service.client.get("/health/")).status_code == 404


async def test_the_request_id_is_in_header_and_problem(service: Deployment) -> None:
    answer = await service.get("/auth/me")
    assert answer.headers["x-request-id"] == answer.json()["request_id"]


async def test_a_refusal_looks_as_the_guide_shows_it(service: Deployment) -> None:
    shown = next(example for example in EXAMPLES if "errors" in example)
    refused = await service.post("/auth/register", {"password": PASSWORD, "name": NAME})
    assert refused.json() | {"request_id": ""} == shown | {"request_id": ""}


async def test_a_token_pair_looks_as_the_guide_shows_it(service: Deployment) -> None:
    shown = next(example for example in EXAMPLES if "access_token" in example)
    pair = (await service.logged_in()).tokens
    assert {name: re.sub(r"^(eyJ|dsr1_).+", r"\1…", str(value)) for name, value in pair.items()} == {
        name: str(value) for name, value in shown.items()
    }


async def test_a_known_address_is_registered_with_the_same_answer(service: Deployment) -> None:
    known = await service.verified()
    answers = [
        await service.post("/auth/register", {"email": email, "password": OTHER_PASSWORD, "name": NAME})
        for email in (known, new_email())
    ]
    assert {(answer.status_code, answer.text) for answer in answers} == {(201, answers[0].text)}


async def test_asking_for_mail_is_answered_202_always(service: Deployment) -> None:
    for path in ("/auth/resend-verification", "/password-resets"):
        for email in (await service.verified(), new_email()):
            assert (await service.post(path, {"email": email})).status_code == 202


@pytest.mark.parametrize(
    ("password", "slug"),
    [
        ("x y z " * 2 + "qw", "password-too-short"),
        ("é" * 513, "password-too-long"),
        ("ada lovelace 1843", "password-blocked"),
        ("passwordpassword", "password-blocked"),
    ],
)
async def test_unfit_passwords_are_refused(service: Deployment, password: str, slug: str) -> None:
    body = {"email": new_email(), "password": password, "name": "Ada Lovelace"}
    refused = await service.post("/auth/register", body)
    assert (refused.status_code, problem(refused)) == (422, slug)


async def test_fifteen_characters_of_any_kind_and_either_case_of_an_address_do(service: Deployment) -> None:
    email, password = new_email(), "zqvw kjxg ypfbn"
    assert len(password) == 15
    await service.verified(email, password)
    assert (await service.log_in(email.upper(), password)).status_code == 200


async def test_login_refuses_as_told(service: Deployment) -> None:
    pending = await service.register()
    assert problem(await service.log_in(pending)) == "email-not-verified"
    assert problem(await service.log_in(pending, OTHER_PASSWORD)) == "invalid-credentials"
    while (answer := await service.log_in(pending, OTHER_PASSWORD)).status_code == 401:
        pass
    assert problem(answer) == "too-many-requests"
    assert int(answer.headers["retry-after"]) > 0


async def test_an_access_token_can_be_verified_elsewhere(service: Deployment) -> None:
    account = await service.logged_in()
    head, claims = (decoded(part) for part in account.tokens["access_token"].split(".")[:2])
    keys = await service.client.get("/.well-known/jwks.json")
    assert keys.headers["cache-control"] == "public, max-age=300"
    assert head["typ"] == "at+jwt"
    assert [key["alg"] for key in keys.json()["keys"] if key["kid"] == head["kid"]] == [head["alg"]]
    assert (claims["iss"], claims["aud"]) == (service.settings.public_url, service.settings.token_audience)
    assert claims["sub"] == (await service.get("/auth/me", headers=account.bearer)).json()["id"]
    devices = (await service.get("/auth/sessions", headers=account.bearer)).json()
    assert [device["id"] for device in devices] == [claims["sid"]]


async def test_a_refresh_may_be_sent_again_for_ten_seconds(service: Deployment) -> None:
    account = await service.logged_in()
    first = await service.post("/auth/refresh", {"refresh_token": account.refresh_token})
    service.clock.move(seconds=9)
    again = await service.post("/auth/refresh", {"refresh_token": account.refresh_token})
    assert again.json()["refresh_token"] == first.json()["refresh_token"] != account.refresh_token


async def test_a_spent_token_later_than_that_ends_the_session_and_is_mailed(service: Deployment) -> None:
    account = await service.logged_in()
    pair = (await service.post("/auth/refresh", {"refresh_token": account.refresh_token})).json()
    seen = len(await service.mailbox.messages(account.email))
    service.clock.move(seconds=11)
    for token in (account.refresh_token, pair["refresh_token"]):
        refused = await service.post("/auth/refresh", {"refresh_token": token})
        assert (refused.status_code, problem(refused)) == (401, "token-invalid")
    await service.mails(account.email, seen + 1)


async def test_checking_a_reset_token_spends_nothing(service: Deployment) -> None:
    email = await service.verified()
    await service.post("/password-resets", {"email": email})
    token = await service.token(email, "reset-password")
    assert token.startswith(one_time.PREFIX)
    for _ in range(2):
        assert (await service.post("/password-resets/check", {"token": token})).status_code == 200
    confirmed = await service.post(
        "/password-resets/confirm", {"token": token, "new_password": OTHER_PASSWORD}
    )
    assert confirmed.status_code == 200


async def test_a_new_password_logs_out_the_other_devices_and_not_this_one(service: Deployment) -> None:
    other = await service.logged_in()
    this = await service.logged_in(other.email)
    body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    assert (await service.post("/auth/me/password", body, headers=this.bearer)).status_code == 200
    assert (await service.get("/auth/me", headers=this.bearer)).status_code == 200
    assert (await service.get("/auth/me", headers=other.bearer)).status_code == 401


async def test_a_new_address_is_confirmed_and_devices_stay(service: Deployment) -> None:
    account, address = await service.logged_in(), new_email()
    asked = {"new_email": address, "password": PASSWORD}
    assert (await service.post("/auth/me/email", asked, headers=account.bearer)).status_code == 202
    token = await service.token(address, "confirm-email")
    assert (await service.post("/auth/confirm-email", {"token": token})).status_code == 200
    assert (await service.get("/auth/me", headers=account.bearer)).json()["email"] == address


async def test_a_wrong_password_of_ones_own_is_403_and_the_session_stays(service: Deployment) -> None:
    account = await service.logged_in()
    body = {"current_password": OTHER_PASSWORD, "new_password": PASSWORD}
    refused = await service.post("/auth/me/password", body, headers=account.bearer)
    assert (refused.status_code, problem(refused)) == (403, "wrong-password")
    assert (await service.get("/auth/me", headers=account.bearer)).status_code == 200


def decoded(part: str) -> dict[str, Any]:
    """A part of a JWT, unverified."""
    read: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return read
