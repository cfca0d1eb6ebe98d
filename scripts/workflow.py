"""Runs a job of .github/workflows/ci.yml on this machine: its steps' commands as written, in a copy of the tree.

    python scripts/workflow.py                                  # lists the jobs
    python scripts/workflow.py lint
    python scripts/workflow.py postgresql python=3.12 postgres=15

Four actions are stood in for: checkout by the copy, setup-python by a Python that is installed here, upload- and
download-artifact by a folder (--artifacts), so that a job finds what an earlier one left. Any other action or
expression is refused by name: what cannot be done as it is written is not passed over.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / ".github" / "workflows" / "ci.yml"
EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")
# How GitHub runs a step where `shell: bash` is said.
SHELL = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c")
# Whether a step runs, given whether all before it went well.
CONDITIONS: dict[str, Callable[[bool], bool]] = {
    "success()": lambda well: well,
    "failure()": lambda well: not well,
    "always()": lambda well: True,  # noqa: ARG005 - that is what it means
    "!cancelled()": lambda well: True,  # noqa: ARG005 - the same
}


class NotHereError(Exception):
    """A step asks for something that this machine cannot do as it is written."""


def read(text: str) -> dict[str, Any]:
    """A workflow; every scalar is a string, so that `on` is no truth value and 3.10 no number."""
    parsed: dict[str, Any] = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - it builds nothing but strings
    return parsed


def variants(job: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Every combination of a job's matrix; one empty combination where it has none."""
    found: list[dict[str, str]] = [{}]
    for name, values in job.get("strategy", {}).get("matrix", {}).items():
        found = [{**one, name: value} for one in found for value in values]
    yield from found


def filled(text: str, known: Mapping[str, str]) -> str:
    """The text with its expressions replaced."""

    def value(expression: re.Match[str]) -> str:
        if expression[1] not in known:
            raise NotHereError(f"the expression {expression[0]} has no value here")
        return known[expression[1]]

    return EXPRESSION.sub(value, text)


def copy(source: Path, folder: Path) -> None:
    """Copy what a checkout would hold, and what is not committed yet."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=source, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (source / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, folder / name)


@dataclass
class Run:
    """A job on its way: where it runs, what its expressions mean, what its steps have set for the later ones."""

    folder: Path
    artifacts: Path
    known: dict[str, str]
    environment: dict[str, str]
    path: list[str] = field(default_factory=list)
    well: bool = True

    def job(self, job: Mapping[str, Any]) -> bool:
        """Run all steps; whether all went well."""
        self.environment |= self.fill(job.get("env", {}))
        for step in job["steps"]:
            condition = EXPRESSION.sub(r"\1", step.get("if", "success()")).strip()
            if condition not in CONDITIONS:
                raise NotHereError(f"the condition {condition!r} is not understood")
            if CONDITIONS[condition](self.well):
                self.step(step)
        return self.well

    def step(self, step: Mapping[str, Any]) -> None:
        """Run one step, or what stands in for its action."""
        print(f"\n--- {step.get('name') or step.get('run') or step['uses']}", flush=True)
        if "run" in step:
            self.command(step["run"], self.fill(step.get("env", {})))
        else:
            action = step["uses"].partition("@")[0]
            if action not in ACTIONS:
                raise NotHereError(f"nothing stands in for {action}")
            ACTIONS[action](self, self.fill(step.get("with", {})))

    def fill(self, values: Mapping[str, str]) -> dict[str, str]:
        """These values with their expressions replaced."""
        return {name: filled(value, self.known) for name, value in values.items()}

    def command(self, script: str, more: dict[str, str]) -> None:
        """Run a step's commands as GitHub does, and take up what they leave for later steps."""
        if EXPRESSION.search(script):
            raise NotHereError("an expression inside of commands; hand it over as a variable")
        left = {
            name: self.folder.parent / name for name in ("GITHUB_PATH", "GITHUB_ENV", "GITHUB_STEP_SUMMARY")
        }
        for file in left.values():
            file.write_text("", "utf-8")
        environment = self.environment | {name: str(file) for name, file in left.items()} | more
        environment["PATH"] = os.pathsep.join((*self.path, self.environment["PATH"]))
        done = subprocess.run([*SHELL, script], cwd=self.folder, env=environment, check=False)
        self.well = self.well and done.returncode == 0
        self.path = [*left["GITHUB_PATH"].read_text("utf-8").split(), *self.path]
        lines = left["GITHUB_ENV"].read_text("utf-8").splitlines()
        self.environment |= {name: value for name, _, value in (line.partition("=") for line in lines)}
        if done.returncode:
            print(f"--- ended with {done.returncode}", flush=True)

    def checkout(self, _: Mapping[str, str]) -> None:
        """Lay the tree."""
        copy(ROOT, self.folder)

    def setup_python(self, given: Mapping[str, str]) -> None:
        """Put an installed Python of that version first on PATH."""
        name = f"python{given['python-version']}"
        asked = [name, "-c", "import sys; print(sys.executable)"]
        said = (
            subprocess.run(asked, capture_output=True, text=True, check=False) if shutil.which(name) else None
        )
        if said is None or said.returncode:
            raise NotHereError(f"there is no {name} here")
        shims = self.folder.parent / name
        shims.mkdir()
        for shim in ("python", "python3"):
            (shims / shim).symlink_to(said.stdout.strip())
        self.path.insert(0, str(shims))

    def upload(self, given: Mapping[str, str]) -> None:
        """Keep files for later jobs, as the artefact of this name."""
        source, target = self.folder / given["path"], self.artifacts / given["name"]
        files = [file for file in source.rglob("*") if file.is_file()]
        if not files and given.get("if-no-files-found") == "error":
            print(f"there is nothing in {given['path']}")
            self.well = False
        elif files:
            shutil.copytree(source, target, dirs_exist_ok=True)
            print(*(f"kept: {given['name']}/{file.relative_to(source)}" for file in sorted(files)), sep="\n")

    def download(self, given: Mapping[str, str]) -> None:
        """Bring what an earlier job kept."""
        source = self.artifacts / given["name"]
        if not source.is_dir():
            raise NotHereError(f"no job left the artefact {given['name']} in {self.artifacts}")
        shutil.copytree(source, self.folder / given["path"], dirs_exist_ok=True)


