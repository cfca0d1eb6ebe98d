"""The migrations as a graph of revisions, read by Alembic's ScriptDirectory; env.py is never run.

Alembic is imported here and when it is needed: comparing tables with models does without it.
"""

from __future__ import annotations

import os
import sys
import warnings
from configparser import Error as ConfigError
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from dbparity.schema.bodies import Body, body_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from alembic.config import Config
    from alembic.script import Script, ScriptDirectory

    Migrations: TypeAlias = str | os.PathLike[str] | Config


class MigrationsError(ValueError):
    """The migrations cannot be read: they are not where they are said to be, or do not fit together."""


@dataclass(frozen=True)
class Revision:
    """One revision: its id, what must be applied before it, and its file."""

    id: str
    before: tuple[str, ...]
    path: Path
    merges: bool

    @property
    def body(self) -> Body:
        """What its upgrade does."""
        return body_of(self.path)

    @property
    def idle(self) -> bool:
        """Whether it does nothing although it does not merely join branches."""
        return not self.merges and self.body.empty

    def at(self, line: int) -> str:
        """A place in its file, as editors open it."""
        return f"{self.path.name}:{line}"


@dataclass(frozen=True)
class Graph:
    """All revisions, oldest first, and where they come from."""

    revisions: dict[str, Revision]
    heads: tuple[str, ...]
    location: Path
    folders: tuple[Path, ...]
    """Where revisions are looked for."""

    ini: Path | None
    url: str = field(repr=False)
    """What alembic.ini says is the database; env.py may say otherwise."""

    @property
    def environment(self) -> Path:
        """The env.py that Alembic would run."""
        return self.location / "env.py"

    def command(self, words: str) -> str:
        """An alembic command as it is typed in the project's folder."""
        plain = self.ini is None or self.ini.name in {"alembic.ini", "pyproject.toml"}
        return f"alembic {words}" if plain else f"alembic -c {self.ini} {words}"

    def closure(self, ids: Collection[str]) -> frozenset[str]:
        """These revisions, and all that must have been applied before them."""
        found: set[str] = set()
        waiting = [each for each in ids if each in self.revisions]
        while waiting:
            if (each := waiting.pop()) not in found:
                found.add(each)
                waiting += self.revisions[each].before
        return frozenset(found)

    def applied(self, ids: Collection[str]) -> tuple[Revision, ...]:
        """The revisions that a version table of these ids claims, oldest first."""
        there = self.closure(ids)
        return tuple(each for each in self.revisions.values() if each.id in there)

    def pending(self, ids: Collection[str]) -> tuple[Revision, ...]:
        """The revisions that are still to come, oldest first."""
        there = self.closure(ids)
        return tuple(each for each in self.revisions.values() if each.id not in there)


def read(migrations: Migrations) -> Graph:
    """Load every revision; MigrationsError says what is wrong with them."""
    with _undisturbed():
        config, scripts = _opened(migrations)
        return _graph(scripts, config)


def opened(migrations: Migrations) -> tuple[Config, ScriptDirectory]:
    """Load every revision, for whoever is to run them with Alembic itself; raises as `read` does."""
    with _undisturbed():
        config, scripts = _opened(migrations)
        list(scripts.walk_revisions())
        return config, scripts


def _opened(migrations: Migrations) -> tuple[Config, ScriptDirectory]:
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - see above

    config = _config(migrations)
    return config, ScriptDirectory.from_config(config)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep Alembic's warnings about old settings, and its changes to sys.path, to this reading; name its errors."""
    path = sys.path.copy()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # revisions are the project's own code, and can fail in any way
        msg = f"The migrations cannot be read: {error}"
        raise MigrationsError(msg) from error
    finally:
        sys.path[:] = path


def _graph(scripts: ScriptDirectory, config: Config) -> Graph:
    found: list[Script] = list(scripts.walk_revisions())[::-1]
    try:
        url = config.get_main_option("sqlalchemy.url") or ""
    except ConfigError:  # a placeholder that env.py fills in
        url = ""
    named = config.config_file_name or getattr(config, "toml_file_name", None)
    folders = tuple(Path(each) for each in scripts.version_locations or ()) or (
        Path(scripts.dir) / "versions",
    )
    revisions = {script.revision: _revision(script, scripts) for script in found}
    ini = Path(named) if named else None
    return Graph(revisions, tuple(scripts.get_heads()), Path(scripts.dir), folders, ini, url)


def _revision(script: Script, scripts: ScriptDirectory) -> Revision:
    down = _several(script.down_revision)
    needed = scripts.get_revisions(_several(script.dependencies)) if script.dependencies else ()
    before = (*down, *(each.revision for each in needed))
    return Revision(script.revision, before, Path(script.path), len(down) > 1)


def _several(ids: str | Collection[str] | None) -> tuple[str, ...]:
    return (ids,) if isinstance(ids, str) else tuple(ids or ())


def _config(migrations: Migrations) -> Config:
    from alembic.config import Config  # noqa: PLC0415 - see above

    if isinstance(migrations, Config):
        return migrations
    path = Path(migrations)
    if path.is_dir():
        inside = [path / "alembic.ini", path / "pyproject.toml"]
        beside = [path.parent / "alembic.ini", path.parent / "pyproject.toml"]
        if not (path / "env.py").is_file() and not (path / "versions").is_dir():
            return _of_file(next((each for each in inside if each.is_file()), inside[0]))
        return _of_folder(path, next((each for each in beside if each.is_file()), None))
    if path.suffix in {".ini", ".toml"} or path.is_file():
        return _of_file(path)
    # A folder that is not there yet, or "package:folder", which Alembic finds by itself.
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    return config


def _of_file(path: Path) -> Config:
    from alembic.config import Config  # noqa: PLC0415 - see above

    if not path.is_file():
        msg = f"there is no {path}"
        raise FileNotFoundError(msg)
    config = Config(toml_file=path) if path.suffix == ".toml" else Config(str(path))
    location = _location(config)
    # Alembic takes it from the working directory, which need not be the project's.
    if location and not Path(location).is_absolute() and ":" not in location and not Path(location).exists():
        config.set_main_option("script_location", str(path.absolute().parent / location).replace("%", "%%"))
    return config


def _of_folder(path: Path, beside: Path | None) -> Config:
    """Take the folder that was named, with the rest from the configuration beside it if that means it too."""
    from alembic.config import Config  # noqa: PLC0415 - see above

    if beside is not None:
        config = _of_file(beside)
        location = _location(config)
        if location and Path(location).absolute() == path.absolute():
            return config
    config = Config()
    config.set_main_option("script_location", str(path).replace("%", "%%"))
    return config


def _location(config: Config) -> str:
    ask = getattr(config, "get_alembic_option", config.get_main_option)  # the former knows pyproject.toml too
    return str(ask("script_location") or "")
