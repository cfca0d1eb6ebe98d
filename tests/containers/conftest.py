"""The deployments that are proven here: each is brought up once, for all tests of its file."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.composing import ROOT, Compose

PROD = {
    "ENVIRONMENT": "prod",
    "PUBLIC_URL": "https://auth.example.org",
    "ALLOWED_HOSTS": "127.0.0.1",  # for the journey, which comes without the proxy in front
    "MAIL_TRANSPORT": "smtp",
    "MAIL_FROM": "no-reply@example.org",
}


@pytest.fixture(scope="session")
def production_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What an operator makes before the first start: the secrets and env/.env.prod."""
    folder = tmp_path_factory.mktemp("production")
    subprocess.run([ROOT / "docker" / "make-secrets.sh", folder / "secrets"], check=True, timeout=30)
    (folder / "secrets" / "smtp_url").write_text("smtps://mail.example.org\n", "utf-8")
    (folder / "env").write_text("".join(f"{name}={value}\n" for name, value in PROD.items()), "utf-8")
    return {"SECRETS_DIR": str(folder / "secrets"), "ENV_FILE": str(folder / "env")}


@pytest.fixture(scope="session")
def production(production_files: dict[str, str]) -> Iterator[Compose]:
    """Production, up and ready."""
    with Compose("prod", production_files) as deployment:
        yield deployment.up()


@pytest.fixture(scope="session")
def smoke_token(production_files: dict[str, str]) -> str:
    """The SMOKE_TOKEN of production."""
    return (Path(production_files["SECRETS_DIR"]) / "smoke_token").read_text("utf-8").strip()


@pytest.fixture(scope="session")
def tested() -> Iterator[Compose]:
    """The deployment for tests, up and ready."""
    with Compose("test") as deployment:
        yield deployment.up()
