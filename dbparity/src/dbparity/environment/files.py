"""Environment files: `KEY=value` lines, of which a shell, compose and this reader make the same.

They agree on less than one would think: on quotes within a value, on `$`, on a comment behind it. What they
would read differently is refused here, by file and line, and never with the value: it may be a secret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dbparity.environment.trouble import BadEnvFileError

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN = re.compile(r"(?!~|.*:~)[^\s'\"$`\\;&|<>()#]*")
_QUOTED = re.compile(r"'([^']*[^'\\])?'|\"[^\"$`\\]*\"")  # for compose \' is no end
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True)
class Entry:
    """One line that sets a variable."""

    name: str
    value: str
    line: int


@dataclass(frozen=True)
class EnvFile:
    """An environment file that every program reads alike."""

    path: Path
    entries: tuple[Entry, ...]

    @property
    def values(self) -> dict[str, str]:
        """The variables; of one that is set twice the last value, as everywhere."""
        return {each.name: each.value for each in self.entries}

    @property
    def lines(self) -> dict[str, int]:
        """Where each is set."""
        return {each.name: each.line for each in self.entries}

    @property
    def twice(self) -> dict[str, tuple[int, ...]]:
        """The variables that are set more than once, with their lines."""
        lines: dict[str, tuple[int, ...]] = {}
        for each in self.entries:
            lines[each.name] = (*lines.get(each.name, ()), each.line)
        return {name: found for name, found in lines.items() if len(found) > 1}


def read_file(path: Path) -> EnvFile:
    """Read a file. Raises BadEnvFileError, which names every line that cannot be."""
    entries, faults = [], []
    for number, line in enumerate(_text(path).split("\n"), 1):
        text = line.strip(" \t")
        if not text or text.startswith("#"):
            continue
        found = _entry(text, number)
        if isinstance(found, Entry):
            entries.append(found)
        else:
            faults.append(f"{path}:{number}: {found}")
    if faults:
        raise BadEnvFileError(path, faults)
    return EnvFile(path, tuple(entries))


def apply(path: Path, environ: MutableMapping[str, str]) -> None:
    """Set what the file says in `environ`, for a process to start with. What is set already stays."""
    for name, value in read_file(path).values.items():
        environ.setdefault(name, value)


def _text(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise BadEnvFileError(path, [f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise BadEnvFileError(path, [f"{path}:{line}: is not UTF-8"]) from None
    if text.startswith("\ufeff"):
        raise BadEnvFileError(
            path, [f"{path}:1: begins with a byte order mark; save it as UTF-8 without one"]
        )
    return text


def _entry(text: str, number: int) -> Entry | str:
    """The variable that the line sets, or what is wrong with it."""
    if _CONTROL.search(text):
        ends = "ends with a carriage return" if text.endswith("\r") else "holds a control character"
        return f"the line {ends}"
    name, equals, value = text.partition("=")
    if not equals:
        return "there is no =; write NAME=value"
    if not _NAME.fullmatch(name):
        return _wrong_name(name)
    if _PLAIN.fullmatch(value):
        return Entry(name, value, number)
    if _QUOTED.fullmatch(value):
        return Entry(name, value[1:-1], number)
    return _wrong_value(name, value)


def _wrong_name(name: str) -> str:
    if name.startswith("export "):
        return "no program but a shell knows `export`; write NAME=value"
    if _NAME.fullmatch(name.strip()):
        return f"{name.strip()}: no space before the ="
    return "what stands before the = is no name: letters, digits and _, no digit first"


def _wrong_value(name: str, value: str) -> str:
    if value != value.lstrip():
        return f"{name}: no space behind the ="
    if re.fullmatch(r"'[^']*\\'", value):
        return f"{name}: a quoted value may not end with \\"
    if value[0] in "'\"" and value[-1] == value[0] and len(value) > 1:
        return f"{name}: a quoted value may not hold its quote, and in double quotes no $, ` or \\"
    if re.search(r"\s#", value):
        return f"{name}: a comment stands on a line of its own; a value with # in it needs single quotes"
    return f"{name}: a value with spaces or any of '\"$`\\;&|<>()# in it, or ~ first or behind :, needs single quotes"
