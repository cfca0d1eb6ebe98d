"""What the pages say is what the code does: their tables, commands, options, links and numbers."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from pages import EXAMPLES, PAGES, ROOT, anchors, blocks, commands, keys, links, name, page, rows, sentences
from proposed import proposed

from dbparity import cli
from dbparity.config import Config, InUse, IsolationMode, Strictness, load
from dbparity.crosscheck.causes import RULES
from dbparity.crosscheck.runs import NO_TESTS
from dbparity.isolation.clone import KEPT_MOST
from dbparity.isolation.drivers import LOCK_SECONDS
from dbparity.isolation.slate import SEEDS_MOST
from dbparity.plugin import fixtures, pytest_addoption
from dbparity.plugin.databases import VERDICTS_MOST
from dbparity.plugin.report_format import FORMAT, Document
from dbparity.plugin.stop import EXIT_CODE
from dbparity.provision.patience import Patience
from dbparity.provision.workspace import HOME
from dbparity.schema.command import CODES, UNREACHED, USAGE
from dbparity.sessions.recording import KEPT
from dbparity.sessions.timeline_text import LAST, LINES

if TYPE_CHECKING:
    from pathlib import Path

NOT_KEYS = {"root", "configured", "guesses"}
AS_FIXTURES = ("metadata", "database_url", "migrations", "sessionmaker", "schema", "isolation")
WAYS = 19


def options() -> set[str]:
    """What pytest takes from the plugin."""
    parser = pytest.Parser(_ispytest=True)
    pytest_addoption(parser)
    return {word for option in parser.getgroup("dbparity").options for word in option.names()}


def leads_nowhere(place: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = (place.parent / path).resolve() if path else place
    if not target.exists() or not target.is_relative_to(ROOT):
        return True
    return bool(anchor) and anchor not in anchors(target.read_text("utf-8"))


@pytest.mark.parametrize("place", PAGES, ids=name)
def test_links_lead_somewhere(place: Path) -> None:
    found = [link for link in links(place.read_text("utf-8")) if not urlsplit(link).scheme]
    assert [link for link in found if leads_nowhere(place, link)] == []


def test_a_broken_link_is_found() -> None:
    assert leads_nowhere(ROOT / "README.md", "docs/nowhere.md")
    assert leads_nowhere(ROOT / "README.md", "docs/schema.md#nothing")
    assert not leads_nowhere(ROOT / "README.md", "docs/schema.md#the-verdict")


def test_the_readme_leads_to_every_page_and_every_example_is_listed() -> None:
    from_readme = {link.partition("#")[0] for link in links((ROOT / "README.md").read_text("utf-8"))}
    assert from_readme >= {name(place) for place in PAGES if place.name != "README.md"} | {
        "examples/README.md"
    }
    listed = keys((EXAMPLES / "README.md").read_text("utf-8"), "folder")
    assert set(listed) == {each.name for each in EXAMPLES.iterdir() if (each / "pyproject.toml").exists()}


@pytest.mark.parametrize("place", PAGES, ids=name)
def test_commands_and_their_options_exist(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in commands(place.read_text("utf-8")):
        words = command.split(" -- ")[0].split()
        assert words[1] in cli.COMMANDS, command
        cli.main([words[1], "--help"])
        known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, command


def test_every_command_has_its_page() -> None:
    shown = {command.split()[1] for place in PAGES for command in commands(place.read_text("utf-8"))}
    assert shown == set(cli.COMMANDS)


def test_the_options_of_pytest_are_those_of_the_table_and_no_others_are_named() -> None:
    assert {key.partition("=")[0] for key in keys(page("configuration.md"), "option")} == options()
    for place in PAGES:
        named = set(re.findall(r"--dbparity-[a-z]+", place.read_text("utf-8")))
        assert named <= options(), place


def test_the_keys_of_the_configuration() -> None:
    known = {each.name for each in fields(Config)} - NOT_KEYS
    assert set(keys(page("configuration.md"), "key")) == known
    assert "first six keys is also a fixture" in sentences("configuration.md")
    assert tuple(keys(page("configuration.md"), "key")[: len(AS_FIXTURES)]) == AS_FIXTURES


def test_the_defaults_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.dbparity]\n")
    config, said = load(tmp_path), {row[0]: row[2] for row in rows(page("configuration.md"), "key")}
    assert said["`isolation`"] == f"`{config.isolation}`"
    assert said["`in_use`"] == f"`{config.in_use}`"
    assert said["`schema`"] == "`migrate` where there are migrations, else `create`"
    assert config.schema == "create"


def test_the_fixtures() -> None:
    public = {each for each in fixtures.__all__ if not each.startswith("_")}
    listed = keys(page("configuration.md"), "fixture")
    assert public == {*listed, *(f"dbparity_{key}" for key in AS_FIXTURES)}


def test_the_verdicts_and_their_exit_codes() -> None:
    told = {row[0].strip("`"): int(row[2]) for row in rows(page("schema.md"), "verdict")}
    assert told == {str(verdict): code for verdict, code in CODES.items()}
    assert f"{USAGE} is for a command or configuration that is wrong, {UNREACHED} for a database" in page(
        "schema.md"
    )
    assert f"{len(CODES)} verdicts, {WAYS} known ways" in (ROOT / "README.md").read_text("utf-8")


def test_the_detectors_and_what_they_do_by_themselves() -> None:
    told = {
        row[0].strip("`"): set(re.findall(r"`(off|warn|fail)`", row[1]))
        for row in rows(page("sessions.md"), "detector")
    }
    assert told == proposed()


def test_every_detector_that_a_block_of_configuration_names_exists() -> None:
    for place in PAGES:
        for block in configuration(place):
            named = re.findall(rf'^([a-z-]+) = "(?:{"|".join(Strictness)})"$', block, re.MULTILINE)
            assert set(named) <= set(proposed()), place


def configuration(place: Path) -> list[str]:
    """The page's blocks for pyproject.toml; the contract of environments is a file of its own."""
    return [block for block in blocks(place.read_text("utf-8"), "toml") if "[tool." in block]


