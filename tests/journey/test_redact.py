"""No secret passes the redactor, in whatever part of an exchange it stands."""

from __future__ import annotations

import json

import pytest

from dashtam.journey.redact import Redactor

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
ONE_TIME = f"dot1_{'x' * 43}"
REFRESH = f"dsr1_{'y' * 70}"


@pytest.mark.parametrize("secret", [JWT, ONE_TIME, REFRESH, ONE_TIME[:20], JWT.rsplit(".", 1)[0]])
@pytest.mark.parametrize("around", ["{}", "token={}&x=1", "'{}'", "Bearer {}", "https://a.test/x#token={}"])
def test_tokens_are_known_by_their_shape(secret: str, around: str):
    shown = Redactor().text(around.format(secret))
    assert secret not in shown
    assert "redacted" in shown


def test_equal_tokens_look_equal_and_different_ones_different():
    redactor = Redactor()
    assert redactor.text(REFRESH) == redactor.text(REFRESH)
    assert redactor.text(REFRESH) != redactor.text(f"{REFRESH}z")


def test_known_secrets_are_hidden_wherever_they_stand():
    redactor = Redactor(["hunter2-hunter2"])
    assert redactor.text("it was hunter2-hunter2!") == "it was [redacted]!"
    assert Redactor().text("it was hunter2-hunter2!") == "it was hunter2-hunter2!"


@pytest.mark.parametrize(
    "name", ["Authorization", "authorization", "Cookie", "Set-Cookie", "Proxy-Authorization"]
)
def test_headers_that_carry_credentials_show_nothing(name: str):
    assert Redactor().headers({name: "Basic abc"}) == ((name, "[redacted]"),)


def test_other_headers_are_shown_without_the_tokens_in_them():
    ((_, shown),) = Redactor().headers({"Location": f"/x#token={ONE_TIME}"})
    assert shown.startswith("/x#token=[dot1_redacted #")


@pytest.mark.parametrize(
    "field",
    ["password", "current_password", "new_password", "token", "access_token", "secret", "client_secret"],
)
def test_secret_fields_are_hidden_at_any_depth_even_when_their_value_looks_plain(field: str):
    shown = Redactor().body(json.dumps({"a": [{field: "plain"}], "email": "me@journey.invalid"}).encode())
    assert "plain" not in shown
    assert "me@journey.invalid" in shown


def test_the_token_type_is_no_secret():
    assert '"bearer"' in Redactor().body(b'{"token_type": "bearer"}')


def test_a_body_is_shortened_only_after_it_was_redacted():
    body = ("x" * 3990 + REFRESH).encode()
    shown = Redactor().body(body)
    assert "dsr1_y" not in shown
    assert len(Redactor().body(b"x" * 9000)) < 4100


def test_what_would_steer_a_terminal_is_made_visible():
    assert Redactor().text("a\x1b[2Jb\x9bc\u202ed\te\nf") == "a\ufffd[2Jb\ufffdc\ufffdd\te\nf"


def test_a_body_that_is_no_text_is_shown_all_the_same():
    assert Redactor().body(b"\xff\xfe") == "\ufffd\ufffd"
