"""The table of calls in README.md says what the OpenAPI document says."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dashtam.app import create_app
from dashtam.core.problems import CATALOGUE
from dashtam.settings import Settings
from tests.docs.reading import ROOT, WRITTEN, name, rows
from tests.makers import API, Deployment, problem

CODE = re.compile(r"`([^`]+)`")
NAMED = re.compile(r"(?:4\d\d|503) `([a-z-]+)`|`(?:4\d\d|503) ([a-z-]+)`|urn:problem-type:dashtam:([a-z-]+)")
AT_ROOT = ("/health", "/.well-known")


@dataclass(frozen=True)
class Call:
    """One call, as the table or the document tells it."""

    method: str
    path: str
    protected: bool
    body: frozenset[str]
    success: int


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The OpenAPI document with the default settings."""
    made: dict[str, Any] = create_app(Settings(database_url="sqlite:///unused.db")).openapi()
    return made


def told() -> dict[tuple[str, str], list[str]]:
    """The rows of the table by method and path."""
    table = rows((ROOT / "README.md").read_text("utf-8"), "call")
    return {tuple(CODE.findall(row[0])[0].split()): row for row in table}


def as_told(row: list[str]) -> Call:
    method, path = CODE.findall(row[0])[0].split()
    full = path if path.startswith(AT_ROOT) else API + path
    return Call(method, full, "🔒" in row[0], frozenset(CODE.findall(row[1])), int(row[2][:3]))


def as_documented(document: dict[str, Any], path: str, method: str) -> Call:
    operation = document["paths"][path][method]
    body: frozenset[str] = frozenset()
    for media in operation.get("requestBody", {}).get("content", {}).values():
        schema = document["components"]["schemas"][media["schema"]["$ref"].rpartition("/")[2]]
        body = frozenset(schema["properties"])
    success = next(int(status) for status in operation["responses"] if status.startswith("2"))
    return Call(method.upper(), path, "security" in operation, body, success)


def test_the_table_is_the_document(document: dict[str, Any]) -> None:
    documented = {
        as_documented(document, path, method) for path, ways in document["paths"].items() for method in ways
    }
    assert {as_told(row) for row in told().values()} == documented


@pytest.mark.parametrize("row", told().values(), ids=lambda row: row[0])
def test_each_refusal_that_the_table_names_is_documented(row: list[str], document: dict[str, Any]) -> None:
    call = as_told(row)
    responses = document["paths"][call.path][call.method.lower()]["responses"]
    for part in filter(None, row[3].split("·")):
        status = part.split()[0]
        examples = responses[status]["content"]["application/problem+json"]["examples"]
        assert set(CODE.findall(part)) <= examples.keys()


def unknown_problems(text: str) -> set[str]:
    """The problems that a page names and the catalogue does not have."""
    named = {next(filter(None, found)) for found in NAMED.findall(text)}
    return named - {type_.slug for type_ in CATALOGUE}


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_every_problem_that_a_page_names_is_in_the_catalogue(page: Path) -> None:
    assert unknown_problems(page.read_text("utf-8")) == set()


def test_a_problem_that_is_not_in_the_catalogue_is_found() -> None:
    text = "401 `token-expired`, `400 bad-thing`, 404 `not-found` and `urn:problem-type:dashtam:odd-one`"
    assert unknown_problems(text) == {"token-expired", "bad-thing", "odd-one"}


@pytest.mark.parametrize(
    "row",
    [
        "| `POST /auth/login` | `email` | 200 | |",
        "| `POST /auth/login` 🔒 | `email`, `password` | 200 | |",
        "| `POST /auth/login` | `email`, `password` | 201 | |",
        "| `POST /auth/signin` | `email`, `password` | 200 | |",
    ],
)
def test_a_row_that_is_not_so_is_found(row: str, document: dict[str, Any]) -> None:
    right = as_told(told()["POST", "/auth/login"])
    assert right == as_documented(document, f"{API}/auth/login", "post")
    assert as_told([cell.strip() for cell in row.split("|")[1:-1]]) != right


@pytest.mark.parametrize(
    "path", ["/docs", "/redoc", "/openapi.json", "/verify-email", "/confirm-email", "/reset-password"]
)
async def test_the_pages_beside_it_are_there(service: Deployment, path: str) -> None:
    assert f"`{path}`" in (ROOT / "README.md").read_text("utf-8")
    assert (await service.client.get(path)).status_code == 200


async def test_in_production_the_documentation_and_the_mailbox_are_off(production: Deployment) -> None:
    host = {"Host": "auth.example.org"}
    for path in ("/docs", "/redoc", "/openapi.json", "/dev/mailbox"):
        answer = await production.client.get(path, headers=host)
        assert (answer.status_code, problem(answer)) == (404, "not-found"), path
