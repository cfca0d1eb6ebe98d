"""The OpenAPI document says what the service answers: complete, with sound examples, and true of the served API."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dashtam.settings import Settings, load
from tests.features.contract import Contract
from tests.features.served import Served, served
from tests.makers import API, NAME, OTHER_PASSWORD, SECRET, Deployment

ONLY_SQLITE = pytest.mark.parametrize("dbparity_database_url", ["sqlite"], indirect=True)
HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MANY = "100000/1h"
EMAIL = "tester@example.org"  # with a password that no example has: an example is sent as it is
EVERYWHERE = {"400", "414", "421", "422", "431", "500", "503"}
EXAMPLES_EACH = 5


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Limits that no fuzzer reaches."""
    rates = [name for name in Settings.model_fields if name.startswith("rate_")]
    return load(
        environment="test",
        database_url=database_url,
        secret_key=SECRET,
        var_dir=tmp_path,
        mail_transport="memory",
        public_url="http://127.0.0.1",
        **dict.fromkeys(rates, MANY),
    )


@ONLY_SQLITE
async def test_every_call_documents_its_statuses(service: Deployment) -> None:
    for method, path, operation in Contract(service.app.openapi()).operations():
        documented = set(operation["responses"])
        name = f"{method} {path}"
        assert documented >= EVERYWHERE, name
        assert documented & {"200", "201", "202", "204"}, name
        assert ("401" in documented) >= ("security" in operation), name
        assert ({"413", "415"} <= documented) == ("requestBody" in operation), name
        assert operation["summary"], name
        assert operation["description"], name


@ONLY_SQLITE
async def test_every_body_has_an_example_and_every_example_fits_its_schema(service: Deployment) -> None:
    assert list(Contract(service.app.openapi()).example_faults()) == []


@ONLY_SQLITE
async def test_the_served_document_is_the_applications_own(service: Deployment) -> None:
    answer = await service.client.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.json() == service.app.openapi()
    assert answer.json()["openapi"].startswith("3.1")


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("plant", "fault"),
    [
        (lambda operation: operation["responses"].pop("200"), "200 is not documented"),
        (lambda operation: operation["responses"]["200"].pop("content"), "200 has a body"),
        (
            lambda operation: operation["responses"]["200"].update(content={"text/plain": {}}),
            "200 is not documented as application/json",
        ),
        (
            lambda operation: operation["responses"]["200"]["content"]["application/json"].update(
                schema={"type": "array"}
            ),
            "is not of type",
        ),
    ],
)
async def test_an_answer_that_the_document_does_not_say_is_noticed(
    service: Deployment, plant: Any, fault: str
) -> None:
    """The twin of what every feature test asks of each answer."""
    answer = await service.client.get("/health")
    document = json.loads(json.dumps(service.app.openapi()))
    assert Contract(document).faults(answer) == []
    plant(document["paths"]["/health"]["get"])
    (found,) = Contract(document).faults(answer)
    assert fault in found


@ONLY_SQLITE
async def test_a_missing_or_unsound_example_is_noticed(service: Deployment) -> None:
    document = json.loads(json.dumps(service.app.openapi()))
    refusals = document["paths"]["/health"]["get"]["responses"]["400"]["content"]["application/problem+json"]
    example = next(iter(refusals["examples"].values()))
    example["value"]["status"] = "four hundred"
    refusals_of_ready = document["paths"]["/health/ready"]["get"]["responses"]["400"]["content"]
    refusals_of_ready["application/problem+json"]["examples"] = {}
    faults = "\n".join(Contract(document).example_faults())
    assert "GET /health: answer 400" in faults
    assert "GET /health/ready: answer 400: no example" in faults


def verified_account(server: Served) -> None:
    """An account for the fuzzer to log in to."""
    with httpx2.Client(base_url=server.url) as client:
        form = {"email": EMAIL, "password": OTHER_PASSWORD, "name": NAME}
        assert client.post(API + "/auth/register", json=form).status_code == 201
        (mail,) = waited_for(client)
        token = re.search(r"#token=(\S+)", mail["text"])
        assert token is not None
        assert client.post(API + "/auth/verify-email", json={"token": token[1]}).status_code == 200


def waited_for(client: httpx2.Client) -> list[dict[str, Any]]:
    for _ in range(1000):
        mails: list[dict[str, Any]] = client.get(
            f"/dev/mailbox?to={EMAIL}", headers={"Accept": "application/json"}
        ).json()["messages"]
        if mails:
            return mails
    raise AssertionError("no mail came")


def run_schemathesis(server: Served, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "tests.features.schemathesis_login",
        "PYTHONPATH": str(ROOT),
        "LOGIN_URL": f"{server.url}{API}/auth/login",
        "LOGIN_EMAIL": EMAIL,
        "LOGIN_PASSWORD": OTHER_PASSWORD,
    }
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "--config-file",
        str(HERE / "schemathesis.toml"),
        "run",
    ]
    return subprocess.run(
        [*command, f"{server.url}/openapi.json", "--checks", "all", "--no-color", *options],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@ONLY_SQLITE
def test_schemathesis_finds_no_failure_in_the_served_api(settings: Settings, tmp_path: Path) -> None:
    with served(settings) as server:
        verified_account(server)
        run = run_schemathesis(
            server,
            tmp_path,
            "--max-examples",
            str(EXAMPLES_EACH),
            "--generation-deterministic",
            "--workers",
            "2",
        )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr
    assert "Selected: 22/22" in run.stdout
    assert "Tested: 22" in run.stdout


@ONLY_SQLITE
def test_schemathesis_finds_a_planted_fault(settings: Settings, tmp_path: Path) -> None:
    with served(settings) as server:
        verified_account(server)
        document = server.app.openapi()
        del document["paths"][f"{API}/auth/sessions"]["get"]["responses"]["200"]
        run = run_schemathesis(
            server, tmp_path, "--include-path", f"{API}/auth/sessions", "--phases", "examples,coverage"
        )
    assert run.returncode == 1, run.stdout[-3000:] + run.stderr
    assert "Undocumented status code" in run.stdout
