"""What every workflow of this tree must keep to, beyond what actionlint looks for."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.workflow import EXPRESSION, read

ROOT = Path(__file__).resolve().parents[2]
PINNED = re.compile(r"^[\w.-]+(?:/[\w.-]+)+@[0-9a-f]{40}$")
USES = re.compile(r"^\s*(?:- )?uses: *(?P<what>\S+)(?P<comment>.*)$", re.MULTILINE)
VERSION = re.compile(r"# v\d+\.\d+\.\d+$")
VERBS = frozenset(re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
PYTHONS = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text("utf-8"))
FILE = re.compile(r"(?<![\w./-])(?:scripts|compose|docker|env)/[\w./-]+")


def faults(text: str) -> list[str]:
    """Everything that is wrong with a workflow, each in a sentence that names the place."""
    workflow = read(text)
    found = [*pins(text), *rights(workflow), *ends(workflow), *artefacts(workflow)]
    for name, job in workflow["jobs"].items():
        found += [f"{name}: {fault}" for fault in (*of_job(job), *commands(job))]
    return found


def pins(text: str) -> Iterator[str]:
    """An action is another's code: it is named by its commit, with the version beside it for people."""
    for used in USES.finditer(text):
        if not PINNED.match(used["what"]):
            yield f"{used['what']} is not pinned by a full commit hash"
        elif not VERSION.search(used["comment"]):
            yield f"{used['what']} does not say its version, as in '# v1.2.3'"


def rights(workflow: dict[str, Any]) -> Iterator[str]:
    """A job may read what is here, and nothing else."""
    if workflow.get("permissions") != {"contents": "read"}:
        yield f"permissions are {workflow.get('permissions')}, not contents: read"
    for name, job in workflow["jobs"].items():
        if "permissions" in job:
            yield f"{name}: has permissions of its own, {job['permissions']}"
    if "pull_request_target" in workflow["on"]:
        yield "pull_request_target runs strangers' changes with our rights"
    if "cancel-in-progress" not in workflow.get("concurrency", {}):
        yield "says nothing of runs that a newer push has made useless (concurrency)"


def ends(workflow: dict[str, Any]) -> Iterator[str]:
    """One job stands for all: it needs every other one, and runs also when they failed."""
    jobs = workflow["jobs"]
    if "required" not in jobs:
        yield "has no job `required`"
        return
    missing = jobs.keys() - {"required"} - set(jobs["required"].get("needs", []))
    if missing:
        yield f"required: does not need {', '.join(sorted(missing))}"
    if EXPRESSION.sub(r"\1", jobs["required"].get("if", "")) != "always()":
        yield "required: is skipped, and so passes, when what it needs fails: say `if: always()`"


def steps(job: dict[str, Any], action: str) -> Iterator[dict[str, str]]:
    """What the steps of this job hand to an action."""
    for step in job.get("steps", []):
        if step.get("uses", "").startswith(f"{action}@"):
            yield step.get("with", {})


def artefacts(workflow: dict[str, Any]) -> Iterator[str]:
    """An artefact's name is one job's alone, in every combination; who downloads it waits for that job."""
    makers: dict[str, str] = {}
    for name, job in workflow["jobs"].items():
        for given in steps(job, "actions/upload-artifact"):
            if given["name"] in makers:
                yield f"{name}: uploads {given['name']}, and so does {makers[given['name']]}"
            makers[given["name"]] = name
            for each in job.get("strategy", {}).get("matrix", {}):
                if f"matrix.{each}" not in given["name"]:
                    yield f"{name}: every {each} uploads an artefact of the same name, {given['name']}"
    for name, job in workflow["jobs"].items():
        for given in steps(job, "actions/download-artifact"):
            if makers.get(given["name"]) not in job.get("needs", []):
                yield f"{name}: downloads {given['name']} without waiting for a job that makes it"


def of_job(job: dict[str, Any]) -> Iterator[str]:
    """A job ends by itself, on a machine that is named, on the Pythons that pyproject.toml promises."""
    if "timeout-minutes" not in job:
        yield "has no timeout-minutes"
    if job["runs-on"].endswith("-latest"):
        yield f"runs on {job['runs-on']}, which is another machine some day"
    pythons = job.get("strategy", {}).get("matrix", {}).get("python", PYTHONS)
    if pythons != PYTHONS:
        yield f"runs on Python {', '.join(pythons)}; pyproject.toml promises {', '.join(PYTHONS)}"
    for given in steps(job, "actions/checkout"):
        if given.get("persist-credentials") != "false":
            yield "leaves its token in the checkout: say `persist-credentials: false`"


def commands(job: dict[str, Any]) -> Iterator[str]:
    """A step runs verbs and files that exist, and hands values over as variables."""
    for step in job.get("steps", []):
        script = step.get("run", "")
        if EXPRESSION.search(script):
            yield f"puts an expression into a command: {script}"
        for verb in re.findall(r"\bmake ([a-z]+)", script):
            if verb not in VERBS:
                yield f"there is no verb {verb} in the Makefile"
        for file in FILE.findall(script):
            if not (ROOT / file).is_file():
                yield f"there is no {file}"
