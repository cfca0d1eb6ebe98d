"""Writes the hashed requirement files, and says offline whether they are current.

Each file begins with a fingerprint of its inputs: the requirements in both pyproject.toml files and the
oldest Python served. `--check` compares it and looks at the pins themselves: `make check` asks no registry.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
OURS = frozenset({"dashtam", "dbparity"})
FINGERPRINT = "# inputs-sha256: "
PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ ;\\]+)(?P<rest>.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Lock:
    """A requirement file and the dependency groups that go into it beside the two packages' own needs."""

    path: Path
    groups: tuple[str, ...]
    constraint: Path | None = None


RUNTIME = Lock(ROOT / "requirements" / "runtime.txt", ("build",))
DEV = Lock(ROOT / "requirements" / "dev.txt", ("build", "dev"), constraint=RUNTIME.path)


def wanted(lock: Lock) -> dict[str, object]:
    """The inputs of a lock, as they stand in the two pyproject.toml files."""
    house = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    library = tomllib.loads((ROOT / "dbparity" / "pyproject.toml").read_text("utf-8"))
    return {
        "python": house["project"]["requires-python"],
        "dashtam": sorted(house["project"]["dependencies"]),
        "dbparity": sorted(library["project"]["dependencies"]),
        "build": sorted(house["build-system"]["requires"] + library["build-system"]["requires"]),
        "groups": {group: sorted(house["dependency-groups"][group]) for group in lock.groups},
        "uv": house["tool"].get("uv", {}),
    }


def fingerprint(lock: Lock) -> str:
    """One line of hexadecimal that changes whenever an input does."""
    return hashlib.sha256(json.dumps(wanted(lock), sort_keys=True).encode()).hexdigest()


def requirements(value: object) -> Iterator[Requirement]:
    """Every requirement of other people's packages among the inputs."""
    if isinstance(value, dict):
        for key in value.keys() - {"python", "uv"}:
            yield from requirements(value[key])
    elif isinstance(value, list):
        found = (Requirement(text) for text in value)
        yield from (one for one in found if canonicalize_name(one.name) not in OURS)


def write(lock: Lock, options: list[str]) -> None:
    """Resolve with uv. Versions in the file are kept unless an option, such as --upgrade, says otherwise."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--quiet", "--universal"]
    command += ["--python-version", floor(), "--generate-hashes", "--no-header", "--no-emit-index-url"]
    command += ["--no-emit-find-links", "--no-emit-package", "dbparity", "--output-file", str(lock.path)]
    command += [argument for group in lock.groups for argument in ("--group", group)]
    if lock.constraint:
        command += ["--constraint", str(lock.constraint.relative_to(ROOT))]
    subprocess.run([*command, *options], cwd=ROOT, check=True)
    head = f"# Made by `make lock`; do not edit.\n{FINGERPRINT}{fingerprint(lock)}\n"
    lock.path.write_text(head + lock.path.read_text("utf-8"), "utf-8")


def floor() -> str:
    """The oldest Python that the locks must serve, such as 3.11."""
    return str(wanted(RUNTIME)["python"]).removeprefix(">=")


def faults(lock: Lock) -> Iterator[str]:
    """What is wrong with a lock, in sentences."""
    text = lock.path.read_text("utf-8") if lock.path.exists() else ""
    if f"{FINGERPRINT}{fingerprint(lock)}\n" not in text:
        yield "was made from other requirements than those in pyproject.toml"
    if "://" in text:
        yield "names an address; a lock must work with whatever index a machine is set up for"
    pins = {canonicalize_name(pin["name"]): pin for pin in PIN.finditer(text)}
    for name, pin in pins.items():
        if "--hash=sha256:" not in text[pin.end() : text.find("\n", pin.end() + 1)]:
            yield f"pins {name} without a hash"
    for requirement in requirements(wanted(lock)):
        held = pins.get(canonicalize_name(requirement.name))
        if held is None or not requirement.specifier.contains(held["version"], prereleases=True):
            yield f"does not satisfy {requirement}"


def check() -> int:
    """Print what is wrong with the locks; the number of faults decides the exit code."""
    found = [f"{lock.path.relative_to(ROOT)} {fault}." for lock in (RUNTIME, DEV) for fault in faults(lock)]
    if found:
        print(*found, "Run `make lock` and commit what it writes.", sep="\n", file=sys.stderr)
        return 1
    print("The locks answer to their requirements.")
    return 0


def main() -> int:
    """Write both files, or check them; anything else on the command line is for uv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, offline, and write nothing")
    arguments, options = parser.parse_known_args()
    if arguments.check:
        return check()
    for lock in (RUNTIME, DEV):
        write(lock, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
