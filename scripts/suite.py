"""Runs the whole suite with branch coverage, and holds the gate on what it measured.

`run` measures and remembers what it measured: a fingerprint of the code and the tests. `gate` reports on that
measurement while the fingerprint still stands and runs the suite first when it does not, so that `make test`
followed by `make check` runs every test once. `plain` runs the suite unmeasured, as in a container.
"""

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Not ".coverage.something": that is how coverage names the parts it combines.
STAMP = ROOT / ".coverage-stamp"
MEASURED = (
    *("src", "dbparity", "tests", "benchmarks", "scripts", "docs"),
    *("env", "requirements", "compose", "docker", ".github"),
)
# The package's own tests start pytest runs with its plugin, and run without it: dbparity/pyproject.toml.
SUITES = (["dbparity/tests"], ["tests"])
# Where a run in CI leaves what somebody may want to look at afterwards.
REPORTS = ROOT / "reports"
MADE = frozenset({"__pycache__", ".hypothesis", ".pytest_cache", ".mypy_cache", ".ruff_cache", "dist"})


def fingerprint() -> str:
    """Changes whenever a file changes that the tests run, read or are."""
    found = [ROOT / "pyproject.toml", ROOT / "Makefile", *ROOT.glob("*.md")]
    found += [path for folder in MEASURED for path in (ROOT / folder).rglob("*") if path.is_file()]
    whole = hashlib.sha256(sys.version.encode())
    for path in sorted(path for path in found if MADE.isdisjoint(path.parts)):
        whole.update(f"{path.relative_to(ROOT)}\0".encode())
        whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def python(*arguments: str) -> int:
    """Run a module of this Python in the root of the tree, where the settings are; its exit code."""
    return subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, check=False).returncode


def coverage(*arguments: str) -> int:
    """Run one command of coverage."""
    return python("coverage", *arguments)


def reports(suite: list[str]) -> list[str]:
    """The options by which a run in CI leaves reports: JUnit's and fingerprints of both, dbparity's page of ours."""
    if os.environ.get("CI") != "true":
        return []
    name = suite[0].replace("/", "-")
    kept = [f"--junitxml={REPORTS / name}.xml", f"--dbparity-fingerprint={REPORTS}/fingerprint-{name}.json"]
    if suite == ["tests"]:
        return [*kept, f"--dbparity-report=html:{REPORTS / 'tests.html'}"]
    return ["-p", "dbparity.plugin.fingerprint", *kept]  # of the plugin they take nothing else


def run(options: list[str]) -> int:
    """Run both suites under coverage. Only what passed is remembered."""
    STAMP.unlink(missing_ok=True)
    before = fingerprint()
    coverage("erase")
    outcomes = [coverage("run", "-m", "pytest", *suite, *reports(suite), *options) for suite in SUITES]
    outcomes.append(coverage("combine", "--quiet"))
    outcome = next(filter(None, outcomes), 0)  # that of a process which a signal ended is negative
    if outcome == 0:
        STAMP.write_text(f"{before}\n", "ascii")
    return outcome


def plain(options: list[str]) -> int:
    """Run both suites unmeasured, which takes less time. Nothing is remembered."""
    outcomes = [python("pytest", *suite, *reports(suite), *options) for suite in SUITES]
    return next(filter(None, outcomes), 0)


def gate(options: list[str]) -> int:
    """Fail when fewer branches ran than pyproject.toml asks for."""
    if not STAMP.exists() or STAMP.read_text("ascii").strip() != fingerprint():
        print("No measurement of this code yet: running the suite.", flush=True)
        outcome = run(options)
        if outcome:
            return outcome
    outcome = coverage("report")
    if outcome:
        print(
            "Too few branches are covered. What no test reached is listed above. Where PostgreSQL is not\n"
            "installed its tests are skipped, and what only they reach counts as missing.",
            file=sys.stderr,
        )
    return outcome


VERBS = {"run": run, "plain": plain, "gate": gate}


def main() -> int:
    """`run`, `plain` or `gate`; what follows is handed to pytest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=[*VERBS])
    arguments, options = parser.parse_known_args()
    return VERBS[arguments.verb](options)


if __name__ == "__main__":
    sys.exit(main())
