"""Writes docs/reference from the code, and says whether what is there is current.

A page each for every setting, every problem, every call, every command, every step of the journey and every check
of the doctor. Nothing on them is written by hand, so nothing on them can be out of date while `make check` passes.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from dashtam import secret_files
from dashtam.core.problems import CATALOGUE
from dashtam.journey import STEPS
from dashtam.settings import DAY, HOUR, MINUTE, Rate, Settings

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
MADE = "<!-- Made by `make docs` from the code; do not edit. -->"
PROBLEM = "application/problem+json"
NOTHING = "\u2013"

# A heading stands before the field named here; fields keep the order in which they are declared.
HEADINGS = {
    "environment": "The deployment",
    "api_v1_prefix": "HTTP",
    "mail_transport": "Mail",
    "signing_algorithm": "Tokens and sessions",
    "password_min_length": "Passwords",
    "rate_login_per_account": "Rate limits",
    "smoke_token": "The journey",
}
_UNITS = (("day", DAY), ("hour", HOUR), ("minute", MINUTE), ("second", 1))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def page(title: str, introduction: str, *parts: str) -> str:
    """A whole page."""
    return "\n\n".join([f"# {title}", MADE, introduction, *(part for part in parts if part)]) + "\n"


def code(text: object) -> str:
    """The text as code, or a dash for none."""
    return f"`{text}`" if str(text) else NOTHING


# ------------------------------------------------------------------------------------------- settings


def settings_page() -> str:
    """Every variable: what it means, what it may be, what it is when it is not set."""
    parts: list[str] = []
    rows: list[tuple[str, ...]] = []
    for name, field in Settings.model_fields.items():
        if name in HEADINGS:
            parts += [_settings_table(rows)] if rows else []
            parts.append(f"## {HEADINGS[name]}")
            rows = []
        rows.append(
            (f"`{name.upper()}`", _default(name, field), str(field.description), _allowed(name, field))
        )
    return page(
        "Settings",
        "All settings are environment variables, read once at the start. A bad one stops the start with exit "
        "code 2 and a line that names the variable, never its value. "
        "[Operations](../operations.md#settings) says which of them you need.",
        *parts,
        _settings_table(rows),
        "## Secrets as files",
        "Each of these names a file that holds the setting itself, for those who keep secrets out of the "
        "environment. A newline at its end is left out. Setting both, or naming a file that is empty or cannot be "
        "read, stops the start.",
        table(
            ("variable", "the file holds"),
            [(code(f"{name}_FILE"), f"the value of {code(name)}") for name in secret_files.SECRETS],
        ),
    )


def _settings_table(rows: Sequence[Sequence[str]]) -> str:
    return table(("variable", "default", "meaning", "allowed"), rows)


def _default(name: str, field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, SecretStr | tuple) and not isinstance(value, Rate):
        return NOTHING  # no secret and no list has a default
    if value is None or value == "":
        return NOTHING
    if isinstance(value, Rate):
        return code(_rate(value))
    if isinstance(value, bool):
        return code(str(value).lower())
    return code(value) if isinstance(value, str | Path) else _amount(name, value)


def _rate(rate: Rate) -> str:
    unit, seconds = next((unit, size) for unit, size in _UNITS if rate.seconds % size == 0)
    return f"{rate.tries}/{rate.seconds // seconds}{unit[0]}"


def _amount(name: str, value: int) -> str:
    spelled_out = name.endswith("_seconds") and value >= MINUTE
    return f"{value} ({_duration(value)})" if spelled_out else f"{value}"


def _duration(seconds: int) -> str:
    unit, size = next((unit, size) for unit, size in _UNITS if seconds % size == 0)
    count = seconds // size
    return f"{count} {unit}{'' if count == 1 else 's'}"


def _allowed(name: str, field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(map(code, get_args(field.annotation)))
    if field.annotation is Rate:
        return "count/time, as `10/15m`"
    if field.annotation in {bool, bool | None}:
        return "`true`, `false`"
    bounds = {
        kind: getattr(limit, kind)
        for limit in field.metadata
        for kind in ("ge", "le", "min_length", "max_length")
        if hasattr(limit, kind)
    }
    lowest, highest = bounds.get("ge", bounds.get("min_length")), bounds.get("le", bounds.get("max_length"))
    if lowest is None or highest is None:
        return NOTHING
    unit = " characters" if field.annotation is str else ""
    return f"{_amount(name, lowest)} to {_amount(name, highest)}{unit}"


# ------------------------------------------------------------------------------------------- problems


def problems_page() -> str:
    """The catalogue of refusals."""
    rows = [(f"`{type_.urn}`", str(type_.status), type_.title, type_.detail) for type_ in CATALOGUE]
    return page(
        "Problems",
        f"Every answer that is not a success is one of these (RFC 9457, `{PROBLEM}`). Types and statuses are "
        "stable: compare those. The words of `detail` may say more in a given case, and may change. "
        "[The API guide](../api-guide.md#errors) says what to do about them.",
        table(("type", "status", "title", "usual detail"), rows),
    )


# ------------------------------------------------------------------------------------------------ API

Document = dict[str, Any]


def api_page() -> str:
    """Every call of the OpenAPI document: what it takes and what it answers."""
    document = _openapi()
    calls = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    anywhere = _common([operation for *_, operation in calls])
    with_body = _common([operation for *_, operation in calls if "requestBody" in operation]) - anywhere
    return page(
        "API",
        "All calls, made from the OpenAPI document that the service itself serves at `/openapi.json` (with "
        "pages at `/docs` and `/redoc`). Paths are shown with the default `API_V1_PREFIX`.",
        "Any call may be refused with "
        + _listed(anywhere)
        + "; one with a body also with "
        + _listed(with_body)
        + ". They are not repeated below. [Problems](problems.md) explains each.",
        *(_call(method, path, operation, anywhere | with_body) for method, path, operation in calls),
        "## Shapes",
        *(_shape(name, schema) for name, schema in sorted(_shapes(document, calls).items())),
    )


def _openapi() -> Document:
    from dashtam.app import create_app  # noqa: PLC0415  the other pages need no application

    # Given, so that they are the defaults whatever this machine is set up for. Nothing shown derives from the key.
    given: dict[str, Any] = {name: field.default for name, field in Settings.model_fields.items()}
    given["secret_key"] = SecretStr("0123456789 abcdefghijklmnopqrstuvwxyz")
    settings = Settings(**given)
    return create_app(settings).openapi()


def _common(operations: Sequence[Document]) -> set[tuple[str, str]]:
    return set.intersection(*(set(_refusals(operation)) for operation in operations))


def _refusals(operation: Document) -> list[tuple[str, str]]:
    return [
        (status, slug)
        for status, response in operation["responses"].items()
        for slug in response.get("content", {}).get(PROBLEM, {}).get("examples", {})
    ]


def _listed(refusals: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{status} `{slug}`" for status, slug in sorted(refusals))


def _call(method: str, path: str, operation: Document, common: set[tuple[str, str]]) -> str:
    parts = [f"## {method} {path}", operation.get("description") or operation.get("summary", "")]
    if "security" in operation:
        parts.append("Needs `Authorization: Bearer` and an access token.")
    if operation.get("parameters"):
        rows = [(code(p["name"]), p["in"], _kind(p["schema"]), _need(p)) for p in operation["parameters"]]
        parts.append(table(("parameter", "in", "what", "needed"), rows))
    if "requestBody" in operation:
        parts += [
            f"Body: {_kind(media['schema'])}." for media in operation["requestBody"]["content"].values()
        ]
    parts.append(table(("answer", "body"), _answers(operation, common)))
    return "\n\n".join(part for part in parts if part)


def _need(parameter: Document) -> str:
    return "yes" if parameter.get("required") else "no"


def _answers(operation: Document, common: set[tuple[str, str]]) -> list[tuple[str, str]]:
    rows = []
    for status, response in operation["responses"].items():
        content = response.get("content", {})
        slugs = [
            slug for slug in content.get(PROBLEM, {}).get("examples", {}) if (status, slug) not in common
        ]
        shown = [_kind(media.get("schema") or {}, kind) for kind, media in content.items() if kind != PROBLEM]
        if shown or slugs or not content:
            rows.append((status, ", ".join([*shown, *map(code, slugs)]) or "nothing"))
    return rows


def _kind(schema: Document, media_type: str = "application/json") -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    if options := schema.get("anyOf"):
        return " or ".join(map(_kind, options))
    if "const" in schema or "enum" in schema:
        return " or ".join(code(json.dumps(value)) for value in schema.get("enum") or [schema["const"]])
    if media_type != "application/json":
        return code(media_type)
    return " ".join(filter(None, (schema.get("type", "JSON"), _limits(schema))))


def _limits(schema: Document) -> str:
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength")
    span = f"{shortest} to" if shortest else "at most"
    limit = f"{span} {longest} characters" if longest else ""
    found = ", ".join(filter(None, (schema.get("format", ""), limit)))
    return f"({found})" if found else ""


def _shapes(document: Document, calls: Sequence[tuple[str, str, Document]]) -> dict[str, Document]:
    """The schemas that some call takes or gives, and those inside them."""
    schemas, wanted = document["components"]["schemas"], set(_named([operation for *_, operation in calls]))
    while more := {inner for name in wanted for inner in _named(schemas[name])} - wanted:
        wanted |= more
    return {name: schemas[name] for name in wanted}


def _named(part: object) -> Iterable[str]:
    if isinstance(part, dict):
        if isinstance(reference := part.get("$ref"), str):
            yield reference.rpartition("/")[2]
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from _named(inner)


def _shape(name: str, schema: Document) -> str:
    fields, required = schema.get("properties", {}), schema.get("required", [])
    rows = [
        (
            code(field),
            _kind(inner),
            "" if field in required else "may be absent",
            inner.get("description", ""),
        )
        for field, inner in fields.items()
    ]
    head = ("field", "what", "", "meaning")
    used = [column for column in range(len(head)) if column < 2 or any(row[column] for row in rows)]  # noqa: PLR2004
    shown = table([head[column] for column in used], [[row[column] for column in used] for row in rows])
    return "\n\n".join(part for part in (f"### {name}", schema.get("description", ""), shown) if part)


# ------------------------------------------------------------------------------------------- commands


def cli_page() -> str:
    """Every command: what it does, what it takes, how it ends."""
    from typer.main import get_command  # noqa: PLC0415  the other pages need no command line

    from dashtam.cli import app, exit_codes  # noqa: PLC0415

    codes = [(str(code_), meaning) for code_, meaning in exit_codes.MEANINGS.items()]
    return page(
        "Commands",
        "All of them take their [settings](settings.md) from the environment. `--help` behind any of them "
        "says what stands here.",
        "## Exit codes",
        table(("code", "means"), codes),
        *_commands(get_command(app), "dashtam"),
    )


def _commands(command: Any, path: str) -> Iterable[str]:  # noqa: ANN401  Typer's own class is private
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        if inner.hidden:
            continue
        yield from [_command(inner, f"{path} {name}"), *_commands(inner, f"{path} {name}")]


def _command(command: Any, path: str) -> str:  # noqa: ANN401
    rows = [
        (_spelling(parameter), _parameter_default(parameter), parameter.help or "")
        for parameter in command.params
        if not parameter.hidden and parameter.name != "help"
    ]
    parts = [
        f"## {path}",
        _paragraphs(command.help or ""),
        table(("option", "default", "meaning"), rows) if rows else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.replace("\b", "").split("\n\n")).strip()


def _spelling(parameter: Any) -> str:  # noqa: ANN401
    if parameter.opts == [parameter.name]:
        name = (parameter.metavar or parameter.name).upper().strip("[]")
        return code(name if parameter.required else f"[{name}]")
    value = f" {parameter.metavar}" if parameter.metavar else ""
    return ", ".join(code(option + value) for option in [*parameter.opts, *parameter.secondary_opts])


def _parameter_default(parameter: Any) -> str:  # noqa: ANN401
    if parameter.required:
        return "needed"
    return code(parameter.default) if parameter.default not in (None, False, "", [], ()) else NOTHING


# --------------------------------------------------------------------------------------------- journey


def steps_page() -> str:
    """The 18 steps of the journey."""
    rows = [(str(step.number), step.name, step.sends, step.sees, f"{step.budget_ms} ms") for step in STEPS]
    return page(
        "The steps of the journey",
        "Paths are below the `API_V1_PREFIX`. A step slower than its budget is remarked upon, and passes. "
        "[The journey](../journey.md) says how to play it.",
        table(("", "step", "sends", "must see", "budget"), rows),
    )


# ---------------------------------------------------------------------------------------------- doctor


def checks_page() -> str:
    """What the doctor looks at."""
    from dashtam.doctor import LOCAL, REMOTE  # noqa: PLC0415  the other pages need no doctor

    return page(
        "The checks of the doctor",
        "What `dashtam doctor` looks at, and what holds when all is well. A check that cannot apply, such as one of "
        "PostgreSQL on SQLite, is left out of a report. [The doctor](../doctor.md) says how to ask.",
        "## From inside",
        "By this machine's own settings, files and database: `dashtam doctor --local`.",
        _checks_table(LOCAL),
        "## From outside",
        "By nothing but the URL, as strangers see it: `dashtam doctor https://auth.example.org`.",
        _checks_table(REMOTE),
    )


def _checks_table(checks: Sequence[Any]) -> str:
    return table(("check", "what holds"), [(code(check.name), check.title) for check in checks])


# ------------------------------------------------------------------------------------------------ all

PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "problems.md": problems_page,
    "api.md": api_page,
    "cli.md": cli_page,
    "steps.md": steps_page,
    "checks.md": checks_page,
}


def stale(folder: Path) -> list[str]:
    """The pages that are missing from the folder or are not what the code makes of them, by name."""
    current = {path.name: path.read_text("utf-8") for path in folder.glob("*.md")} if folder.exists() else {}
    made = {name: make() for name, make in PAGES.items()}
    return sorted(name for name in current.keys() | made.keys() if current.get(name) != made.get(name))


def write(folder: Path) -> None:
    """Write all pages."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        (folder / name).write_text(make(), "utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages, or with --check compare them; the exit code is 1 if one is stale."""
    parser = argparse.ArgumentParser(description="Write docs/reference from the code.")
    parser.add_argument(
        "--check", action="store_true", help="compare, write nothing, exit 1 if a page is stale"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where the pages are")
    given = parser.parse_args(arguments)
    if not given.check:
        write(given.folder)
        return 0
    names = stale(given.folder)
    if names:
        faults = [f"{given.folder.name}/{name} is not what the code makes of it." for name in names]
        print(*faults, "Run `make docs` and commit what it writes.", sep="\n", file=sys.stderr)
        return 1
    print("The reference pages are what the code says.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
