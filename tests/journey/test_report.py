"""Every form of report tells the same journey, is well-formed, and carries nothing that could run or leak."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from dashtam.journey import HttpMailbox, Result, StepEnded, StepStarted, play
from dashtam.journey.checklist import Checklist
from dashtam.journey.page import as_html
from dashtam.journey.report import as_json, as_junit
from tests.journey.toy import Toy

NASTY = "<script>alert(1)</script> & \x00\x1b[31m ]]> ünï"


async def journey(*faults: str) -> Result:
    toy = Toy(*faults)
    async with toy.client() as client:
        return await play(client, HttpMailbox(client), patience=0.02)


@pytest.fixture
async def sound() -> Result:
    return await journey()


@pytest.fixture
async def forked() -> Result:
    return await journey("fork")


@pytest.fixture
def nasty(forked: Result) -> Result:
    """A failure in which the server's words are hostile."""
    assert forked.failure
    assert forked.failure.exchange
    exchange = replace(forked.failure.exchange, response_body=NASTY, response_headers=(("x", NASTY),))
    failure = replace(forked.failure, saw=NASTY, diagnosis=NASTY, exchange=exchange)
    return replace(forked, failure=failure, base_url=f"http://{NASTY}")


def slowed(result: Result) -> Result:
    first, *rest = result.steps
    return replace(result, steps=(replace(first, ms=first.budget_ms + 1.0), *rest))


def printed(result: Result, *, encoding: str = "utf-8", terminal: bool = False) -> str:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    with Checklist(Console(file=out, width=120, force_terminal=terminal)) as checklist:
        for step in result.steps:
            if step.status != "skipped":
                checklist(StepStarted(step.number, step.name))
                checklist(StepEnded(step))
    checklist.show_result(result)
    out.flush()
    return raw.getvalue().decode(encoding)


# JSON


def test_json_holds_the_18_steps_and_the_verdict(sound: Result):
    document = json.loads(as_json(sound))
    assert (document["passed"], document["score"], document["failure"]) == (True, "18/18", None)
    assert [step["number"] for step in document["steps"]] == list(range(1, 19))
    assert document["clean_up"]["left_behind"] is None


def test_json_tells_the_failing_step_with_its_exchange_and_hint(forked: Result):
    document = json.loads(as_json(forked))
    assert document["passed"] is False
    assert document["failure"]["number"] == 8
    assert document["failure"]["hint"]
    assert document["failure"]["exchange"]["request_line"].endswith("/auth/refresh")
    assert [step["status"] for step in document["steps"]][7:9] == ["failed", "skipped"]


def test_json_marks_a_slow_step_as_passed_and_slow(sound: Result):
    step = json.loads(as_json(slowed(sound)))["steps"][0]
    assert (step["status"], step["slow"]) == ("passed", True)
    assert json.loads(as_json(sound))["steps"][0]["slow"] is False


# JUnit


def test_junit_has_one_case_a_step(sound: Result):
    suite = ET.fromstring(as_junit(sound)).find("testsuite")  # noqa: S314 - our own document
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors"), suite.get("skipped")) == (
        "18",
        "0",
        "0",
        "0",
    )
    assert [case.get("name", "")[:2] for case in suite.findall("testcase")] == [
        f"{n:02}" for n in range(1, 19)
    ]


def test_junit_counts_a_failure_and_skips_what_was_not_reached(forked: Result):
    suite = ET.fromstring(as_junit(forked)).find("testsuite")  # noqa: S314 - our own document
    assert suite is not None
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("1", "0", "10")
    cases = suite.findall("testcase")
    assert [case.find("skipped") is not None for case in cases] == [False] * 8 + [True] * 10
    verdict = cases[7].find("failure")
    assert verdict is not None
    assert "a fork" in verdict.get("message", "")
    assert "Hint:" in (verdict.text or "")


def test_junit_calls_an_unreachable_server_an_error(forked: Result):
    assert forked.failure
    gone = replace(forked, failure=replace(forked.failure, unreachable=True))
    suite = ET.fromstring(as_junit(gone)).find("testsuite")  # noqa: S314 - our own document
    assert suite is not None
    assert (suite.get("failures"), suite.get("errors")) == ("0", "1")


