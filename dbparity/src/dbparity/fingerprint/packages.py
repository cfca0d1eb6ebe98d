"""The packages that are installed, and what each is to the tests: which of them a result can depend on.

A package counts where the application's or the test runner's requirements lead to it, where a process has imported
it, or where a database's URL names it as the driver. What nobody of these needs cannot change a result.
"""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.metadata import Distribution, distributions, packages_distributions
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from dbparity.config import Config
    from dbparity.fingerprint.file import Facts


class Role(StrEnum):
    """What a package is to the tests."""

    ORM = "ORM"
    DRIVER = "driver"
    FRAMEWORK = "framework"
    APPLICATION = "application"
    RUNNER = "test runner"
    IMPORTED = "imported"
    UNKNOWN = "unknown"
    MEASURING = "measuring"
    TOOL = "tool"
    UNUSED = "unused"


_KNOWN = {
    Role.ORM: "sqlalchemy sqlmodel alembic advanced-alchemy greenlet",
    Role.DRIVER: (
        "aiosqlite asyncpg pg8000 psycopg psycopg-binary psycopg-c psycopg-pool psycopg2 psycopg2-binary pysqlite3 "
        "sqlcipher3"
    ),
    Role.FRAMEWORK: (
        "aiohttp anyio asgiref django fastapi flask gunicorn litestar pydantic pydantic-core quart starlette "
        "uvicorn uvloop werkzeug"
    ),
    Role.MEASURING: "coverage pytest-cov",
    Role.TOOL: (
        "bandit black build flake8 hatch hatchling import-linter isort mypy nox pip pip-tools pre-commit pylint "
        "pyright ruff setuptools tox twine uv virtualenv wheel"
    ),
}
LISTED = {name: role for role, names in _KNOWN.items() for name in names.split()}
"""Packages whose role is known by their names."""
RUNNERS = ("pytest", "dbparity")
_REQUIREMENT = re.compile(
    r"\s*(?P<name>[A-Za-z0-9][\w.\-]*)\s*(?:\[(?P<extras>[^\]]*)\])?(?P<rest>[^;]*;?)(?P<marker>.*)"
)
_EXTRA = re.compile(r"""extra\s*==\s*['"](?P<name>[^'"]+)['"]""")


def normal(name: str) -> str:
    """A package's name in the one spelling that all others mean."""
    return re.sub(r"[-_.]+", "-", name).lower()


@dataclass
class Installed:
    """The distributions of this interpreter and what each asks for."""

    found: dict[str, Distribution] = field(default_factory=dict)

    @classmethod
    def here(cls) -> Installed:
        """As they are found on the path; the first of a name is the one that is imported."""
        found: dict[str, Distribution] = {}
        for each in distributions():
            found.setdefault(normal(each.name or ""), each)
        found.pop("", None)
        return cls(found)

    def needed_by(self, roots: Iterable[str]) -> set[str]:
        """All that these requirements lead to, themselves included; markers other than extras are not judged."""
        waiting, seen = [_parsed(each) for each in roots], set[tuple[str, frozenset[str]]]()
        while waiting:
            name, extras, _ = wanted = waiting.pop()
            if name not in self.found or (name, extras) in seen:
                continue
            seen.add((name, extras))
            asked = [_parsed(each) for each in self.found[name].requires or ()]
            waiting += [each for each in asked if not each[2] or each[2] in wanted[1]]
        return {name for name, _ in seen}

    def plugins(self) -> set[str]:
        """Who is loaded by pytest because it is there."""
        return {
            name
            for name, each in self.found.items()
            if any(point.group == "pytest11" for point in each.entry_points)
        }


def packages(config: Config, *, imported: Collection[str] = (), drivers: Collection[str] = ()) -> Facts:
    """Every installed package by its name: its version and its role."""
    installed = Installed.here()
    roots = set(_application(config))
    needed = installed.needed_by(roots) | {normal(each) for each in drivers}
    running = installed.needed_by({*RUNNERS, *installed.plugins()})
    used = Used(bool(roots), needed, running, set(imported))
    return {
        name: {"version": each.version, "role": str(used.role(name))}
        for name, each in sorted(installed.found.items())
    }


@dataclass
class Used:
    """Who needs which package."""

    application_known: bool
    application: set[str]
    runner: set[str]
    imported: set[str]

    def role(self, name: str) -> Role:
        """What this package is to the tests."""
        known = LISTED.get(name)
        if name in self.application | self.runner | self.imported:
            return known if known not in {None, Role.TOOL} else self._use(name)
        if known is Role.TOOL:
            return known
        return Role.UNUSED if self.application_known else Role.UNKNOWN

    def _use(self, name: str) -> Role:
        if name in self.application:
            return Role.APPLICATION
        if name in self.runner:
            return Role.RUNNER
        return Role.TOOL if LISTED.get(name) is Role.TOOL else Role.IMPORTED


def imported_packages() -> list[str]:
    """The packages that this process has imported anything of."""
    modules = {name.partition(".")[0] for name in list(sys.modules)}
    owners = packages_distributions()
    return sorted({normal(owner) for module in modules for owner in owners.get(module, ()) if owner})


def _application(config: Config) -> Iterator[str]:
    """What the application asks for: by its pyproject.toml, and as the distribution that its modules came in."""
    try:
        said = tomllib.loads((config.root / "pyproject.toml").read_text("utf-8")).get("project", {})
    except (OSError, tomllib.TOMLDecodeError):
        said = {}
    yield from (str(each) for each in said.get("dependencies", ()))
    if "name" in said:
        yield str(said["name"])
    owners = packages_distributions()
    for named in filter(None, (config.metadata, config.sessionmaker)):
        module = named.partition(":")[0].partition(".")[0]
        yield from (module, *owners.get(module, ()))


def _parsed(requirement: str) -> tuple[str, frozenset[str], str]:
    """A requirement's name, the extras that it asks for, and the extra that it belongs to itself."""
    found = _REQUIREMENT.match(requirement)
    if found is None:
        return "", frozenset(), ""
    extras = frozenset(normal(each) for each in (found["extras"] or "").split(",") if each.strip())
    belongs = _EXTRA.search(found["marker"])
    return normal(found["name"]), extras, normal(belongs["name"]) if belongs else ""
