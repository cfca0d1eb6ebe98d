"""One event is one line of JSON, whatever a client sends, and no secret is in it (S-104, S-105)."""

import logging
import sqlite3
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx2
import pytest
from fastapi import APIRouter
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import DBAPIError

from dashtam.core import logs
from dashtam.http import Message
from tests.http.small_app import calling, made_app, made_settings

Logged = Callable[[], list[dict[str, Any]]]

BREAKERS = "a\r\nb\x1b[31mc\u2028d\u2029e\u202ef\x00g\x7fh\x85i"
SECRETS = [
    "dot1_4VnU1N0Zk3vQx8pLw2nRt6yBs9dHf4gJm7cXa5eUo1i",
    "dsr1_AZgKL28cfT6aUTwvDot9ZAAAAAGqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqg",
    "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
    "Bearer abcdef.ghi",
    "postgresql://user:pa55@db.example/x",
    "ada.lovelace@harbour.example",
]


def test_breakers_of_lines_are_written_as_escapes(logged: Logged) -> None:
    logging.getLogger("dashtam.test").info(BREAKERS)
    logging.getLogger("dashtam.test").info("said %s", BREAKERS, extra={"fields": {"x": BREAKERS}})
    assert [line["message"] for line in logged()] == [BREAKERS, f"said {BREAKERS}"]
    assert logged()[1]["x"] == BREAKERS


def test_lines_are_printable_ascii(tmp_path: Path) -> None:
    formatted = logs.JsonLines().format(
        logging.LogRecord("dashtam", logging.INFO, "", 0, BREAKERS + "\U0001f600", None, None)
    )
    assert formatted.isascii()
    assert formatted.isprintable()


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_left_out_of_words_and_exceptions(logged: Logged, secret: str) -> None:
    kept = secret.removeprefix("Bearer ").removeprefix("postgresql://").removesuffix("@db.example/x")
    logging.getLogger("dashtam.test").error("%s", secret, exc_info=RuntimeError(f"cannot take {secret}"))
    assert kept not in str(logged())
    assert logged()[0]["exception"][-1].startswith("builtins.RuntimeError: cannot take ")


class Strict(BaseModel):
    number: int


def data_errors() -> list[Exception]:
    """Exceptions of libraries whose own words quote the data."""
    with pytest.raises(ValidationError) as invalid:
        Strict(number="canary")  # type: ignore[arg-type]
    detail = {"C": "23505", "M": "duplicate", "D": "Key (email)=(canary) already exists.", "S": "ERROR"}
    return [
        invalid.value,
        DBAPIError("UPDATE t SET x = :x", {"x": "canary"}, asyncpg.PostgresError.new(detail)),
        DBAPIError(
            "UPDATE t SET x = :x", {"x": "canary"}, sqlite3.IntegrityError("UNIQUE constraint failed: t.x")
        ),
        asyncpg.PostgresError.new({"C": "22P02", "M": 'invalid input for integer: "canary"', "S": "ERROR"}),
    ]


@pytest.mark.parametrize("index", range(4))
def test_data_quoted_by_libraries_are_left_out(logged: Logged, index: int) -> None:
    error = data_errors()[index]
    logging.getLogger("dashtam.test").error("failed", exc_info=error)
    assert "canary" not in str(logged())
    assert type(error).__name__ in logged()[0]["exception"][-1]


def test_the_whole_chain_is_told_first_cause_first(logged: Logged) -> None:
    error = RuntimeError("second")
    error.__cause__ = KeyError("first")
    logging.getLogger("dashtam.test").error("failed", exc_info=error)
    told = [line for line in logged()[0]["exception"] if line.startswith("builtins.")]
    assert told == ["builtins.KeyError: 'first'", "builtins.RuntimeError: second"]


def test_libraries_speak_only_to_warn(logged: Logged) -> None:
    for name in ("sqlalchemy.engine", "aiosqlite", "asyncio"):
        logging.getLogger(name).info("with parameters")
        logging.getLogger(name).warning("careful")
    logging.getLogger("uvicorn.access").warning("GET /?token=secret")
    logging.getLogger("uvicorn.error").info("started")
    assert [line["message"] for line in logged()] == ["careful", "careful", "careful", "started"]


def test_warnings_become_lines(logged: Logged) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("mind this", UserWarning, stacklevel=1)
    assert "mind this" in logged()[0]["message"]


async def test_a_request_is_one_line_without_its_path_or_query(logged: Logged, tmp_path: Path) -> None:
    async with calling(made_app(made_settings(tmp_path))) as client:
        answer = await client.delete(
            "/api/things/7?token=secret", headers={"User-Agent": "x", "Cookie": "secret"}
        )
    (line,) = logged()
    assert line.pop("time")
    assert line.pop("ms") >= 0
    assert line == {
        "level": "info",
        "logger": "dashtam.access",
        "message": "request",
        "request_id": answer.headers["x-request-id"],
        "method": "DELETE",
        "route": "/api/things/{number}",
        "status": 422,
        "ip": "127.0.0.1",
    }


async def test_hostile_requests_are_a_line_each(logged: Logged, tmp_path: Path) -> None:
    hostile = BREAKERS.encode()
    async with calling(made_app(made_settings(tmp_path))) as client:
        for headers in ([(b"User-Agent", hostile)], [(b"X-Forwarded-For", hostile)], [(b"Host", hostile)]):
            await client.get("/api/things/who/asks", headers=headers)
        await client.get("/" + quote(BREAKERS))
        await client.post("/api/things", json={"email": BREAKERS, "name": BREAKERS})
    assert [line["message"] for line in logged()] == ["request"] * 5


async def test_every_line_of_a_request_has_its_id(logged: Logged, tmp_path: Path) -> None:
    router = APIRouter()

    @router.get("/speak")
    async def get_speak() -> Message:
        logging.getLogger("dashtam.test").info("in the middle")
        return Message(message="said")

    async with calling(made_app(made_settings(tmp_path), router)) as client:
        answers: list[httpx2.Response] = [await client.get("/api/speak") for _ in range(2)]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert [line["request_id"] for line in logged()] == [ids[0], ids[0], ids[1], ids[1]]
    logging.getLogger("dashtam.test").info("outside")
    assert "request_id" not in logged()[-1]
