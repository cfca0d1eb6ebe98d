"""What must not start does not, and says why."""

import shutil
from pathlib import Path

import pytest

from tests.containers.composing import Compose

BROKEN = '''"""A revision that cannot run."""
revision = "0002"
down_revision = "0001"
branch_labels = depends_on = None


def upgrade():
    raise RuntimeError("planted: this revision cannot run")


def downgrade():
    pass
'''


@pytest.fixture
def incomplete(production_files: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Production without its SECRET_KEY."""
    shutil.copytree(production_files["SECRETS_DIR"], tmp_path / "secrets")
    (tmp_path / "secrets" / "secret_key").unlink()
    return production_files | {"SECRETS_DIR": str(tmp_path / "secrets")}


def test_production_does_not_come_up_without_a_secret(incomplete: dict[str, str]) -> None:
    with Compose("prod", incomplete) as deployment:
        refused = deployment.run("up", "--no-start")
        assert refused.returncode != 0
        assert "secret_key" in refused.stdout


def test_production_does_not_come_up_without_its_environment(production_files: dict[str, str]) -> None:
    with Compose("prod", production_files | {"ENV_FILE": "/nowhere/.env.prod"}) as deployment:
        refused = deployment.run("up", "--detach")
        assert refused.returncode != 0
        assert "/nowhere/.env.prod" in refused.stdout


def test_the_service_does_not_start_without_a_secret_and_names_it(production_files: dict[str, str]) -> None:
    with Compose("prod", production_files) as deployment:
        for given, said in (
            ("SECRET_KEY_FILE=", "SECRET_KEY is required in prod"),
            ("SECRET_KEY_FILE=/run/secrets/nothing", "SECRET_KEY_FILE names a file that cannot be read"),
            ("SMTP_URL_FILE=", "SMTP_URL must be"),
        ):
            refused = deployment.run("run", "--rm", "--no-deps", "-e", given, "app")
            assert refused.returncode == 2, refused.stdout
            assert said in refused.stdout


def test_behind_a_broken_migration_the_service_never_starts_and_the_log_says_why(tmp_path: Path) -> None:
    (tmp_path / "0002_broken.py").write_text(BROKEN, "utf-8")
    (tmp_path / "0002_broken.py").chmod(0o644)
    plant = tmp_path / "broken.yml"
    inside = "/srv/dashtam/src/dashtam/migrations/versions/0002_broken.py"
    plant.write_text(
        f'services: {{migrate: {{volumes: ["{tmp_path}/0002_broken.py:{inside}:ro"]}}}}\n', "utf-8"
    )
    with Compose("test", also=plant) as deployment:
        refused = deployment.run("up", "--detach")
        assert refused.returncode != 0
        assert "planted: this revision cannot run" in deployment.said("migrate")
        assert deployment.execute("true").returncode != 0
        assert "listening" not in deployment.said("app")
