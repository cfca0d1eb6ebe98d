"""doctor.md: its commands are run against a server, and what it shows and lists is what there is."""

import json
import re
import socket
from pathlib import Path

from dashtam.cli.exit_codes import ExitCode
from dashtam.doctor import LOCAL, REMOTE
from dashtam.doctor.check import Verdict
from dashtam.doctor.checkup import DEADLINE_SECONDS
from dashtam.doctor.report import MARKS
from tests.docs.reading import ROOT, codes, rows
from tests.docs.shell import Shell, commands

PAGE = "docs/doctor.md"
TEXT = (ROOT / PAGE).read_text("utf-8")


def test_the_commands_run_as_they_stand(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    both, inside, outside, named, machine = commands(PAGE)
    with Shell(
        tmp_path, {"PORT": port, "URL": f"http://127.0.0.1:{port}", "ALLOWED_HOSTS": "auth.example.org"}
    ) as shell:
        shell.run("dashtam migrate up; dashtam serve & until curl -sf -o out $URL/health; do sleep 0.1; done")
        assert "✓ The server answers" in shell.run(both)
        assert "server" not in shell.run(inside).splitlines()
        assert shell.run(outside, replace={"8000": port}).startswith("server\n")
        assert "✓ The server answers" in shell.run(named, replace={"8000": port})
        shell.run(machine)
        found = json.loads((tmp_path / "checkup.json").read_text("utf-8"))
    assert found["verdict"] == "ok"
    assert {*found, *found["checks"][0]} <= set(codes(TEXT.split("## From a monitor")[1]))


def test_the_verdicts_and_exit_codes_are_those_that_there_are() -> None:
    listed = {row[1].strip("`"): row[0] for row in rows(TEXT, "mark")}
    assert listed == {str(verdict): mark for verdict, mark in MARKS.items()}
    assert len(listed) == len(Verdict)
    ends = {int(row[0]) for row in rows(TEXT, "code")}
    assert ends == set(ExitCode) - {ExitCode.PORT_BUSY}


def test_the_checks_and_the_deadline_that_are_named_are_right() -> None:
    names = {*(check.name for check in LOCAL), *(check.name for check in REMOTE)}
    assert "proxy.client" in names & set(codes(TEXT))
    assert re.search(r"Each has (\d+) seconds", TEXT)[1] == f"{DEADLINE_SECONDS:g}"  # type: ignore[index]


def test_at_least_forty_checks_are_listed_once_each() -> None:
    page = (ROOT / "docs/reference/checks.md").read_text("utf-8")
    listed = re.findall(r"^\| `(.+?)` \|", page, re.MULTILINE)
    assert sorted(listed) == sorted([*(check.name for check in LOCAL), *(check.name for check in REMOTE)])
    assert len(listed) >= 40
