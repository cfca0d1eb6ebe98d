"""Holds an answer against the OpenAPI document: its status, its media type, and its body by the schema."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import httpx2
import jsonschema_rs

JSON = "application/json"
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


class Contract:
    """What the service has said that it answers."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        plain_first = sorted(document["paths"], key=lambda path: path.count("{"))
        self._paths = [(_pattern(path), path) for path in plain_first]
        self._validator = cache(self._schema)

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Method, path and description of every operation."""
        for path, item in self.document["paths"].items():
            for method in METHODS:
                if method in item:
                    yield method.upper(), path, item[method]

    def faults(self, answer: httpx2.Response) -> list[str]:
        """What is in this answer that the document does not say. Nothing for what is not in the document."""
        path = next(
            (path for pattern, path in self._paths if pattern.fullmatch(answer.request.url.path)), None
        )
        operation = self.document["paths"].get(path, {}).get(answer.request.method.lower())
        if path is None or operation is None:
            return []
        name, status = f"{answer.request.method} {path}", str(answer.status_code)
        if status not in operation["responses"]:
            return [f"{name}: {status} is not documented: {answer.text}"]
        documented = operation["responses"][status].get("content", {})
        media_type = answer.headers.get("content-type", "")
        if not documented:
            return [f"{name}: {status} has a body"] if answer.content else []
        if media_type not in documented:
            return [f"{name}: {status} is not documented as {media_type}"]
        validator = self._validator(json.dumps(documented[media_type]["schema"]))
        return [f"{name}: {status}: {error.message}" for error in validator.iter_errors(answer.json())]

    def example_faults(self) -> Iterator[str]:
        """Statuses without an example, and examples that their own schema refuses."""
        for method, path, operation in self.operations():
            contents = {
                f"answer {status}": said.get("content", {}) for status, said in operation["responses"].items()
            }
            contents["request"] = operation.get("requestBody", {}).get("content", {})
            for where, content in contents.items():
                for media in content.values():
                    yield from (f"{method} {path}: {where}: {fault}" for fault in self._example_faults(media))

    def _example_faults(self, media: dict[str, Any]) -> Iterator[str]:
        examples = list(self.examples(media))
        if not examples:
            yield "no example"
        validator = self._validator(json.dumps(media["schema"]))
        for example in examples:
            yield from (error.message for error in validator.iter_errors(example))

    def examples(self, media: dict[str, Any]) -> Iterator[Any]:
        """The examples of a body: its own, or what the examples of its schema's properties make together."""
        if "example" in media:
            yield media["example"]
        yield from (example["value"] for example in media.get("examples", {}).values())
        schema = self._resolved(media["schema"])
        yield from schema.get("examples", [])
        properties = schema.get("properties", {})
        if properties and all("examples" in property_ for property_ in properties.values()):
            yield {name: property_["examples"][0] for name, property_ in properties.items()}

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        reference = schema.get("$ref")
        if reference is None:
            return schema
        found: dict[str, Any] = self.document["components"]["schemas"][reference.rpartition("/")[2]]
        return found

    def _schema(self, schema: str) -> Any:
        return jsonschema_rs.Draft202012Validator(
            json.loads(schema) | {"components": self.document["components"]}, validate_formats=True
        )


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile("[^/]+".join(re.escape(piece) for piece in re.split(r"\{[^}]*\}", path)))
