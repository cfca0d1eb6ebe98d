"""The terminal that runs the pages' commands: what it keeps, what it ends, and that it fails when they do."""

import os
from pathlib import Path

import pytest

from tests.docs.shell import Shell


def test_what_a_run_exports_the_next_one_has_and_another_terminal_has_not(tmp_path: Path) -> None:
    with Shell(tmp_path) as shell:
        shell.run("export GIVEN=yes")
        assert shell.run("echo $GIVEN") == "yes\n"
    with Shell(tmp_path) as other:
        assert other.run("echo ${GIVEN:-no}") == "no\n"


def test_what_a_run_leaves_running_is_ended_with_the_terminal(tmp_path: Path) -> None:
    with Shell(tmp_path) as shell:
        shell.run("sleep 600 & echo $! > pid")
        process = int((tmp_path / "pid").read_text())
        os.kill(process, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_the_number_of_a_run_that_left_nothing_is_not_kept(tmp_path: Path) -> None:
    with Shell(tmp_path) as shell:
        shell.run("true")
        assert shell._groups == []  # noqa: SLF001  whoever is given the number next must not be ended


def test_a_command_that_fails_fails_the_run_with_what_it_said(tmp_path: Path) -> None:
    with Shell(tmp_path) as shell, pytest.raises(AssertionError, match=r"ended with 3\nso far"):
        shell.run("echo so far\n(exit 3)\necho not reached")


def test_a_word_to_replace_must_occur(tmp_path: Path) -> None:
    with Shell(tmp_path) as shell, pytest.raises(AssertionError, match="'8000' is not in these commands"):
        shell.run("true", replace={"8000": "9000"})
