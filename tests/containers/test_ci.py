"""The suite in a container: its exit code is that of `up --exit-code-from app`."""

import os
from pathlib import Path

import pytest

from tests.containers.composing import Compose, Ended

PLANTED = """
def test_planted():
    assert not "a planted failure"
"""
RUN = ("up", "--abort-on-container-exit", "--exit-code-from", "app")


def run(tests: str, *, also: Path | None = None, seconds: float = 3600) -> Ended:
    with Compose("ci", {"CI_TESTS": tests}, also=also) as deployment:
        return deployment.run(*RUN, seconds=seconds)


@pytest.mark.timeout(3700)
def test_a_suite_that_passes_ends_with_0() -> None:
    """All of it, unless CI_TESTS says which part."""
    ran = run(os.environ.get("CI_TESTS", ""))
    assert ran.returncode == 0, ran.stdout[-20_000:]
    assert " passed" in ran.stdout


@pytest.mark.timeout(600)
def test_a_test_that_fails_comes_out_as_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "test_planted.py").write_text(PLANTED, "utf-8")
    tmp_path.chmod(0o755)
    plant = tmp_path / "planted.yml"
    plant.write_text(
        f'services: {{app: {{volumes: ["{tmp_path}:/srv/dashtam/tests/planted:ro"]}}}}\n', "utf-8"
    )
    ran = run("tests/planted", also=plant)
    assert ran.returncode == 1, ran.stdout
    assert "a planted failure" in ran.stdout
    assert "1 failed" in ran.stdout
