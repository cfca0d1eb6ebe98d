"""What a project says about its tests' database in `[tool.dbparity]`, and what is guessed where it says nothing."""

from __future__ import annotations

import importlib
import os
import sys
import tomllib
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import MetaData
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.orm import DeclarativeBase

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ENVIRONMENT_GUESSES = ("TEST_DATABASE_URL", "DATABASE_URL")
MIGRATION_GUESSES = ("alembic.ini", "migrations", "alembic")

_KINDS: dict[str, tuple[type, str]] = {
    **dict.fromkeys(
        ("metadata", "database_url", "migrations", "sessionmaker", "env_contract"), (str, "a string")
    ),
    "detectors": (dict, "a table"),
    "disposable": (bool, "true or false"),
}

Choice = TypeVar("Choice", bound=StrEnum)


class BadConfigError(ValueError):
    """The configuration names something that is not there, or says it in a way that cannot be read."""


class Schema(StrEnum):
    """How the tables come to be before the first test."""

    MIGRATE = "migrate"
    """Run the migrations up to head; mend a disposable database whose state is false."""
    CREATE = "create"
    """`metadata.create_all`."""
    VERIFY = "verify"
    """Build nothing: stop when the tables are not what the models say."""


class IsolationMode(StrEnum):
    """How tests are kept from seeing each other's rows."""

    SAVEPOINT = "savepoint"
    DELETE = "delete"
    CLONE = "clone"


class InUse(StrEnum):
    """What to do about another run that uses the same database."""

    WAIT = "wait"
    CLONE = "clone"
    STOP = "stop"


class Strictness(StrEnum):
    """What a detector's finding does."""

    OFF = "off"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Config:
    """`[tool.dbparity]`, read and checked. Empty strings mean that nothing is known."""

    root: Path = field(default_factory=Path.cwd)
    metadata: str = ""
    """Where the models' MetaData is, as "module:attribute"."""
    database_url: str = ""
    """A SQLAlchemy URL; "env:NAME" for the variable that holds one; "env:NAME=URL" to say what it is if unset."""
    migrations: str = ""
    """alembic.ini or a script location, relative to the root."""
    sessionmaker: str = ""
    """The application's own session factory, as "module:attribute"."""
    schema: Schema = Schema.CREATE
    isolation: IsolationMode = IsolationMode.SAVEPOINT
    in_use: InUse = InUse.WAIT
    disposable: bool | None = None
    """Whether a false schema may be dropped and built anew; None: judged by the database's name."""
    env_contract: str = ""
    """The contract of the environments, relative to the root."""
    detectors: Mapping[str, Strictness] = field(default_factory=dict)
    """What to make of each detector's findings, where it is not what the detector itself proposes."""
    configured: bool = False
    """Whether the project has a `[tool.dbparity]` at all: without one the plugin only offers its fixtures."""
    guesses: tuple[str, ...] = ()
    """What was not configured, and what was taken for it."""

    @property
    def variable(self) -> str:
        """The environment variable that holds the URL; empty where the URL is written out."""
        name, colon, rest = self.database_url.partition(":")
        return rest.partition("=")[0] if colon and name == "env" else ""

    @property
    def url(self) -> str:
        """The URL itself, also where it is kept in a variable; empty where that is not set and has no default."""
        if not self.variable:
            return self.database_url
        return os.environ.get(self.variable) or self.database_url.partition("=")[2]


def load(root: Path, **overriding: Any) -> Config:  # noqa: ANN401 - as pyproject.toml would have them
    """Read the configuration of the project in `root`; `overriding` keys (a command's options) come first."""
    said = _table(root / "pyproject.toml")
    table = (said or {}) | {key: value for key, value in overriding.items() if value}
    known = {each.name for each in fields(Config)} - {"root", "configured", "guesses"}
    for key in table.keys() - known:
        msg = f"[tool.dbparity] has no key {key!r}. It knows {', '.join(sorted(known))}."
        raise BadConfigError(msg)
    return _guessed(Config(root=root, configured=said is not None, **_checked(table)), table)


