"""`dashtam serve`: refuses bad settings at once, serves under any number of workers, stops in good order."""

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.cli.running import SECRET, SERVING, Place, accepts, free_port, output, read_until


def get(port: int, path: str) -> httpx2.Response:
    return httpx2.get(f"http://127.0.0.1:{port}{path}", trust_env=False)


def test_bad_settings_stop_it_at_once_by_name_and_without_their_values(place: Place) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    refused = place.run(
        "serve", SECRET_KEY="hunter2", DATABASE_URL="mysql://root:hunter2@db/x", LOG_LEVEL="loud"
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert refused.returncode == 2
    assert "3 settings are wrong:" in refused.stderr
    for name in ("SECRET_KEY", "DATABASE_URL", "LOG_LEVEL"):
        assert f"  {name} " in refused.stderr
    assert "hunter2" not in refused.stderr + refused.stdout
    assert "loud" not in refused.stderr
    # Of processor time, so that it means the same on a busy machine.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2


def test_prod_is_refused_with_everything_that_is_missing_at_once(place: Place) -> None:
    refused = place.run("serve", ENVIRONMENT="prod", SECRET_KEY="", DEBUG="true")
    assert refused.returncode == 2
    for name in ("SECRET_KEY", "DEBUG", "PUBLIC_URL", "MAIL_TRANSPORT"):
        assert f"  {name} " in refused.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_without_naming_its_server_and_stops_in_good_order(
    place: Place, number: signal.Signals
) -> None:
    place.run("migrate", "up")
    port = free_port()
    with place.started("serve", "--port", str(port)) as process:
        read_until(process, SERVING)
        answer = get(port, "/health/ready")
        assert answer.status_code == 200
        assert "server" not in answer.headers
        process.send_signal(number)
        rest = output(process).read()
        assert process.wait(30) == 0
    assert "Application shutdown complete." in rest
    assert "Traceback" not in rest


def test_every_line_it_logs_is_json(place: Place) -> None:
    place.run("migrate", "up")
    with place.started("serve", "--port", str(port := free_port())) as process:
        first = read_until(process, SERVING)
        get(port, "/health")
        process.send_signal(signal.SIGTERM)
        lines = (first + output(process).read()).splitlines()
    assert len(lines) > 3
    assert all("message" in json.loads(line) for line in lines)


def test_several_workers_share_the_port_and_all_end(place: Place) -> None:
    place.run("migrate", "up")
    with place.started("serve", "--port", str(port := free_port()), "--workers", "2") as process:
        read_until(process, SERVING)
        read_until(process, SERVING)
        assert get(port, "/health/ready").status_code == 200
        process.send_signal(signal.SIGTERM)
        output(process).read()
        assert process.wait(30) == 0
    assert not accepts(port)


def test_a_busy_port_is_named(serving: tuple[Place, str]) -> None:
    place, url = serving
    port = url.rpartition(":")[2]
    busy = place.run("serve", "--port", port)
    assert busy.returncode == 4
    assert f"Port {port} is in use" in busy.stderr


def test_an_address_of_another_machine_is_refused(place: Place) -> None:
    refused = place.run("serve", "--host", "192.0.2.1", "--port", str(free_port()))
    assert refused.returncode == 2
    assert "192.0.2.1" in refused.stderr


def test_unmigrated_it_serves_and_says_that_it_is_not_ready(place: Place) -> None:
    with place.started("serve", "--port", str(port := free_port())) as process:
        read_until(process, SERVING)
        assert get(port, "/health/live").status_code == 200
        assert get(port, "/health/ready").status_code == 503


def test_a_serving_process_carries_no_terminal_no_migrations_no_client_and_no_second_http_parser(
    tmp_path: Path,
) -> None:
    """Each would cost every worker memory and every start time."""
    place = Place(tmp_path, PYTHONPATH=":".join(sys.path))
    script = (
        "import sys\n"
        "from dashtam.cli.serve import _config\n"
        "import dashtam.cli\n"
        "_config(1).load()\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & {'rich', 'alembic', 'mako', 'httpx2', 'httpx', 'h11', 'websockets', 'pygments'}),"
        " [name for name in sys.modules if name.startswith('dashtam.journey')])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], env=place.environment, capture_output=True, text=True, check=False
    )
    assert found.stdout.strip() == "[] []", found.stderr
    assert SECRET not in found.stderr
