"""Every check has a test that plants the fault it is to find, marked with the check's name."""

import ast
from collections.abc import Iterator
from pathlib import Path

from dashtam.doctor import LOCAL, REMOTE

FOLDER = Path(__file__).resolve().parent


def _planted() -> Iterator[str]:
    """The names in `plants("area.name")`, as they stand in the tests of this folder."""
    for file in FOLDER.glob("test_*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "plants":
                yield from (
                    str(ast.literal_eval(name)) for name in node.args[:1] if isinstance(name, ast.Constant)
                )


def test_every_check_has_a_planted_fault_and_no_other_is_claimed():
    checks = {*(check.name for check in LOCAL), *(check.name for check in REMOTE)}
    planted = set(_planted())
    assert (sorted(checks - planted), sorted(planted - checks)) == ([], [])


def test_there_are_enough_checks_to_be_called_a_checkup():
    assert len(LOCAL) + len(REMOTE) >= 40