@pytest.mark.parametrize("place", PAGES, ids=name)
def test_blocks_of_configuration_load(place: Path, tmp_path: Path) -> None:
    for block in configuration(place):
        (tmp_path / "pyproject.toml").write_text(block)
        assert load(tmp_path).configured


def test_the_choices_of_isolation_and_of_a_database_in_use() -> None:
    assert keys(page("two-runs.md").replace("| | |", "| choice | |"), "choice") == [
        f'"{each}"' for each in InUse
    ]
    assert (
        {"savepoint", "delete", "clone"}
        == {str(each) for each in IsolationMode}
        <= anchors(page("isolation.md"))
    )


def test_the_causes_of_a_crosscheck_and_the_keys_of_a_report() -> None:
    causes = {rule.__name__.replace("_", "-") for rule in RULES}
    assert set(keys(page("crosscheck.md"), "cause")) == causes
    assert set(keys(page("crosscheck.md"), "key")) == set(Document.__annotations__)
    assert f"`format`, now {FORMAT}" in sentences("crosscheck.md")
    assert f"{NO_TESTS}: no test ran" in sentences("crosscheck.md")


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ("isolation.md", f"at most {KEPT_MOST} for each process"),
        ("isolation.md", f"up to {SEEDS_MOST:,} a table"),
        ("isolation.md", f"waited for {LOCK_SECONDS} seconds on PostgreSQL"),
        ("isolation.md", f"`${HOME}`"),
        ("timeline.md", f"room for {LINES} lines"),
        ("timeline.md", f"last {KEPT:,} entries"),
        ("schema.md", f"ended after {Patience.table:.0f} s"),
        ("schema.md", f"ends with exit code {EXIT_CODE}"),
        ("schema.md", f"for the first {VERDICTS_MOST} that fail"),
        ("two-runs.md", f"ends with exit code {EXIT_CODE}"),
    ],
)
def test_numbers_are_those_of_the_code(named: str, sentence: str) -> None:
    assert sentence in sentences(named)


def test_half_an_hour_and_ten_entries() -> None:
    assert Patience.run == 30 * 60
    assert "half an hour" in sentences("two-runs.md")
    assert LAST == 10
    assert "the last ten entries" in sentences("timeline.md")