def test_junit_fails_a_journey_that_left_its_account_behind(sound: Result):
    left = replace(sound, clean_up=replace(sound.clean_up, left_behind=sound.address))
    suite = ET.fromstring(as_junit(left)).find("testsuite")  # noqa: S314 - our own document
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("19", "1")
    assert suite.findall("testcase")[-1].get("name") == "clean-up"


def test_junit_survives_whatever_the_server_said(nasty: Result):
    text = as_junit(nasty)
    tree = ET.fromstring(text)  # noqa: S314 - our own document
    verdict = tree.find(".//failure")
    assert verdict is not None
    assert "<script>alert(1)</script> & \ufffd\ufffd[31m ]]> ünï" in (verdict.text or "")
    assert "\x1b" not in text


# HTML


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def tags(page: str) -> list[tuple[str, dict[str, str | None]]]:
    parser = Tags()
    parser.feed(page)
    return parser.found


def test_the_page_shows_every_step(sound: Result):
    page = as_html(sound)
    assert "18/18 passed" in page
    assert all(f"<td>{step.name}" in page for step in sound.steps)


def test_the_page_of_a_failed_journey_says_so_first(forked: Result):
    page = as_html(forked)
    assert "Failed, 7/18 passed" in page
    assert page.index("Failed, 7/18 passed") < page.index("Step 8, replay the spent refresh token, failed")


def test_the_page_needs_nothing_from_anywhere_and_runs_nothing(nasty: Result):
    found = tags(as_html(nasty))
    assert "table" in {tag for tag, _ in found}
    assert {tag for tag, _ in found} & {"script", "link", "img", "iframe", "object", "form"} == set()
    names = {name for _, attributes in found for name in attributes}
    assert not names & {"src", "href", "style", "srcset", "action"}
    assert not [name for name in names if name.startswith("on")]
    assert "url(" not in as_html(nasty)


def test_the_page_escapes_the_servers_words(nasty: Result):
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp;" in as_html(nasty)


# Terminal


def test_the_checklist_prints_a_line_a_step_where_there_is_no_terminal(sound: Result):
    lines = printed(sound).splitlines()
    assert len(lines) == 20
    assert [line.split()[:2] for line in lines[:18]] == [[str(n), "✓"] for n in range(1, 19)]
    assert lines[18].startswith("18/18")
    assert "is removed" in lines[19]


def test_the_checklist_shows_all_steps_on_a_terminal(forked: Result):
    text = printed(forked, terminal=True)
    assert "✗" in text
    assert "both tokens of that login are refused" in text
    assert "7/18" in text


def test_the_checklist_says_slow_and_the_budget(sound: Result):
    assert f"slow, budget {sound.steps[0].budget_ms} ms" in printed(slowed(sound))
    assert "slow" not in printed(replace(sound, steps=tuple(replace(step, ms=1.0) for step in sound.steps)))


def test_the_checklist_writes_in_ascii_where_nothing_else_can_be_shown(nasty: Result):
    text = printed(nasty, encoding="ascii")
    assert "FAILED" in text
    assert "Step 8" in text


def test_the_checklist_takes_the_servers_words_literally(forked: Result):
    assert forked.failure
    marked = replace(forked, failure=replace(forked.failure, saw="[red]not markup[/nonsense]"))
    assert "[red]not markup[/nonsense]" in printed(marked)


def test_the_checklist_lets_no_control_character_through(nasty: Result):
    assert "\x1b" not in printed(nasty)


def test_only_the_checklist_loads_rich():
    program = (
        "import sys, dashtam.journey, dashtam.journey.report, dashtam.journey.page, dashtam.journey.checks\n"
        "sys.exit(any(name.split('.')[0] == 'rich' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
    planted = f"import dashtam.journey.checklist\n{program}"
    assert subprocess.run([sys.executable, "-c", planted], check=False).returncode == 1