def resolve(name: str, kind: type[Any] = object) -> Any:  # noqa: ANN401 - whatever has that name
    """Import what "module:attribute" names; it must be a `kind`."""
    module, _, attribute = name.partition(":")
    try:
        found = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        msg = f"{name!r} cannot be imported: {error}. Write it as module:attribute, importable from here."
        raise BadConfigError(msg) from error
    if not isinstance(found, kind):
        msg = f"{name!r} is a {type(found).__name__}, and a {kind.__name__} is needed."
        raise BadConfigError(msg)
    return found


def metadata_of(config: Config) -> MetaData:
    """The models' metadata: the configured one, or the only one that imported models have filled."""
    if config.metadata:
        found: MetaData = resolve(config.metadata, MetaData)
        return found
    candidates = list(_filled())
    if len(candidates) == 1:
        return candidates[0]
    what = "No models are imported" if not candidates else f"{len(candidates)} sets of models are imported"
    msg = (
        f'{what}: say where the metadata is, as metadata = "package.models:Base.metadata" in [tool.dbparity].'
    )
    raise BadConfigError(msg)


def _filled() -> Iterable[MetaData]:
    seen: list[MetaData] = []
    sqlmodel = sys.modules.get("sqlmodel")
    declared = [base.metadata for base in DeclarativeBase.__subclasses__() if hasattr(base, "metadata")]
    for found in [*([sqlmodel.SQLModel.metadata] if sqlmodel else []), *declared]:
        if found.tables and not any(found is other for other in seen):
            seen.append(found)
    return seen


def _table(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        table: dict[str, Any] | None = tomllib.loads(path.read_text("utf-8")).get("tool", {}).get("dbparity")
    except tomllib.TOMLDecodeError as error:
        msg = f"{path} is not valid TOML: {error}."
        raise BadConfigError(msg) from error
    return table


def _checked(table: dict[str, Any]) -> dict[str, Any]:
    checked = dict(table)
    for key, kind in (("schema", Schema), ("isolation", IsolationMode), ("in_use", InUse)):
        if key in table:
            checked[key] = _choice(key, kind, table[key])
    for key, (needed, wanted) in _KINDS.items():
        if key in table and not isinstance(table[key], needed):
            msg = f"[tool.dbparity] {key} must be {wanted}, and is {table[key]!r}."
            raise BadConfigError(msg)
    if "detectors" in table:
        checked["detectors"] = {
            name: _choice(f"detectors.{name}", Strictness, value)
            for name, value in table["detectors"].items()
        }
    _check_url(Config(database_url=str(table.get("database_url", ""))))
    return checked


def _check_url(config: Config) -> None:
    """Refuse what is no URL. The words do not repeat it: it may hold a password."""
    try:
        if config.url:
            make_url(config.url)
    except (ArgumentError, ValueError) as error:  # the latter of a port that is no number
        where = f"the variable {config.variable}" if config.variable else "[tool.dbparity] database_url"
        msg = f'{where} holds no SQLAlchemy URL. Write driver://user:password@host/name, or "env:NAME".'
        raise BadConfigError(msg) from error


def _choice(key: str, kind: type[Choice], value: object) -> Choice:
    try:
        return kind(str(value))
    except ValueError as error:
        msg = f"[tool.dbparity] {key} is {value!r}; it can be {', '.join(kind)}."
        raise BadConfigError(msg) from error


def _guessed(config: Config, said: Mapping[str, Any]) -> Config:
    """Fill in what the project did not say, and remember what was taken for it."""
    guesses = []
    if "database_url" not in said:  # an empty one says that a fixture gives it
        name = next((name for name in ENVIRONMENT_GUESSES if os.environ.get(name)), "")
        if name:
            config = replace(config, database_url=f"env:{name}")
            guesses.append(f"database_url = env:{name}")
    if not config.migrations:
        path = next((path for path in MIGRATION_GUESSES if _holds_migrations(config.root / path)), "")
        if path:
            config = replace(config, migrations=path)
            guesses.append(f"migrations = {path}")
    if "schema" not in said:
        config = replace(config, schema=Schema.MIGRATE if config.migrations else Schema.CREATE)
        guesses.append(f"schema = {config.schema}")
    return replace(config, guesses=tuple(guesses))


def _holds_migrations(path: Path) -> bool:
    return path.is_file() if path.suffix == ".ini" else (path / "env.py").is_file()
