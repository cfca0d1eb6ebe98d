"""Production and the deployment for tests: up, healthy, passing the journey from outside, and with no more rights
than they need."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.containers.composing import Compose


@pytest.fixture(params=["tested", "production"])
def served(request: pytest.FixtureRequest) -> Compose:
    found: Compose = request.getfixturevalue(request.param)
    return found


def journey(deployment: Compose, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dashtam", "smoke", deployment.url]
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=120
    )


def psql(deployment: Compose, statement: str, database: str = "dashtam") -> subprocess.CompletedProcess[str]:
    """As the service's own role, by the way that the service comes."""
    secret = "/run/secrets/database_url"
    url = f"$([ -r {secret} ] && cat {secret} || echo postgresql://dashtam@postgres/dashtam)"
    asked = f'url="{url}"; psql -X -v ON_ERROR_STOP=1 "${{url%/*}}/{database}" -c "{statement}"'
    return deployment.execute("sh", "-c", asked, service="postgres")


def test_the_journey_passes_from_outside(tested: Compose) -> None:
    played = journey(tested)
    assert played.returncode == 0, played.stdout
    assert "18/18" in played.stdout


def test_the_journey_passes_in_production_with_its_token_alone(production: Compose, smoke_token: str) -> None:
    assert journey(production).returncode == 1
    played = journey(production, SMOKE_TOKEN=smoke_token)
    assert played.returncode == 0, played.stdout
    assert "18/18" in played.stdout


def test_production_answers_to_its_own_name(production: Compose) -> None:
    assert production.get("/health/ready", host="auth.example.org").status_code == 200
    assert production.get("/health/ready", host="elsewhere.example.org").status_code == 421


def test_the_service_is_nobody_and_can_write_nowhere_but_to_its_own_folders(served: Compose) -> None:
    assert served.execute("id", "-u").stdout.split()[-1] == "10001"
    for place in ("/opt/dashtam/x", "/etc/x", "/usr/local/x"):
        refused = served.execute("touch", place)
        assert refused.returncode != 0
        assert "Read-only file system" in refused.stdout
    assert served.execute("touch", "/var/lib/dashtam/x", "/tmp/x").returncode == 0  # noqa: S108  in the container
    capabilities = served.execute("sh", "-c", "grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/1/status").stdout
    assert [line.split()[-1] for line in capabilities.splitlines()[-3:]] == ["0" * 16, "0" * 16, "1"]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE extra (id int)",
        "ALTER TABLE users ADD COLUMN extra int",
        "DROP TABLE users",
        "TRUNCATE users",
        "CREATE SCHEMA extra",
        "CREATE TEMPORARY TABLE extra (id int)",
    ],
)
def test_the_services_role_cannot_touch_the_schema(served: Compose, statement: str) -> None:
    refused = psql(served, statement)
    assert refused.returncode != 0
    assert "permission denied" in refused.stdout or "must be owner" in refused.stdout, refused.stdout


def test_the_services_role_reads_and_writes_its_own_database_and_no_other(served: Compose) -> None:
    assert psql(served, "SELECT count(*) FROM users").returncode == 0
    assert psql(served, "UPDATE users SET name = name").returncode == 0
    assert "permission denied" in psql(served, "SELECT 1", database="postgres").stdout


def test_no_database_is_told_to_be_less_durable(served: Compose) -> None:
    told = psql(
        served,
        "SHOW fsync; SHOW synchronous_commit; SHOW full_page_writes; SHOW timezone; SHOW data_checksums",
    ).stdout
    values = [line.strip() for line in told.splitlines() if line.startswith(" ")]
    assert values[1::2] == ["on", "on", "on", "UTC", "on"]


def test_production_holds_its_secrets_in_files(production: Compose, smoke_token: str) -> None:
    told = production.execute("env").stdout
    assert "SECRET_KEY_FILE=/run/secrets/secret_key" in told
    assert smoke_token not in told
    assert "postgresql://" not in told


def test_production_stops_in_good_order(production_files: dict[str, str]) -> None:
    with Compose("prod", production_files) as deployment:
        deployment.up()
        assert deployment.run("stop", "app").returncode == 0
        assert "Application shutdown complete" in deployment.said("app")


@pytest.mark.timeout(600)
def test_the_smoke_tests_pass_inside_on_both_databases(tested: Compose) -> None:
    ran = tested.execute("pytest", "tests/smoke/", "-v", seconds=500)
    assert ran.returncode == 0, ran.stdout
    lines = [line for line in ran.stdout.splitlines() if "PASSED" in line]
    assert sum("[sqlite]" in line for line in lines) == 5, ran.stdout
    assert sum("[postgresql]" in line for line in lines) == 5, ran.stdout


@pytest.mark.timeout(600)
def test_two_runs_at_once_leave_each_other_and_the_services_database_alone(tested: Compose) -> None:
    before = psql(tested, "SELECT count(*), max(id::text) FROM users").stdout
    with ThreadPoolExecutor() as pool:
        runs = list(pool.map(lambda _: tested.execute("pytest", "tests/smoke/", seconds=500), range(2)))
    assert [run.returncode for run in runs] == [0, 0], "".join(run.stdout for run in runs)
    assert psql(tested, "SELECT count(*), max(id::text) FROM users").stdout == before
