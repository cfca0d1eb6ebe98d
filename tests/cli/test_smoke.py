"""`dashtam smoke`: against a server, against none, against another; and what it writes."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from tests.cli.running import SERVING, Place, free_port, read_until

TOKEN = "vB3n-9xQe_Tz7LrWk2Fy8HsJd5Gm1PcUa4Oi"


def test_it_plays_18_of_18_and_writes_every_report(serving: tuple[Place, str], tmp_path: Path) -> None:
    place, url = serving
    reports = {kind: tmp_path / f"journey.{kind}" for kind in ("json", "junit", "html")}
    options = [word for kind, path in reports.items() for word in (f"--{kind}", str(path))]
    played = place.run("smoke", url, *options)
    assert played.returncode == 0, played.stdout + played.stderr
    assert "18/18" in played.stdout
    assert json.loads(reports["json"].read_text())["passed"] is True
    assert 'tests="18"' in reports["junit"].read_text()
    assert "18/18" in reports["html"].read_text()


def test_json_for_a_pipe_leaves_standard_output_to_the_program(serving: tuple[Place, str]) -> None:
    place, url = serving
    played = place.run("smoke", url + "/", "--json", "-")
    assert played.returncode == 0
    assert json.loads(played.stdout)["score"] == "18/18"
    assert "register" in played.stderr


def test_nothing_that_answers_is_3_and_says_how_to_start_a_server(place: Place) -> None:
    port = free_port()
    missed = place.run("smoke", f"http://127.0.0.1:{port}")
    assert missed.returncode == 3
    assert f"Nothing answers at http://127.0.0.1:{port}" in missed.stdout
    assert "`dashtam up`" in missed.stdout


def test_another_server_is_1_and_recognised(place: Place) -> None:
    with HTTPServer(("127.0.0.1", 0), NotFound) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        met = place.run("smoke", f"http://127.0.0.1:{other.server_port}")
        other.shutdown()
    assert met.returncode == 1
    assert "no Dashtam API" in met.stdout


class NotFound(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


def test_what_cannot_be_an_address_or_a_report_is_refused_before_it_starts(place: Place) -> None:
    for arguments in (
        ("smoke", "example.org"),
        ("smoke", "ftp://example.org"),
        ("smoke", "http://127.0.0.1:99999"),
        ("smoke", "--html", str(place.folder / "missing" / "x.html")),
    ):
        refused = place.run(*arguments)
        assert refused.returncode == 2, arguments
        assert refused.stdout == ""
        assert refused.stderr


def test_with_a_smoke_token_mail_is_read_back_without_a_mailbox(place: Place) -> None:
    """As against production: the token comes from the environment, by the name given."""
    place.run("migrate", "up")
    port = free_port()
    server = {"SMOKE_TOKEN": TOKEN, "MAIL_TRANSPORT": "smtp", "SMTP_URL": "smtp://127.0.0.1:9"}
    with place.started("serve", "--port", str(port), **server) as process:
        read_until(process, SERVING)
        url = f"http://127.0.0.1:{port}"
        played = place.run("smoke", url, "--smoke-token", "PRODUCTION_TOKEN", PRODUCTION_TOKEN=TOKEN)
        without = place.run("smoke", url)
    assert played.returncode == 0, played.stdout
    assert TOKEN not in played.stdout
    assert without.returncode == 1
    assert "Step 2" in without.stdout
