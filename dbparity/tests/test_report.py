"""`--dbparity-report`: one file that tells what was run and found, whatever became of the run."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import chain
from typing import Any

import pytest
from inner import project, report, run

from dbparity.plugin.report_html import element
from dbparity.veil import Veil

MIXED = """
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from shop import Customer, engine, register

def test_passes():
    register("Ann")

def test_fails():
    register("Bob <script>alert(1)</script>")
    assert "<b>" == "postgresql://app:hunter2@db/x"

@pytest.fixture
def broken():
    raise RuntimeError("no set-up")

def test_cannot_be_set_up(broken):
    pass

@pytest.mark.skip(reason="not here")
def test_is_skipped():
    pass

@pytest.mark.xfail(reason="known", strict=True)
def test_is_known_to_fail():
    assert False

@pytest.mark.ci_sensitive("the mailer <is> slow in CI")
def test_is_sensitive():
    register("Eve")
"""


@pytest.fixture
def mixed(pytester: pytest.Pytester) -> pytest.Pytester:
    project(pytester.path, f"sqlite:///{pytester.path}/shop.db", test_mixed=MIXED)
    return pytester


def test_the_report_tells_every_test_and_how_it_ended(mixed: pytest.Pytester) -> None:
    run(mixed, "--dbparity-report=json")
    document = report(mixed.path / "dbparity-report.json")

    assert {each["nodeid"].partition("::")[2]: each["outcome"] for each in document["tests"]} == {
        "test_passes": "passed",
        "test_fails": "failed",
        "test_cannot_be_set_up": "error",
        "test_is_skipped": "skipped",
        "test_is_known_to_fail": "xfailed",
        "test_is_sensitive": "passed",
    }
    assert document["totals"] == {"passed": 2, "failed": 1, "error": 1, "skipped": 1, "xfailed": 1}
    assert document["order"] == {"main": [each["nodeid"] for each in document["tests"]]}


def test_the_report_tells_the_conditions_of_the_run(mixed: pytest.Pytester) -> None:
    run(mixed, "--dbparity-report=json")
    document = report(mixed.path / "dbparity-report.json")
    told = document["run"]

    assert document["format"] == 1
    assert (told["schema"], told["isolation"], told["workers"], told["exit_status"]) == (
        "create",
        "savepoint",
        ["main"],
        1,
    )
    assert {"python", "pytest", "sqlalchemy", "dbparity"} <= told["versions"].keys()
    assert told["databases"]["main"]["backend"] == "sqlite"
    assert told["databases"]["main"]["name"] == str(mixed.path / "shop.db")
    assert {each["isolation"] for each in document["tests"] if each["outcome"] == "passed"} == {"savepoint"}


def test_a_failing_test_brings_its_reason_and_its_timeline(mixed: pytest.Pytester) -> None:
    run(mixed, "--dbparity-report=json")
    document = report(mixed.path / "dbparity-report.json")
    tests = {each["nodeid"].partition("::")[2]: each for each in document["tests"]}
    failed = tests["test_fails"]

    assert failed["failures"][0]["type"] == "builtins.AssertionError"
    assert failed["failures"][0]["at"].endswith("test_mixed.py:12")
    assert any("customers" in str(each) for each in failed["timeline"])
    assert any("schema" in each["title"] for each in failed["sections"])
    assert tests["test_passes"]["timeline"] == []
    assert any("customers" in str(each) for each in tests["test_is_sensitive"]["timeline"])


def test_every_timeline_is_in_it_where_all_are_asked_for(mixed: pytest.Pytester) -> None:
    run(mixed, "--dbparity-report=json:out/all.json", "--dbparity-timeline", "-k", "passes")
    tests = report(mixed.path / "out" / "all.json")["tests"]

    assert [bool(each["timeline"]) for each in tests] == [True]


def test_sensitive_tests_are_counted_with_their_reason(mixed: pytest.Pytester) -> None:
    result = run(mixed, "--dbparity-report=json", "-k", "sensitive or passes")
    tests = report(mixed.path / "dbparity-report.json")["tests"]

    result.stdout.fnmatch_lines(["*1 ci_sensitive test ran, validated in full*"])
    assert [each["ci_sensitive"] for each in tests] == [None, "the mailer <is> slow in CI"]


def test_sensitive_tests_are_counted_without_a_report_too(mixed: pytest.Pytester) -> None:
    result = run(mixed, "-k", "sensitive or passes")

    result.stdout.fnmatch_lines(["*1 ci_sensitive test ran, validated in full*"])


def test_a_detector_that_is_off_is_not_called_full_validation(pytester: pytest.Pytester) -> None:
    off = '[tool.dbparity.detectors]\nstale-read = "off"\n'
    project(pytester.path, f"sqlite:///{pytester.path}/shop.db", off, test_mixed=MIXED)
    result = run(pytester, "-k", "sensitive")

    result.stdout.fnmatch_lines(["*1 ci_sensitive test ran, without stale-read*"])


DROPS = """
import pytest
from sqlalchemy import text
from shop import engine, register

