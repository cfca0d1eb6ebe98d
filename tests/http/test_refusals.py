"""Every refusal has one shape, names its request, carries the security headers, and quotes nothing."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dashtam.core.problems import CATALOGUE, TYPE_PREFIX
from tests.http.small_app import calling, made_app, made_settings

CANARY = "hunter2-canary"
JSON = {"Content-Type": "application/json"}

REFUSED: dict[str, tuple[int, dict[str, Any]]] = {
    "malformed": (400, {"method": "POST", "url": "/api/things", "content": CANARY, "headers": JSON}),
    "no token": (401, {"method": "GET", "url": "/api/things/mine/only"}),
    "nowhere": (404, {"method": "GET", "url": f"/api/{CANARY}"}),
    "wrong method": (405, {"method": "PATCH", "url": "/api/things"}),
    "too large": (413, {"method": "POST", "url": "/api/things", "content": CANARY * 2000, "headers": JSON}),
    "too long": (414, {"method": "GET", "url": f"/api/{CANARY * 500}"}),
    "wrong type": (415, {"method": "POST", "url": "/api/things", "content": CANARY}),
    "wrong host": (421, {"method": "GET", "url": "/api/things", "headers": {"Host": f"{CANARY}.example"}}),
    "wrong value": (422, {"method": "POST", "url": "/api/things", "json": {"email": CANARY, "password": 1}}),
    "wrong list": (
        422,
        {"method": "POST", "url": "/api/things", "json": {"email": [CANARY], "password": [CANARY]}},
    ),
    "unknown field": (
        422,
        {"method": "POST", "url": "/api/things", "json": {"email": "a@b.example", CANARY: 1}},
    ),
    "no object": (422, {"method": "POST", "url": "/api/things", "json": CANARY}),
    "wrong query": (422, {"method": "GET", "url": "/api/things", "params": {"limit": CANARY}}),
    "unknown query": (422, {"method": "GET", "url": "/api/things", "params": {CANARY: "1"}}),
    "wrong path": (422, {"method": "DELETE", "url": f"/api/things/{CANARY}"}),
    "too many headers": (431, {"method": "GET", "url": "/api/things", "headers": {"x": CANARY * 2000}}),
}
REQUIRED_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
BANNERS = {"server", "x-powered-by", "access-control-allow-origin", "location"}


def assert_is_problem(answer: httpx2.Response) -> None:
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "request_id"} <= body.keys()
    assert body.keys() <= {"type", "title", "status", "detail", "request_id", "errors"}
    assert body["status"] == answer.status_code
    assert body["type"].removeprefix(TYPE_PREFIX) in {entry.slug for entry in CATALOGUE}
    assert body["request_id"] == answer.headers["x-request-id"]


def assert_is_guarded(answer: httpx2.Response) -> None:
    assert {name: answer.headers.get_list(name) for name in REQUIRED_HEADERS} == {
        name: [value] for name, value in REQUIRED_HEADERS.items()
    }
    assert not BANNERS & answer.headers.keys()


@pytest.mark.parametrize(("status", "request_"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_refusal_is_a_problem_that_quotes_nothing(
    client: httpx2.AsyncClient, status: int, request_: dict[str, Any]
) -> None:
    answer = await client.request(**request_)
    assert answer.status_code == status
    assert_is_problem(answer)
    assert_is_guarded(answer)
    assert CANARY not in answer.text + str(answer.headers)


async def test_a_success_is_guarded_as_well(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/api/things")
    assert answer.status_code == 200
    assert_is_guarded(answer)
    assert "strict-transport-security" not in answer.headers  # PUBLIC_URL is not https here


async def test_request_ids_are_ours_and_differ(client: httpx2.AsyncClient) -> None:
    answers = [await client.get("/api/things", headers={"X-Request-ID": "chosen"}) for _ in range(3)]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 3
    assert "chosen" not in ids


async def test_a_wrong_field_is_pointed_at_in_words(client: httpx2.AsyncClient) -> None:
    answer = await client.post(
        "/api/things", json={"email": "a", "name": "", "password": None, "token": "a\u202eb", "role": "admin"}
    )
    assert answer.json()["errors"] == [
        {"pointer": "/email", "message": "must be an e-mail address such as name@example.org, in ASCII"},
        {"pointer": "/name", "message": "must have at least 1 characters"},
        {"pointer": "/token", "message": "must be a single line without control or direction characters"},
        {"pointer": "", "message": "has an unknown field; this takes email, name, password, token"},
    ]


@pytest.mark.parametrize(
    "extra", ["id", "is_admin", "role", "email_verified", "password_hash", "created_at", "user_id", "Email"]
)
async def test_unknown_fields_and_parameters_are_refused(client: httpx2.AsyncClient, extra: str) -> None:
    body = {"email": "a@b.example"}
    assert (await client.post("/api/things", json=body | {extra: 1})).status_code == 422
    assert (await client.post("/api/things", json=body, params={extra: "1"})).status_code == 422
    assert (await client.get("/api/things", params={extra: "1"})).status_code == 422


async def test_a_field_in_the_query_as_well_as_in_the_body_is_refused(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/api/things?email=c@d.example", json={"email": "a@b.example"})
    assert answer.status_code == 422


async def test_a_parameter_given_twice_is_refused(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/api/things?limit=1&limit=2")).status_code == 422
    assert (await client.get("/api/things?limit=1")).json() == {"message": "1"}


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/things", "GET, HEAD, POST"),
        ("/api/things/7", "DELETE, PUT"),
        ("/api/things/who/asks", "GET, HEAD"),
    ],
)
@pytest.mark.parametrize("method", ["PATCH", "OPTIONS", "TRACE", "PROPFIND"])
async def test_allow_names_every_method_of_a_path(
    client: httpx2.AsyncClient, path: str, allowed: str, method: str
) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize(
    "path",
    ["//api/things", "/api/things/", "/API/things", "/api/things;x", "/api//things"],
)
async def test_spellings_of_a_path_reach_no_route_and_redirect_nowhere(tmp_path: Path, path: str) -> None:
    app = made_app(made_settings(tmp_path))
    async with calling(app) as client:
        request = client.build_request("POST", "/", json={"email": "a@b.example"})
        request.url = request.url.copy_with(raw_path=path.encode())
        answer = await client.send(request)
    assert answer.status_code == 404
    assert "location" not in answer.headers


async def test_head_is_get_without_the_body(client: httpx2.AsyncClient) -> None:
    get, head = await client.get("/api/things"), await client.head("/api/things")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"]
    assert (await client.head("/api/things/7")).status_code == 405


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ([], 'Bearer realm="dashtam"'),
        ([("Authorization", "Basic YTpi")], 'Bearer realm="dashtam"'),
        ([("Authorization", "Bearer")], 'Bearer realm="dashtam", error="invalid_token"'),
        ([("Authorization", "Bearer x")], 'Bearer realm="dashtam", error="invalid_token"'),
        ([("Authorization", "bearer x.y.z")], 'Bearer realm="dashtam", error="invalid_token"'),
        (
            [("Authorization", "Bearer x"), ("Authorization", "Bearer y")],
            'Bearer realm="dashtam", error="invalid_token"',
        ),
        ([("Authorization", "Bearer \xff")], 'Bearer realm="dashtam", error="invalid_token"'),
    ],
)
async def test_a_refused_bearer_is_told_why_only_if_it_sent_a_token(
    client: httpx2.AsyncClient, headers: list[tuple[str, str]], challenge: str
) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    answer = await client.get("/api/things/mine/only", headers=raw)
    assert answer.status_code == 401
    assert answer.headers.get_list("www-authenticate") == [challenge]


TEXT = {
    "NUL": "\x00",
    "newline": "\n",
    "escape": "\x1b",
    "delete": "\x7f",
    "next line": "\x85",
    "line separator": "\u2028",
    "paragraph separator": "\u2029",
    "right to left": "\u202e",
    "isolate": "\u2066",
    "arabic mark": "\u061c",
}


@pytest.mark.parametrize("text", TEXT.values(), ids=TEXT.keys())
@pytest.mark.parametrize("field", ["email", "name", "token"])
async def test_unseen_characters_are_refused_everywhere_but_in_passwords(
    client: httpx2.AsyncClient, field: str, text: str
) -> None:
    body = {"email": "a@b.example", "name": "Ada", "token": "t"}
    spoilt = body | {field: body[field] + text}
    assert (await client.post("/api/things", json=spoilt)).status_code == 422
    kept = await client.post("/api/things", json=body | {"password": f"correct{text}horse"})
    assert kept.status_code == 201
    assert "horse" not in kept.text  # the route shows the password's repr


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("a" * 100, 201),
        ("a" * 101, 422),
        ("", 422),
        ("   ", 422),
        ("\u3000", 422),
        ("Zoë 👩\u200d🚀 張", 201),
        (7, 422),
    ],
)
async def test_a_name_is_one_line_of_1_to_100_characters(
    client: httpx2.AsyncClient, name: object, status: int
) -> None:
    assert (
        await client.post("/api/things", json={"email": "a@b.example", "name": name})
    ).status_code == status


@pytest.mark.parametrize(
    "email",
    [
        ["v@x.example", "a@y.example"],
        {"0": "v@x.example"},
        "v@x.example,a@y.example",
        "v@x.example;a@y.example",
        1,
        None,
        True,
        "m\N{LATIN SMALL LETTER DOTLESS I}ke@example.org",
        "v@x",
        "v@x.example\n",
        "<v@x.example>",
        "a" * 65 + "@x.example",
    ],
)
async def test_an_address_is_one_plain_string(client: httpx2.AsyncClient, email: object) -> None:
    answer = await client.post(
        "/api/things", content=json.dumps({"email": email}), headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/email")
