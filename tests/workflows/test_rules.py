"""Every workflow keeps to the rules; each rule finds the fault that is planted for it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.workflow import read, variants
from tests.workflows.rules import ROOT, faults

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CI = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
CHECKOUT = re.findall(r"actions/checkout@\S+", CI)[0]
TOOLS = Path(sys.executable).parent


def planted(old: str, new: str) -> str:
    """The real workflow with one fault."""
    assert old in CI
    return CI.replace(old, new, 1)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_keeps_to_the_rules(workflow: Path) -> None:
    assert faults(workflow.read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (CHECKOUT, "actions/checkout@v7", "actions/checkout@v7 is not pinned by a full commit hash"),
        (CHECKOUT, CHECKOUT[:-8], f"{CHECKOUT[:-8]} is not pinned by a full commit hash"),
        (
            f"{CHECKOUT} # v7.0.1",
            f"{CHECKOUT} # v7",
            f"{CHECKOUT} does not say its version, as in '# v1.2.3'",
        ),
        ("contents: read", "contents: write", "permissions are {'contents': 'write'}, not contents: read"),
        ("permissions:\n  contents: read\n", "", "permissions are None, not contents: read"),
        (
            "    timeout-minutes: 15\n",
            "    timeout-minutes: 15\n    permissions: write-all\n",
            "lint: has permissions of its own, write-all",
        ),
        (
            "  pull_request:",
            "  pull_request_target:",
            "pull_request_target runs strangers' changes with our rights",
        ),
        (
            "concurrency:",
            "x-concurrency:",
            "says nothing of runs that a newer push has made useless (concurrency)",
        ),
        ("needs: [lint, ", "needs: [", "required: does not need lint"),
        ("  required:\n", "  optional:\n", "has no job `required`"),
        (
            "    if: always()\n",
            "",
            "required: is skipped, and so passes, when what it needs fails: say `if: always()`",
        ),
        (
            "name: reports-python-${{ matrix.python }}-sqlite",
            "name: reports-sqlite",
            "sqlite: every python uploads an artefact of the same name, reports-sqlite",
        ),
        (
            "name: reports-python-${{ matrix.python }}-sqlite",
            "name: reports-python-${{ matrix.python }}-wheels",
            "installed: uploads reports-python-${{ matrix.python }}-wheels, and so does sqlite",
        ),
        (
            "    needs: [wheels]\n",
            "",
            "installed: downloads wheels without waiting for a job that makes it",
        ),
        ("    timeout-minutes: 15\n", "", "lint: has no timeout-minutes"),
        (
            "runs-on: ubuntu-24.04",
            "runs-on: ubuntu-latest",
            "lint: runs on ubuntu-latest, which is another machine some day",
        ),
        (
            '["3.11", "3.12", "3.13", "3.14"]',
            '["3.11", "3.14"]',
            "postgresql: runs on Python 3.11, 3.14; pyproject.toml promises 3.11, 3.12, 3.13, 3.14",
        ),
        (
            "persist-credentials: false",
            "fetch-depth: 0",
            "lint: leaves its token in the checkout: say `persist-credentials: false`",
        ),
        (
            "- run: make lint",
            "- run: echo ${{ github.head_ref }}",
            "lint: puts an expression into a command: echo ${{ github.head_ref }}",
        ),
        ("- run: make lint", "- run: make lnit", "lint: there is no verb lnit in the Makefile"),
        ("scripts/postgresql.sh", "scripts/postgres.sh", "postgresql: there is no scripts/postgres.sh"),
    ],
)
def test_a_fault_is_named(old: str, new: str, fault: str) -> None:
    assert fault in faults(planted(old, new))


def test_every_python_is_tested_with_every_postgresql() -> None:
    jobs = read(CI)["jobs"]
    rows = {(row["python"], row["postgres"]) for row in variants(jobs["postgresql"])}
    assert rows == {(f"3.{p}", str(v)) for p in range(11, 15) for v in range(14, 19)}
    assert [row["python"] for row in variants(jobs["sqlite"])] == ["3.11", "3.12", "3.13", "3.14"]


@pytest.mark.parametrize("installer", ["scripts/postgresql.sh", "docker/Dockerfile", ".ci/run"])
def test_what_tests_demand_in_ci_is_installed_there(installer: str) -> None:
    demanded = set(re.findall(r'installed\("(\w+)"\)', (ROOT / "tests/machines.py").read_text("utf-8")))
    assert demanded >= {"nginx", "pgbouncer"}
    text = (ROOT / installer).read_text("utf-8")
    assert [program for program in demanded if program not in text] == []


def test_jobs_that_require_postgresql_install_it() -> None:
    for name, job in read(CI)["jobs"].items():
        if "DASHTAM_REQUIRE_POSTGRES" in job.get("env", {}):
            commands = [step.get("run", "") for step in job["steps"]]
            assert any(each.startswith("scripts/postgresql.sh") for each in commands), name


def actionlint(file: Path) -> subprocess.CompletedProcess[str]:
    command = [str(TOOLS / "actionlint"), "-no-color", "-shellcheck", str(TOOLS / "shellcheck"), str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("needs: [wheels]", "needs: [weels]", 'needs job "weels"'),
        ("${{ matrix.python }}", "${{ matrix.pyhton }}", 'property "pyhton" is not defined'),
        ("- run: make lint", "- run: echo ${{ github.event.head_commit.message }}", "potentially untrusted"),
        ("- run: make lint", "- run: echo $HOME/*", "shellcheck reported issue"),
    ],
)
def test_actionlint_finds_what_is_its_business(tmp_path: Path, old: str, new: str, said: str) -> None:
    (tmp_path / "ci.yml").write_text(planted(old, new), "utf-8")
    done = actionlint(tmp_path / "ci.yml")
    assert done.returncode == 1
    assert said in done.stdout


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actionlint_finds_nothing_in_ours(workflow: Path) -> None:
    assert actionlint(workflow).stdout == ""