@pytest.mark.dbparity(isolation="clone")
@pytest.mark.ci_sensitive(reason="drops what others need")
def test_drops():
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE orders"))

@pytest.mark.ci_sensitive
def test_registers():
    assert register("Ann")
"""


def test_a_sensitive_test_that_ends_on_another_schema_is_reported(pytester: pytest.Pytester) -> None:
    project(pytester.path, f"sqlite:///{pytester.path}/shop.db", test_sensitive=DROPS)
    run(pytester, "--dbparity-report=json", "-k", "drops")
    dropped = [each for each in findings(pytester) if each["detector"] == "schema"]
    run(pytester, "--dbparity-report=json", "-k", "registers")

    assert len(dropped) == 1
    assert "test_sensitive.py::test_drops is ci_sensitive, and ends on a schema" in dropped[0]["message"]
    assert any("orders" in each for each in dropped[0]["evidence"])
    assert [each for each in findings(pytester) if each["detector"] == "schema"] == []


def findings(pytester: pytest.Pytester) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = report(pytester.path / "dbparity-report.json")["findings"]
    return found


class Page(HTMLParser):
    """What a browser would see: elements, and the text outside of `style`."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loaded: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loaded += [str(value) for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_loads_nothing_and_shows_what_failed_first(mixed: pytest.Pytester) -> None:
    run(mixed, "--dbparity-report=html")
    page = Page((mixed.path / "dbparity-report.html").read_text("utf-8"))

    assert page.loaded == []
    assert not {"script", "link", "img", "b"} & set(page.tags)
    assert "url(" not in page.text
    assert (
        page.text.index("test_fails") < page.text.index("test_is_sensitive") < page.text.index("test_passes")
    )
    assert "Bob <script>alert(1)</script>" in page.text
    assert "the mailer <is> slow in CI" in page.text


def test_no_password_gets_into_a_report(mixed: pytest.Pytester) -> None:
    run(mixed, "--dbparity-report=html", "--dbparity-report=json")
    written = [mixed.path / f"dbparity-report.{kind}" for kind in ("html", "json")]

    assert all("***@db/x" in each.read_text("utf-8") for each in written)
    assert not any("hunter2" in each.read_text("utf-8") for each in written)


def test_workers_bring_what_they_saw_to_one_report(mixed: pytest.Pytester) -> None:
    mixed.makepyfile(test_drops=DROPS)
    run(mixed, "--dbparity-report=json", "-n", "2", "--dist", "load")
    document = report(mixed.path / "dbparity-report.json")

    assert document["totals"] == {"passed": 4, "failed": 1, "error": 1, "skipped": 1, "xfailed": 1}
    assert sorted(document["run"]["workers"]) == ["gw0", "gw1"]
    assert sorted(chain(*document["order"].values())) == sorted(each["nodeid"] for each in document["tests"])
    assert all(each["nodeid"] in document["order"][each["worker"]] for each in document["tests"])
    failed = next(each for each in document["tests"] if each["outcome"] == "failed")
    assert any("customers" in str(each) for each in failed["timeline"])
    (dropped,) = [each for each in document["findings"] if each["detector"] == "schema"]
    assert (
        dropped in next(each for each in document["tests"] if each["nodeid"] == dropped["test"])["findings"]
    )


