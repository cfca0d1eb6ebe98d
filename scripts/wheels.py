"""Builds the wheels of both packages, and tests them as they would be installed.

`build` writes them into dist/: the same commit makes the same bytes. `test` installs them into an environment
of its own, over the hashed lock, and runs tests of this tree against that. tests/installed.py, a plugin that is
loaded for such a run alone, fails it if anything of ours was imported from the tree. `both` does one after the other.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "dev.txt"
PACKAGES = (ROOT / "dbparity", ROOT)
PIP = ("-m", "pip", "--disable-pip-version-check", "-qq", "install")
# Two suites, each with a configuration of its own: dbparity/pyproject.toml says why.
SUITES = ("dbparity/tests", "tests")


def build(dist: Path) -> None:
    """Write both wheels into this folder, and say what was written. Nothing is fetched: hatchling is in the lock."""
    for old in dist.glob("*.whl"):
        old.unlink()
    for package in PACKAGES:
        command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(dist)]
        # Files in a wheel carry a date; hatchling's own, the same for everybody, if nobody gives another.
        environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
        done = subprocess.run(
            command, cwd=package, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{package.name} could not be built:\n{done.stdout}{done.stderr}")
    for wheel in wheels(dist):
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        print(f"{wheel.name}  {wheel.stat().st_size} bytes  sha256 {digest}")


def wheels(dist: Path) -> list[Path]:
    """Both wheels; nothing else may lie there."""
    found = sorted(dist.glob("*.whl"))
    if [wheel.name.split("-")[0] for wheel in found] != ["dashtam", "dbparity"]:
        names = ", ".join(wheel.name for wheel in found) or "none"
        sys.exit(f"{dist} should hold one wheel of each package; it holds {names}. Build them: make wheels")
    return found


def install(dist: Path, folder: Path) -> Path:
    """Make an environment with the locked dependencies and the two wheels; its Python."""
    found = [str(wheel.resolve()) for wheel in wheels(dist)]
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    locked = ["--no-compile", "--only-binary=:all:", "--require-hashes", "--requirement", str(LOCK)]
    subprocess.run([python, *PIP, *locked], check=True)
    subprocess.run([python, *PIP, "--no-deps", "--no-index", *found], check=True)
    return python


def test(dist: Path, arguments: list[str]) -> int:
    """Run these tests, or both suites, against the installed wheels; the first exit code that is not 0."""
    named = [part for part in arguments if (ROOT / part.split("::")[0]).exists()]
    options = [part for part in arguments if part not in named]
    with tempfile.TemporaryDirectory(prefix="dashtam-wheels-") as folder:
        python = install(dist, Path(folder))
        outcomes = [run(python, suite, options) for suite in suites(named)]
    return next(filter(None, outcomes), 0)


def suites(named: list[str]) -> list[list[str]]:
    """What to run in one go: the tests of one suite. Without any named, all of both."""
    if not named:
        return [[suite] for suite in SUITES]
    library = [part for part in named if part.startswith("dbparity/")]
    return [part for part in (library, [part for part in named if part not in library]) if part]


def run(python: Path, tests: list[str], options: list[str]) -> int:
    """Run pytest of that environment, with its commands first on PATH as in a shell where it is active."""
    environment = {**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    command = [str(python), "-m", "pytest", "-p", "tests.installed", *tests, *options]
    if environment.get("CI") == "true":
        command.append(f"--junitxml={ROOT}/reports/wheels-{Path(tests[0]).parts[0]}.xml")
    print(f"pytest {' '.join((*tests, *options))}, on the wheels", flush=True)
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def main() -> int:
    """`build`, `test` or `both`; what follows is handed to pytest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=["build", "test", "both"])
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="where the wheels are")
    given, rest = parser.parse_known_args()
    if given.verb != "test":
        build(given.dist)
    return test(given.dist, rest) if given.verb != "build" else 0


if __name__ == "__main__":
    sys.exit(main())
