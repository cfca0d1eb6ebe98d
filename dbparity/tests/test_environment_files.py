"""Environment files: what a shell reads as well, and by file and line what programs would read differently."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from declared import CANARY

from dbparity.environment import BadEnvFileError, apply, read_file

if TYPE_CHECKING:
    from pathlib import Path

SOUND = """# a comment; KEY=value is none

PLAIN=value
EMPTY=
URL=postgresql://user@host:5432/name?ssl=on
TRAILING=spaces\x20\x20
SINGLE='Dashtam <no-reply@example.org> # $HOME `x` \\ '
DOUBLE="two words"
EMPTY_QUOTED=''
  INDENTED=1
lower_case=2
UNICODE=Zürich
"""


def file(folder: Path, text: str | bytes) -> Path:
    path = folder / ".env"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(folder: Path, text: str | bytes) -> str:
    with pytest.raises(BadEnvFileError) as caught:
        read_file(file(folder, text))
    return str(caught.value).replace(f"{folder}/", "")


def test_a_file_says_what_a_shell_makes_of_it(tmp_path: Path) -> None:
    path = file(tmp_path, SOUND)
    read = read_file(path).values
    names = " ".join(read)
    script = f'set -a; . {path}; for name in {names}; do eval "printf \'%s\\n\' \\"\\$$name\\""; done'
    shell = subprocess.run(["sh", "-c", script], capture_output=True, check=True, timeout=10)
    assert shell.stdout.decode().split("\n")[:-1] == list(read.values())
    assert read["SINGLE"] == "Dashtam <no-reply@example.org> # $HOME `x` \\ "
    assert (read["TRAILING"], read["EMPTY"], read["EMPTY_QUOTED"]) == ("spaces", "", "")


def test_a_variable_knows_its_line_and_the_last_value_counts(tmp_path: Path) -> None:
    read = read_file(file(tmp_path, "A=1\n# between\nB=2\nA=3\n"))
    assert read.values == {"A": "3", "B": "2"}
    assert read.lines == {"A": 4, "B": 3}
    assert read.twice == {"A": (1, 4)}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("NAME", "there is no ="),
        ("export NAME=canary", "no program but a shell knows `export`"),
        ("NAME =canary", "NAME: no space before the ="),
        ("NAME= canary", "NAME: no space behind the ="),
        ("1NAME=canary", "is no name"),
        ("NA-ME=canary", "is no name"),
        ("=canary", "is no name"),
        ("NAME=canary of two", "needs single quotes"),
        ("NAME=canary # why", "a comment stands on a line of its own"),
        ("NAME=$canary", "needs single quotes"),
        ("NAME=~/canary", "needs single quotes"),
        ("NAME=can:~/ary", "needs single quotes"),
        ("NAME='canary\\'", "may not end with \\"),
        ("canary of two =x", "is no name"),
        ("NAME=can;ary", "needs single quotes"),
        ('NAME="$canary"', "in double quotes no $"),
        ("NAME='can'ary'", "may not hold its quote"),
        ("NAME='canary", "needs single quotes"),
        ("NAME='canary' # why", "a comment stands on a line of its own"),
        ("NAME=canary\r", "ends with a carriage return"),
        ("NAME=can\x00ary", "holds a control character"),
    ],
)
def test_what_programs_read_differently_is_refused_by_line_and_without_the_value(
    tmp_path: Path, line: str, said: str
) -> None:
    words = refused(tmp_path, f"FIRST=1\n{line}\nLAST=3\n")
    assert words.startswith(".env:2: ")
    assert said in words
    assert "canary" not in words


def test_every_bad_line_is_told(tmp_path: Path) -> None:
    assert [line.split(":")[1] for line in refused(tmp_path, "A=1\nB\nC= 3\nD=4\n").splitlines()] == [
        "2",
        "3",
    ]


def test_a_file_that_cannot_be_read_is_told_without_a_traceback(tmp_path: Path) -> None:
    assert refused(tmp_path, b"A=1\nB=\xff\n") == ".env:2: is not UTF-8"
    assert refused(tmp_path, b"\xef\xbb\xbf# A=1\n").startswith(".env:1: begins with a byte order mark")
    with pytest.raises(BadEnvFileError, match=r"nowhere: cannot be read: No such file"):
        read_file(tmp_path / "nowhere")
    with pytest.raises(BadEnvFileError, match="Is a directory"):
        read_file(tmp_path)


def test_what_is_set_already_wins(tmp_path: Path) -> None:
    environ = {"A": "mine", "EMPTY": ""}
    apply(file(tmp_path, f"A=theirs\nB={CANARY}\nEMPTY=full\n"), environ)
    assert environ == {"A": "mine", "B": CANARY, "EMPTY": ""}