def test_a_worker_that_dies_does_not_take_the_report_with_it(pytester: pytest.Pytester) -> None:
    tests = (
        "import os\nfrom shop import register\ndef test_a(): register('A')\ndef test_dies(): os._exit(3)\n"
    )
    project(pytester.path, f"sqlite:///{pytester.path}/shop.db", test_dying=tests)
    run(pytester, "--dbparity-report=json", "-n", "1")
    tests_ = {
        each["nodeid"].partition("::")[2]: each
        for each in report(pytester.path / "dbparity-report.json")["tests"]
    }

    assert (tests_["test_a"]["outcome"], tests_["test_dies"]["outcome"]) == ("passed", "crashed")
    assert "crashed" in tests_["test_dies"]["failures"][0]["traceback"]


def test_a_run_that_is_stopped_is_reported_as_far_as_it_came(pytester: pytest.Pytester) -> None:
    tests = """
import pytest
from shop import register
def test_a(): register("A")
def test_b(): pytest.exit("enough", returncode=9)
"""
    project(pytester.path, f"sqlite:///{pytester.path}/shop.db", test_stopped=tests)
    run(pytester, "--dbparity-report=json")
    document = report(pytester.path / "dbparity-report.json")

    assert [each["outcome"] for each in document["tests"]] == ["passed", "unfinished"]
    assert (document["run"]["stopped"], document["run"]["exit_status"]) == ("enough", 9)


def test_a_schema_that_stops_the_run_is_in_the_report(pytester: pytest.Pytester) -> None:
    project(pytester.path, f"sqlite:///{pytester.path}/shop.db", test_a="def test_a(): pass\n")
    run(pytester, "--dbparity-report=json", "--dbparity-schema=verify")
    document = report(pytester.path / "dbparity-report.json")

    assert document["tests"] == []
    assert "nothing was run" in document["run"]["stopped"]


def test_a_file_that_cannot_be_imported_is_in_the_report(pytester: pytest.Pytester) -> None:
    project(pytester.path, f"sqlite:///{pytester.path}/shop.db", test_a="import no_such_module\n")
    run(pytester, "--dbparity-report=json", "--dbparity-report=html")
    (missing,) = report(pytester.path / "dbparity-report.json")["not_collected"]

    assert missing["nodeid"] == "test_a.py"
    assert "no_such_module" in missing["traceback"]
    assert "no_such_module" in (pytester.path / "dbparity-report.html").read_text("utf-8")


def test_another_kind_of_report_is_refused(mixed: pytest.Pytester) -> None:
    result = run(mixed, "--dbparity-report=xml")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--dbparity-report=xml: write html or json*"])


def test_a_report_that_cannot_be_written_is_said_and_fails_nothing(mixed: pytest.Pytester) -> None:
    (mixed.path / "taken").write_text("")
    result = run(mixed, "--dbparity-report=json:taken/report.json", "-k", "passes")

    assert result.ret == 0
    result.stdout.fnmatch_lines(["*the report could not be written*taken*"])


@pytest.mark.parametrize(
    "text",
    [
        "postgresql+asyncpg://app:{}@db.example:5432/app",
        "could not connect to 'postgresql://app:{}@db/app?x=1'",
        "PGPASSWORD={} psql",
        "host=db password={} user=app",
        "connect(password='{}')",
        "assert '' == 'postgresql:/...:{}@db/x'",
        '{{"password": "{}"}}',
    ],
)
def test_a_password_is_hidden_wherever_its_shape_tells_it(text: str) -> None:
    veiled = Veil().over(text.format("s3cret"))

    assert "s3cret" not in veiled
    assert "***" in veiled


def test_the_configured_password_is_hidden_in_any_sentence() -> None:
    veil = Veil(["postgresql://app:correct%20horse@db/app"])

    assert veil.over({"a": ["it was correct horse", "or correct%20horse"]}) == {"a": ["it was ***", "or ***"]}


@pytest.mark.parametrize(
    "text", ["def log_in(password: str)", "https://example.com:8000/a", "the password is wrong"]
)
def test_what_is_no_password_stays_readable(text: str) -> None:
    assert Veil().over(text) == text


def test_an_element_escapes_what_is_no_element() -> None:
    made = element("p", "<i>", element("b", "&"), title='"')

    assert re.sub(r"\s+", "", made) == '<ptitle="&quot;">&lt;i&gt;<b>&amp;</b></p>'
