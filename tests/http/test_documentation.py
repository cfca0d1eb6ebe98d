"""The OpenAPI document says everything that a route can answer, each with an example, and nothing that is not so."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dashtam.core.problems import CATALOGUE, EMAIL_TAKEN, INVALID_REQUEST, SESSION_INVALID, TOKEN_INVALID
from dashtam.http import Message
from dashtam.http.documentation import ANYWHERE, WITH_A_BODY, answers
from tests.http.small_app import made_app, made_settings

PROBLEM = "application/problem+json"


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    return made_app(made_settings(tmp_path)).openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_operation_documents_what_the_front_door_may_answer(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        expected = {str(type_.status) for type_ in ANYWHERE}
        expected |= {str(type_.status) for type_ in WITH_A_BODY} if "requestBody" in operation else set()
        expected |= {"401"} if "security" in operation else set()
        assert expected <= operation["responses"].keys(), name


def test_every_refusal_has_its_media_type_schema_and_an_example_each(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            if not status.startswith("2"):
                (media_type,) = response["content"]
                media = response["content"][media_type]
                assert (media_type, media["schema"]["$ref"]) == (PROBLEM, "#/components/schemas/Problem"), (
                    name
                )
                assert {example["value"]["status"] for example in media["examples"].values()} == {
                    int(status)
                }, name


def test_own_refusals_and_those_of_the_front_door_stand_side_by_side(document: dict[str, Any]) -> None:
    responses = document["paths"]["/api/things"]["post"]["responses"]
    assert set(responses["409"]["content"][PROBLEM]["examples"]) == {"email-taken"}
    assert set(responses["503"]["content"][PROBLEM]["examples"]) == {"service-busy", "not-ready"}
    assert (
        responses["201"]["content"]["application/json"]["example"]
        == Message.model_json_schema()["examples"][0]
    )
    assert "$ref" in responses["201"]["content"]["application/json"]["schema"]


def test_nothing_of_the_frameworks_own_errors_is_left(document: dict[str, Any]) -> None:
    assert "ValidationError" not in str(document)


def test_references_all_lead_somewhere(document: dict[str, Any]) -> None:
    def references(thing: Any) -> Iterator[str]:
        if isinstance(thing, dict):
            if "$ref" in thing:
                yield thing["$ref"]
            for inner in thing.values():
                yield from references(inner)
        elif isinstance(thing, list):
            for inner in thing:
                yield from references(inner)

    for reference in references(document):
        target: Any = document
        for step in reference.removeprefix("#/").split("/"):
            target = target[step]
        assert target


def test_protected_routes_ask_for_a_bearer_token(document: dict[str, Any]) -> None:
    assert document["paths"]["/api/things/mine/only"]["get"]["security"] == [{"bearer": []}]
    scheme = document["components"]["securitySchemes"]["bearer"]
    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")


def test_the_server_is_wherever_the_document_came_from(document: dict[str, Any]) -> None:
    assert [server["url"] for server in document["servers"]] == ["/"]


def test_bodies_are_documented_as_closed(document: dict[str, Any]) -> None:
    thing = document["components"]["schemas"]["Thing"]
    assert thing["additionalProperties"] is False
    assert thing["properties"]["email"]["maxLength"] == 254


def test_several_problems_of_one_status_share_a_response() -> None:
    documented = answers(TOKEN_INVALID, INVALID_REQUEST, EMAIL_TAKEN, SESSION_INVALID)
    assert set(documented) == {400, 401, 409, 422}
    two = answers(*(type_ for type_ in CATALOGUE if type_.status == 422))
    assert len(two) == 1
    assert len(two[422]["content"][PROBLEM]["examples"]) >= 4


async def test_real_refusals_fit_the_documented_schema(
    client: httpx2.AsyncClient, document: dict[str, Any]
) -> None:
    schema = document["components"]["schemas"]["Problem"]
    body = (await client.post("/api/things", json={})).json()
    assert set(schema["required"]) <= body.keys() <= schema["properties"].keys()
    assert set(schema["properties"]["errors"]["items"]["required"]) == body["errors"][0].keys()