ACTIONS: dict[str, Callable[[Run, Mapping[str, str]], None]] = {
    "actions/checkout": Run.checkout,
    "actions/setup-python": Run.setup_python,
    "actions/upload-artifact": Run.upload,
    "actions/download-artifact": Run.download,
}


def chosen(job: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """The one combination of the job's matrix that fits what was given."""
    fitting = [one for one in variants(job) if given.items() <= one.items()]
    if len(fitting) == 1:
        return fitting[0]
    matrix = job.get("strategy", {}).get("matrix", {})
    said = "; ".join(f"{name}= one of {', '.join(values)}" for name, values in matrix.items()) or "no matrix"
    raise NotHereError(f"{len(fitting)} combinations fit; say {said}")


def play(
    job: Mapping[str, Any], matrix: Mapping[str, str], artifacts: Path, needs: Mapping[str, Any]
) -> bool:
    """Run a job in a folder of its own; whether it went well."""
    known = {f"matrix.{name}": value for name, value in matrix.items()} | {"toJSON(needs)": json.dumps(needs)}
    kept = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    with tempfile.TemporaryDirectory(prefix="dashtam-workflow-") as folder:
        tree = Path(folder) / "tree"
        tree.mkdir()
        return Run(tree, artifacts, known, kept | {"CI": "true"}).job(job)


def main() -> int:
    """List the jobs, or run the one that is named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("job", nargs="?")
    parser.add_argument(
        "matrix", nargs="*", metavar="name=value", help="which combination of the job's matrix"
    )
    parser.add_argument(
        "--artifacts", type=Path, default=ROOT / "var" / "artifacts", help="where artefacts are kept"
    )
    given = parser.parse_args()
    jobs = read(FILE.read_text("utf-8"))["jobs"]
    if given.job not in jobs:
        print(*(f"{name:<12} {job.get('name', '')}" for name, job in jobs.items()), sep="\n")
        return 2 if given.job else 0
    job = jobs[given.job]
    try:
        matrix = chosen(job, dict(each.split("=", 1) for each in given.matrix if "=" in each))
        well = play(
            job, matrix, given.artifacts, {name: {"result": "success"} for name in job.get("needs", [])}
        )
    except NotHereError as refused:
        print(f"Not run here: {refused}.", file=sys.stderr)
        return 3
    print(f"\n{given.job}: {'success' if well else 'failure'}")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
