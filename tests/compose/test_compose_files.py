"""What the compose files and the Dockerfile say; what their containers do is seen by `make containers`."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashtam import __version__, secret_files
from dbparity.environment import load_contract
from tests.docs.reading import ROOT

KINDS = ("dev", "test", "ci", "prod")
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text("utf-8")
DURABILITY = re.compile("fsync|synchronous_commit|full_page_writes|wal_level|wal_sync_method")
ADDRESS = re.compile(r"://[^/\s\"]*:[^/@\s\"]+@")  # a user with a password


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose" / name).read_text("utf-8"))
    return found


COMMON = read("common.yml")["services"]
FILES = {kind: read(f"docker-compose.{kind}.yml") for kind in KINDS}


def services(kind: str) -> dict[str, dict[str, Any]]:
    """Each service with what it takes over from common.yml; of mappings the inner ones are joined."""
    return {
        name: joined(COMMON[own["extends"]["service"]], own) for name, own in FILES[kind]["services"].items()
    }


def joined(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    inner = {
        key: value | own[key]
        for key, value in base.items()
        if isinstance(value, dict) and isinstance(own.get(key), dict)
    }
    return base | own | inner


@pytest.mark.parametrize("kind", KINDS)
def test_the_services_have_the_names_that_people_type(kind: str) -> None:
    assert set(services(kind)) == {"postgres", "migrate", "app"}
    assert all(own["extends"]["file"] == "common.yml" for own in FILES[kind]["services"].values())


def test_the_databases_settings_are_the_same_everywhere_and_durability_is_not_touched() -> None:
    told = [services(kind)["postgres"] for kind in KINDS]
    for key in ("image", "command", "healthcheck", "shm_size"):
        assert len({str(one[key]) for one in told}) == 1
    own = {"POSTGRES_HOST_AUTH_METHOD", "POSTGRES_PASSWORD_FILE"}
    assert len({str({k: v for k, v in one["environment"].items() if k not in own}) for one in told}) == 1
    everything = "".join(path.read_text("utf-8").partition("\nservices:")[2] for path in compose_files())
    settings = [line for line in everything.splitlines() if not line.strip().startswith("#")]
    assert not DURABILITY.search("\n".join(settings))


@pytest.mark.parametrize("kind", KINDS)
def test_the_app_waits_for_the_migration_and_for_a_database_that_answers(kind: str) -> None:
    waits = {name: how["condition"] for name, how in services(kind)["app"]["depends_on"].items()}
    done = "service_healthy" if kind == "ci" else "service_completed_successfully"
    assert waits == {"postgres": "service_healthy", "migrate": done}
    assert "dashtam" in str(services(kind)["migrate"]["command"])
    ready = (ROOT / "docker" / "postgres-ready.sh").read_text("utf-8")
    assert "psql" in ready
    assert "SELECT 1" in ready


@pytest.mark.parametrize("kind", KINDS)
def test_containers_have_no_rights_that_they_do_not_need(kind: str) -> None:
    for name in ("migrate", "app"):
        service = services(kind)[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "user" not in service, "the image's own, which is not root"
    if kind == "prod":
        assert services(kind)["postgres"]["cap_drop"] == ["ALL"]
        limits = [service["deploy"]["resources"]["limits"] for service in services(kind).values()]
        assert all(limit.keys() == {"cpus", "memory", "pids"} for limit in limits)
        assert services(kind)["app"]["restart"] == services(kind)["postgres"]["restart"] == "unless-stopped"


@pytest.mark.parametrize("kind", KINDS)
def test_ports_are_for_this_machine_alone_and_can_be_chosen(kind: str) -> None:
    published = [port for service in services(kind).values() for port in service.get("ports", [])]
    assert all(re.fullmatch(r"127\.0\.0\.1:\$\{APP_PORT:-\d+\}:8000", port) for port in published)
    assert len(published) == (0 if kind == "ci" else 1)


def test_no_file_holds_a_secret_and_production_has_none_by_default() -> None:
    for path in (*compose_files(), *(ROOT / "docker").iterdir()):
        text = path.read_text("utf-8").replace("$(random)", "")
        assert not ADDRESS.search(text), path
        assert not re.search(r"(PASSWORD|SECRET_KEY|TOKEN): *[\"']?[A-Za-z0-9$]", text), path
    prod = services("prod")
    given = {name for service in prod.values() for name in service["environment"]}
    assert not given & {*secret_files.SECRETS, "POSTGRES_PASSWORD", "POSTGRES_HOST_AUTH_METHOD"}
    for name in secret_files.SECRETS:
        assert prod["app"]["environment"][f"{name}_FILE"] == f"/run/secrets/{name.lower()}"
        assert name.lower() in prod["app"]["secrets"]
    assert all(str(each["file"]).startswith("${SECRETS_DIR") for each in FILES["prod"]["secrets"].values())


@pytest.mark.parametrize("kind", KINDS)
def test_the_environment_is_the_one_of_the_contract(kind: str) -> None:
    contract = load_contract(ROOT / "env" / "contract.toml")
    for name in ("migrate", "app"):
        service = services(kind)[name]
        expected = "${ENV_FILE:-../env/.env.prod}" if kind == "prod" else f"../env/.env.{kind}"
        assert service["env_file"] == expected
        assert service["environment"].keys() <= contract.variables.keys()


def test_images_are_pinned_and_none_names_a_registry() -> None:
    images = {service["image"] for kind in KINDS for service in services(kind).values()}
    assert images == {"postgres:15", "dashtam:local", "dashtam-test:local"}
    bases = set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))
    stages = set(re.findall(r"^FROM \S+ AS (\S+)", DOCKERFILE, re.MULTILINE))
    assert bases - stages == {"python:${PYTHON}"}
    assert "ARG PYTHON=3.11-slim-bookworm" in DOCKERFILE


def test_the_image_is_nobodys_and_says_what_it_is() -> None:
    for stage in DOCKERFILE.split("\nFROM ")[-2:]:
        assert re.findall(r"^USER (\S+)", stage, re.MULTILINE) == ["10001:10001"]
    assert f'org.opencontainers.image.version="{__version__}"' in DOCKERFILE
    assert DOCKERFILE.count("--require-hashes") == 2
    assert "tests" not in DOCKERFILE.split("AS runtime")[1].split("\nFROM ")[0].lower()


def test_secrets_are_made_once_whole_and_unlike(tmp_path: Path) -> None:
    make = [ROOT / "docker" / "make-secrets.sh", tmp_path / "secrets"]
    subprocess.run(make, check=True, timeout=30)
    first = {path.name: path.read_text("ascii") for path in (tmp_path / "secrets").iterdir()}
    assert first.keys() == {"secret_key", "smoke_token", "postgres_password", "migrate_url", "database_url"}
    assert len(set(first.values())) == len(first)
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    (tmp_path / "secrets" / "smoke_token").unlink()
    subprocess.run(make, check=True, timeout=30)
    again = {path.name: path.read_text("ascii") for path in (tmp_path / "secrets").iterdir()}
    assert {name for name in first if again[name] != first[name]} == {"smoke_token"}


def test_what_must_not_get_into_an_image_is_left_out() -> None:
    left_out = (ROOT / ".dockerignore").read_text("utf-8").split()
    assert {".git", ".env", "env/.env.prod", "compose/secrets", "var", ".venv"} <= set(left_out)


def compose_files() -> list[Path]:
    return sorted((ROOT / "compose").glob("*.yml"))
