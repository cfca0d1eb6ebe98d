"""What containers need of the commands: a health check, a migration that waits for its database, live reload."""

import shutil
import subprocess
import sys
from pathlib import Path

import httpx2

from dashtam import __version__
from dbparity.testing.postgres import PrivateCluster
from tests.cli.running import LONG_SECONDS, SERVING, Place, free_port, output, read_until
from tests.docs.reading import ROOT


def ready(place: Place, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "dashtam.ready"],
        env=place.environment | settings, capture_output=True, text=True, timeout=LONG_SECONDS, check=False,
    )  # fmt: skip


def test_the_health_check_is_content_with_a_server_that_is_ready(serving: tuple[Place, str]) -> None:
    place, url = serving
    asked = ready(place, PORT=url.rpartition(":")[2])
    assert (asked.returncode, asked.stderr) == (0, "")


def test_the_health_check_speaks_the_name_that_production_answers_to(place: Place) -> None:
    production = {
        "ENVIRONMENT": "prod",
        "PUBLIC_URL": "https://auth.example.org",
        "MAIL_TRANSPORT": "smtp",
        "SMTP_URL": "smtps://mail.example.org",
        "PORT": str(free_port()),
    }
    place.run("migrate", "up", **production)
    with place.started("serve", **production) as process:
        read_until(process, SERVING)
        assert ready(place, **production).returncode == 0
        misled = ready(place, **production | {"PUBLIC_URL": "https://elsewhere.example.org"})
        assert misled.returncode == 1
        assert misled.stderr.startswith("421 ")


def test_the_health_check_says_why_not(place: Place) -> None:
    port = str(free_port())
    nobody = ready(place, PORT=port)
    assert nobody.returncode == 1
    assert nobody.stderr.startswith(f"no answer on port {port}: ConnectionRefusedError")
    with place.started("serve", PORT=port) as process:  # not migrated
        read_until(process, SERVING)
        unready = ready(place, PORT=port)
        assert unready.returncode == 1
        assert unready.stderr.startswith("503 ")


def test_a_migration_waits_for_its_database_if_told_so(cluster: PrivateCluster, tmp_path: Path) -> None:
    place = Place(tmp_path, DATABASE_URL=cluster.url("not_there_yet", driver=""))
    assert place.run("migrate", "up").returncode == 3
    with place.started("migrate", "up", "--wait", "60") as process:
        assert "there is no database of that name" in read_until(process, "Waiting for it")
        cluster.create_database("not_there_yet")
        assert "as they should be" in output(process).read()
        assert process.wait(LONG_SECONDS) == 0
    cluster.drop_database("not_there_yet")


def test_a_migration_waits_no_longer_than_told_and_not_for_what_waiting_does_not_mend(place: Place) -> None:
    gone = place.run(
        "migrate", "up", "--wait", "0.1", DATABASE_URL=f"postgresql://x@127.0.0.1:{free_port()}/x"
    )
    assert gone.returncode == 3
    assert "cannot be used: no connection" in gone.stderr
    wrong = place.run("migrate", "up", "9999", "--wait", "600")
    assert wrong.returncode == 1
    assert "Waiting" not in wrong.stderr


def test_a_saved_file_starts_the_server_anew(place: Place) -> None:
    shutil.copytree(ROOT / "src" / "dashtam", place.folder / "dashtam")
    shutil.copy(ROOT / "env" / "contract.toml", place.folder / "dashtam")
    source, port = place.folder / "dashtam" / "__init__.py", str(free_port())
    copied = {"PYTHONPATH": str(place.folder), "PORT": port}
    place.run("migrate", "up")
    with place.started("serve", "--reload", **copied) as process:
        read_until(process, SERVING)
        assert version(port) == __version__
        source.write_text(source.read_text("utf-8").replace(__version__, "9.9.9"), "utf-8")
        read_until(process, "Reloading...")
        read_until(process, SERVING)
        assert version(port) == "9.9.9"


def test_reloading_is_refused_for_production_and_for_several_workers(place: Place) -> None:
    for arguments, settings in (
        (("--workers", "2"), {}),
        (
            (),
            {
                "ENVIRONMENT": "prod",
                "PUBLIC_URL": "https://auth.example.org",
                "MAIL_TRANSPORT": "smtp",
                "SMTP_URL": "smtps://mail.example.org",
            },
        ),
    ):
        refused = place.run("serve", "--reload", *arguments, **settings)
        assert refused.returncode == 2
        assert "--reload is for one worker, and not for production." in refused.stderr


def version(port: str) -> str:
    return str(httpx2.get(f"http://127.0.0.1:{port}/health", trust_env=False).json()["version"])
