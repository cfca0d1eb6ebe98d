"""Steps run on this machine as they are written, and what cannot be is refused; the last job judges all others."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts import workflow
from scripts.workflow import FILE, NotHereError, Run, chosen, play, read

JOBS = read(FILE.read_text("utf-8"))["jobs"]


def job(*steps: str, matrix: str = "{}") -> dict[str, Any]:
    """A job with these steps, each written as in a workflow."""
    lines = [f"- {step}" for step in steps]
    found: dict[str, Any] = read(
        "\n".join((f"strategy: {{matrix: {matrix}}}", "env: {LEVEL: job}", "steps:", *lines))
    )
    return found


@pytest.fixture
def at(tmp_path: Path) -> Run:
    """A run whose folder is still empty."""
    (tmp_path / "tree").mkdir()
    return Run(tmp_path / "tree", tmp_path / "artifacts", {"matrix.python": "3.11"}, dict(os.environ))


def test_a_step_sees_what_earlier_ones_left(at: Run) -> None:
    assert at.job(
        job(
            "run: echo NAME=Ada >> $GITHUB_ENV",
            "run: mkdir bin && printf '#!/bin/sh\\necho hello' > bin/greet && chmod +x bin/greet",
            "run: echo $PWD/bin >> $GITHUB_PATH",
            "{run: 'echo $(greet) $NAME $LEVEL $OWN > said', env: {OWN: '${{ matrix.python }}'}}",
        )
    )
    assert (at.folder / "said").read_text() == "hello Ada job 3.11\n"


def test_after_a_failure_only_those_run_that_say_so(at: Run) -> None:
    ran = at.job(
        job(
            "run: touch first",
            "run: 'false | cat; touch never'",  # as on GitHub, where a pipe fails with any of its parts
            "run: touch skipped",
            "{run: touch mourned, if: '${{ failure() }}'}",
            "{run: touch anyway, if: always()}",
            "{run: touch unless, if: '${{ !cancelled() }}'}",
        )
    )
    assert not ran
    assert {file.name for file in at.folder.iterdir()} == {"first", "mourned", "anyway", "unless"}


def test_an_artefact_is_handed_from_job_to_job(tmp_path: Path) -> None:
    keep = "{uses: actions/upload-artifact@0, with: {name: wheels, path: dist, if-no-files-found: error}}"
    bring = "{uses: actions/download-artifact@0, with: {name: wheels, path: there}}"
    with pytest.raises(NotHereError, match="no job left the artefact wheels"):
        play(job(bring), {}, tmp_path, {})
    assert not play(job("run: mkdir dist", keep), {}, tmp_path, {})
    assert play(job("run: mkdir dist && touch dist/a.whl", keep), {}, tmp_path, {})
    assert play(job(bring, "run: test -f there/a.whl"), {}, tmp_path, {})


def test_python_is_the_one_of_that_version(at: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    setup = f"{{uses: actions/setup-python@0, with: {{python-version: '{version}'}}}}"
    assert at.job(job(setup, "run: python3 --version > said && python --version >> said"))
    assert (at.folder / "said").read_text().count(f"Python {version}.") == 2


@pytest.mark.parametrize(
    ("step", "refusal"),
    [
        ("uses: docker/login-action@0", "nothing stands in for docker/login-action"),
        ("{uses: actions/setup-python@0, with: {python-version: '2.0'}}", r"there is no python2\.0 here"),
        ("{run: ls, env: {TOKEN: '${{ secrets.TOKEN }}'}}", r"secrets\.TOKEN \}\} has no value here"),
        ("run: 'echo ${{ matrix.python }}'", "an expression inside of commands"),
        ("{run: ls, if: github.actor == 'me'}", "the condition .* is not understood"),
    ],
)
def test_what_cannot_be_done_here_is_refused(at: Run, step: str, refusal: str) -> None:
    with pytest.raises(NotHereError, match=refusal):
        at.job(job(step))


def test_one_combination_is_chosen() -> None:
    both = job(matrix="{python: ['3.11', '3.12'], postgres: ['17', '18']}")
    assert chosen(both, {"python": "3.12", "postgres": "17"}) == {"python": "3.12", "postgres": "17"}
    assert chosen(job(), {}) == {}
    for given in ({"python": "3.12"}, {"python": "3.13", "postgres": "17"}, {"pyhton": "3.12"}):
        with pytest.raises(NotHereError, match=r"python= one of 3\.11, 3\.12; postgres= one of 17, 18"):
            chosen(both, given)


def test_a_copy_holds_what_is_not_committed_and_nothing_that_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "folder").mkdir(parents=True)
    (source / ".gitignore").write_text("made\n")
    (source / "folder" / "new").touch()
    (source / "made").touch()
    subprocess.run(["git", "init", "-q"], cwd=source, check=True)
    workflow.copy(source, target)
    assert sorted(file.name for file in target.rglob("*") if file.is_file()) == [".gitignore", "new"]


def verdict(**results: str) -> bool:
    """What the job `required` says when the others ended so."""
    needs = {name: {"result": result, "outputs": {}} for name, result in results.items()}
    (step,) = JOBS["required"]["steps"]
    environment = {**os.environ, "NEEDS": json.dumps(needs)}
    return (
        subprocess.run(
            ["bash", "-ec", step["run"]], env=environment, capture_output=True, check=False
        ).returncode
        == 0
    )


def test_all_is_well_where_every_job_was() -> None:
    assert verdict(lint="success", wheels="success")


@pytest.mark.parametrize("result", ["failure", "cancelled", "skipped"])
def test_one_job_that_was_not_well_is_enough(result: str) -> None:
    assert not verdict(lint="success", wheels=result)


def test_nothing_at_all_is_not_well() -> None:
    assert not verdict()


def test_the_command_lists_the_jobs_and_refuses_by_name() -> None:
    def said(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, workflow.__file__, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stdout + done.stderr

    code, listed = said()
    assert code == 0
    assert [line.split()[0] for line in listed.splitlines()] == list(JOBS)
    assert said("required")[0] == 0
    assert said("nothing")[0] == 2
    code, refused = said("sqlite")
    assert code == 3
    assert "Not run here: 4 combinations fit; say python= one of 3.11" in refused
