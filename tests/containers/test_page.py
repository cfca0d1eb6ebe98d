"""The commands of docs/containers.md, as they stand there; `make containers` has built the images."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import free_port
from tests.docs.shell import Shell, commands, tree

PAGE = "docs/containers.md"
SECONDS = 600
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A checkout, and `docker compose` as the program that COMPOSE names."""
    folder = tree(tmp_path, "compose", "docker", "env", "src", "dbparity/src")
    for path in [folder, *folder.rglob("*")]:
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    environment = {
        "HOME": os.environ["HOME"],  # where the program for containers keeps its own
        "COMPOSE_PROJECT_NAME": f"dashtam-page-{free_port()}",
        "APP_PORT": str(free_port()),
    }
    with Shell(folder, environment) as terminal:
        yield terminal


def play(shell: Shell, *scripts: str) -> str:
    """Run them in order, with the images that are there."""
    port = shell.run("echo $APP_PORT").strip()
    said = ""
    for script in scripts:
        compose = script.replace("docker compose", os.environ.get("COMPOSE", "docker compose"))
        said += shell.run(compose.replace(" --build", "").replace(":8000", f":{port}"), seconds=SECONDS)
    return said


def test_develop(shell: Shell) -> None:
    assert "18/18" in play(shell, *commands(PAGE, "## Develop"))


def test_test(shell: Shell) -> None:
    said = play(shell, *commands(PAGE, "## Test"))
    assert said.count("PASSED") >= 10
    assert said.count("10 passed") == 2


def test_production_from_its_secrets_to_its_update(shell: Shell) -> None:
    make, start, back_up, restore, update = commands(PAGE, "## Production")
    try:
        play(shell, make)
        filled = shell.folder / "env" / ".env.prod"
        text = filled.read_text("utf-8").replace("PUBLIC_URL=\n", "PUBLIC_URL=https://auth.example.org\n")
        filled.write_text(text.replace("MAIL_FROM=\n", "MAIL_FROM=no-reply@example.org\n"), "utf-8")
        assert "as they should be" in play(shell, start)
        play(shell, back_up)
        assert (shell.folder / "dashtam.dump").stat().st_size > 10_000
        play(shell, restore)
        play(shell, *update.splitlines()[1:])  # the first line is what `make containers` began with
        assert "as they should be" in play(shell, *start.splitlines()[1:])
    finally:
        play(shell, "docker compose -f compose/docker-compose.prod.yml down --volumes")
