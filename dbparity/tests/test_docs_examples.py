"""The Python that the pages show runs as it stands: by itself, or in a copy of the example that it is about."""

from __future__ import annotations

import re
import shutil
import sys
from typing import TYPE_CHECKING

import pytest
from pages import EXAMPLES, PAGES, blocks, name
from pages import page as text_of

from dbparity.schema.command import CODES
from dbparity.schema.report import Verdict

if TYPE_CHECKING:
    from pathlib import Path

ALONE = "alone"
CONFTEST = "conftest"
ELSEWHERE = "elsewhere"
"""Run by the test of that page."""
SHOP, NOTES, LEDGER = "sync_sqlmodel", "async_fastapi", "plain_sqlalchemy"

SHOWN = {
    "README.md": [SHOP],
    "docs/committed.md": [LEDGER],
    "docs/configuration.md": [CONFTEST],
    "docs/crosscheck.md": [LEDGER],
    "docs/environments.md": [ELSEWHERE],
    "docs/isolation.md": [LEDGER, LEDGER],
    "docs/planning.md": [ELSEWHERE],
    "docs/private-postgres.md": [ALONE, CONFTEST],
    "docs/schema.md": [ALONE],
    "docs/start.md": [SHOP, NOTES],
    "docs/what-rollback-hides.md": [LEDGER],
}
"""What each block of each page is: code that runs by itself, a conftest, or tests of one of the examples."""

SERVER = """
import pytest
from dbparity.testing.postgres import PrivateCluster


@pytest.fixture(scope="session")
def server():
    with PrivateCluster() as cluster:
        yield cluster
"""

ASKING = """
from ledger import open_account

def test_of_the_database(db_session, committed):
    open_account(db_session, "ada")
    db_session.commit()
    committed.assert_state(accounts=1)

def test_of_none():
    pass
"""

QUIET = (
    "-p", "no:randomly", "-p", "no:schemathesis", "-p", "no:hypothesispytest", "-p", "no:cacheprovider",
    "-W", "error", "-o", "asyncio_default_fixture_loop_scope=function",
)  # fmt: skip
"""A run without plugins that the examples do not need, in which a warning is a failure."""
TEST = re.compile(r"^(?:async )?def (test_\w+)", re.MULTILINE)
CASES = [(page, number, kind) for page, kinds in SHOWN.items() for number, kind in enumerate(kinds)]


def shown(page: str, number: int) -> str:
    return blocks((EXAMPLES.parent / page).read_text("utf-8"), "python")[number]


def those_of(*kinds: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("page", "number", "kind"), [case for case in CASES if case[2] in kinds], ids=str
    )


def copied(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, example: str) -> Path:
    """A copy of an example, where `pytest` is run next."""
    shutil.copytree(
        EXAMPLES / example, pytester.path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.db")
    )
    monkeypatch.setenv("DBPARITY_HOME", str(pytester.path / "home"))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    return pytester.path


def test_every_block_is_run() -> None:
    counted = {name(page): len(blocks(page.read_text("utf-8"), "python")) for page in PAGES}
    assert {page: count for page, count in counted.items() if count} == {
        page: len(kinds) for page, kinds in SHOWN.items()
    }


@those_of(ALONE)
@pytest.mark.usefixtures("cluster")
def test_a_block_runs_by_itself(page: str, number: int, kind: str) -> None:
    exec(compile(shown(page, number), page, "exec"), {})  # noqa: S102 - our own pages


@pytest.mark.parametrize("example", [SHOP, NOTES, LEDGER])
def test_tests_of_an_example_pass_beside_its_own(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, example: str
) -> None:
    folder = copied(pytester, monkeypatch, example)
    own = next((folder / "tests").glob("test_*.py")).read_text("utf-8")
    written = [own]
    for page, number in [(page, number) for page, number, kind in CASES if kind == example]:
        block = shown(page, number)
        if not block.startswith("import "):
            block = f"{own}\n\n{block}"  # it uses that file's imports and fixtures
        written.append(block)
        (folder / "tests" / f"test_shown_{len(written)}.py").write_text(block, "utf-8")
    tests = sum(len(set(TEST.findall(each))) for each in written)
    assert pytester.runpytest_subprocess(*QUIET).parseoutcomes() == {"passed": tests}


def test_a_first_run_says_what_the_readme_shows(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied(pytester, monkeypatch, SHOP)
    console = "".join(blocks((EXAMPLES.parent / "README.md").read_text("utf-8"), "console"))
    lines = [line for line in console.splitlines() if line.startswith("dbparity: ")]
    assert len(lines) == 3
    said = pytester.runpytest_subprocess(*QUIET).stdout
    said.fnmatch_lines(
        [re.sub(r"in [\d.]+ s", "in * s", line.replace("/home/ada/shop", "*")) for line in lines]
    )


def test_a_stamped_empty_database_is_told_as_the_page_shows(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied(pytester, monkeypatch, SHOP)
    monkeypatch.setenv("DATABASE_URL", "sqlite:///shop_test.db")
    assert pytester.run(sys.executable, "-m", "alembic", "stamp", "head").ret == 0
    told = pytester.run(sys.executable, "-m", "dbparity.cli", "schema")
    command, *report = blocks(text_of("schema.md"), "console")[0].splitlines()
    assert command == "$ dbparity schema"
    assert told.outlines == report
    assert told.ret == CODES[Verdict.STAMPED_BUT_EMPTY]


@those_of(CONFTEST)
@pytest.mark.usefixtures("cluster")  # skips where there is no PostgreSQL
def test_a_conftest_gives_the_tests_their_database(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, page: str, number: int, kind: str
) -> None:
    del kind
    folder, block = copied(pytester, monkeypatch, LEDGER), shown(page, number)
    configured = (folder / "pyproject.toml").read_text("utf-8")
    (folder / "pyproject.toml").write_text(
        re.sub(r"^database_url = .*\n", "", configured, flags=re.MULTILINE)
    )
    (folder / "conftest.py").write_text(f"{SERVER}\n\n{block}", "utf-8")
    (folder / "tests" / "test_ledger.py").write_text(ASKING, "utf-8")
    databases = 2 if "params" in block else 1
    assert pytester.runpytest_subprocess(*QUIET).parseoutcomes() == {"passed": databases + 1}
