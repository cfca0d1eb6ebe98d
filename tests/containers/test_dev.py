"""The deployment for developers: it serves the checkout, and serves it anew when a file is saved."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.containers.composing import ROOT, SECONDS, Compose


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of this test's own, to edit."""
    root = tmp_path_factory.mktemp("checkout")
    for folder in ("compose", "docker", "env", "src", "dbparity/src"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__", "secrets"))
    for path in [root, *root.parents[:3], *root.rglob("*")]:
        path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
    return root


@pytest.fixture(scope="module")
def dev(checkout: Path) -> Iterator[Compose]:
    with Compose("dev", root=checkout) as deployment:
        yield deployment.up()


def test_the_journey_passes_and_the_mailbox_is_there(dev: Compose) -> None:
    played = dev.execute("dashtam", "smoke", "http://127.0.0.1:8000")
    assert "18/18" in played.stdout, played.stdout
    assert dev.get("/dev/mailbox", accept="application/json").status_code == 200
    assert dev.get("/docs").status_code == 200


def test_a_saved_file_is_served_without_a_restart_by_hand(dev: Compose, checkout: Path) -> None:
    source = checkout / "src" / "dashtam" / "__init__.py"
    before = dev.get("/health").json()["version"]
    source.write_text(source.read_text("utf-8").replace(before, f"{before}+edited"), "utf-8")
    until = time.monotonic() + SECONDS
    while version(dev) != f"{before}+edited":
        assert time.monotonic() < until, dev.said("app")
        time.sleep(0.5)


def version(deployment: Compose) -> str:
    try:
        return str(deployment.get("/health").json()["version"])
    except OSError:
        return "none: it is starting"
