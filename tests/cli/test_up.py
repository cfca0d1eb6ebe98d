"""`dashtam up`: from an empty folder to 18/18 and a server that goes on; and every way it can end."""

import os
import signal
import subprocess
import time
from pathlib import Path

import httpx2
import pytest

from tests.cli.running import Place, accepts, free_port, output, read_until

LAST_LINE = "Ctrl-C stops the server."


def test_it_migrates_serves_plays_18_of_18_and_goes_on_until_it_is_stopped(any_place: Place) -> None:
    port = free_port()
    with any_place.started("up", "--port", str(port)) as up:
        said = read_until(up, LAST_LINE)
        for line in (
            "Ran 0001. The schema is at revision 0001",
            f"API      http://127.0.0.1:{port}\n",
            f"Docs     http://127.0.0.1:{port}/docs\n",
            f"Mailbox  http://127.0.0.1:{port}/dev/mailbox\n",
            "Journey  18/18\n",
        ):
            assert line in said
        answer = httpx2.get(f"http://127.0.0.1:{port}/health", trust_env=False)
        assert answer.json()["status"] == "healthy"
        up.send_signal(signal.SIGTERM)
        assert up.wait(30) == 0
    assert not accepts(port)


def test_without_a_terminal_each_step_is_a_line_of_its_own_without_escape_codes(place: Place) -> None:
    with place.started("up", "--port", str(free_port())) as up:
        said = read_until(up, LAST_LINE)
    steps = [line for line in said.splitlines() if line.rstrip().endswith(" ms")]
    assert len(steps) == 18
    assert "\x1b" not in said


def test_links_in_mail_lead_to_the_port_that_was_chosen(place: Place) -> None:
    port = free_port()
    with place.started("up", "--port", str(port)) as up:
        read_until(up, LAST_LINE)
        mails = "".join(path.read_text(errors="replace") for path in Path(place.folder).rglob("mailbox/*/*"))
    assert f"http://127.0.0.1:{port}/verify-email#" in mails.replace("=\n", "")


def test_ctrl_c_reaches_the_server_once_and_it_ends_in_good_order(place: Place) -> None:
    with place.started("up", "--port", str(free_port())) as up:
        read_until(up, LAST_LINE)
        up.send_signal(signal.SIGINT)
        rest = output(up).read()
        assert up.wait(30) == 0
    assert "Application shutdown complete." in rest
    assert "Traceback" not in rest


def test_a_busy_port_is_named_before_anything_is_migrated(place: Place) -> None:
    with place.started("up", "--port", str(port := free_port())) as first:
        read_until(first, LAST_LINE)
        second = Place(place.folder / "second")
        second.folder.mkdir()
        busy = second.run("up", "--port", str(port))
    assert busy.returncode == 4
    assert f"Port {port} is in use by another program" in busy.stderr
    assert f"`dashtam up --port {port + 1}`" in busy.stderr
    assert list(second.folder.rglob("*.db")) == []


def test_killing_it_outright_ends_the_server_too(place: Place) -> None:
    port = free_port()
    with place.started("up", "--port", str(port)) as up:
        read_until(up, LAST_LINE)
        child = only_child(up)
        up.kill()
        up.wait()
        wait_until_gone(child)
    assert not accepts(port)


def test_a_failed_journey_is_explained_and_the_server_is_stopped(place: Place) -> None:
    """The fault: a login limit so low that the second try of the journey is refused."""
    port = free_port()
    failed = place.run("up", "--port", str(port), RATE_LOGIN_PER_SOURCE="1/1h", RATE_LOGIN_PER_ACCOUNT="1/1h")
    assert failed.returncode == 1
    assert "failed." in failed.stdout
    assert "429" in failed.stdout
    assert "18/18" not in failed.stdout
    assert "The journey failed, so the server was stopped." in failed.stderr
    assert not accepts(port)


def test_a_server_that_dies_before_it_is_ready_is_reported_with_what_it_said(place: Place) -> None:
    with place.started("up", "--port", str(free_port())) as up:
        read_until(up, "Ran 0001")
        os.kill(only_child(up), signal.SIGKILL)
        said = output(up).read()
        assert up.wait(30) == 1
    assert "The server ended before it was ready, with exit code 137" in said


def test_stopped_during_the_journey_it_stops_the_server_and_says_so(place: Place) -> None:
    with place.started("up", "--port", str(port := free_port())) as up:
        read_until(up, "The journey:")
        up.send_signal(signal.SIGTERM)
        said = output(up).read()
        assert up.wait(30) == 1
    assert "Stopped before the journey was over." in said
    assert not accepts(port)


def test_mail_that_the_journey_could_not_read_is_refused_up_front(place: Place) -> None:
    refused = place.run(
        "up", "--port", str(free_port()), MAIL_TRANSPORT="smtp", SMTP_URL="smtp://127.0.0.1:9"
    )
    assert refused.returncode == 2
    assert "SMOKE_TOKEN is not set" in refused.stderr
    assert not (place.folder / "var" / "dashtam.db").exists()


def only_child(parent: "subprocess.Popen[str]") -> int:
    """The process it started, as soon as there is one."""
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    if not children.exists():
        pytest.skip("this system does not list the children of a process")
    while parent.poll() is None:
        if found := children.read_text().split():
            return int(found[0])
    raise AssertionError(f"it ended with {parent.returncode} before it started a server")


def wait_until_gone(pid: int) -> None:
    until = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < until, "the server lives on"
