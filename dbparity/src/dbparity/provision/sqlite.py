"""Databases in files: a copy of a file is a clone."""

from __future__ import annotations

import shlex
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dbparity.provision.databases import Note, Stored
from dbparity.provision.errors import DatabaseRefusedError
from dbparity.provision.lock import schema_lock
from dbparity.provision.names import PREFIX
from dbparity.provision.patience import Patience
from dbparity.provision.workspace import FileHold, is_held, workspace

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sqlalchemy.engine import URL

SIBLINGS = ("-wal", "-shm", "-journal")
BUSY_SECONDS = 20.0


class SqliteDatabases:
    """The databases beside a configured file, in the user's own workspace or in a folder of the run."""

    def __init__(self, base: URL, folder: Path | None = None) -> None:
        self.base = base
        self.folder = folder or _made(workspace() / "clones")
        self._kept = _made(workspace() / "kept")
        self._templates = _made(workspace() / "templates")

    def url_of(self, name: str) -> URL:
        """The URL that leads to a file, through the base's driver."""
        return self.base.set(database=str(self._path(name))).difference_update_query(["uri", "mode", "cache"])

    def create(self, name: str) -> URL:
        """Make an empty file; SQLite fills it with the first table."""
        self._path(name).touch(0o600)
        return self.url_of(name)

    def clone(self, template: str, name: str) -> URL:
        """Copy a file, and through SQLite where somebody has it open."""
        source, target = self._path(template), self._path(name)
        try:
            if any(_sibling(source, each).exists() for each in SIBLINGS):
                _copied_through_sqlite(source, target)
            else:
                shutil.copyfile(source, target)
        except (OSError, sqlite3.Error) as error:
            msg = f"{source} could not be copied to {target}: {error}"
            raise DatabaseRefusedError(msg) from error
        return self.url_of(name)

    def is_proven(self, template: str) -> bool:
        """Whether the file has its name, which is the last thing that it is given."""
        return self._path(template).exists()

    def seal(self, building: str, template: str, note: Note) -> None:
        """Bring everything into the one file, then rename it, which happens wholly or not at all."""
        source = self._path(building)
        with closing(sqlite3.connect(source, timeout=BUSY_SECONDS)) as connection:
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy or any(_sibling(source, each).exists() for each in ("-wal", "-journal")):
            msg = f"{source} is still open after it was built: whatever built it must close its connections."
            raise DatabaseRefusedError(msg)
        _noted(self._path(template), note)
        shutil.move(source, self._path(template))

    def keep(self, name: str, note: Note) -> None:
        """Move the file to where no run tidies up, with whatever its last transactions left beside it."""
        source, target = self._path(name), self._kept / f"{name}.db"
        _noted(target, note)
        for each in ("", *SIBLINGS):
            if _sibling(source, each).exists():
                shutil.move(_sibling(source, each), _sibling(target, each))

    def is_untouched(self, name: str) -> bool:  # noqa: ARG002 - a file does not tell
        """Nobody can know; and a copy costs next to nothing."""
        return False

    def drop(self, name: str, *, force: bool = True) -> bool:
        """Remove the file, and what lies beside it."""
        path = self._path(name)
        if not force and path.exists() and _is_busy(path):
            return False
        for each in ("", *SIBLINGS, ".json"):
            _sibling(path, each).unlink(missing_ok=True)
        return True

    def stored(self, *, sizes: bool = False) -> list[Stored]:  # noqa: ARG002 - a file's is known at once
        """Every file of ours."""
        places = dict.fromkeys((self.folder, workspace() / "clones", self._kept, self._templates))
        found = []
        for path in (path for place in places for path in sorted(place.glob(f"{PREFIX}_*.db"))):
            with suppress(FileNotFoundError):  # its run has dropped it meanwhile
                found.append(Stored(path.stem, _note_of(path), path.stat().st_size, int(self._is_used(path))))
        return found

    def hold(self, key: str) -> FileHold:
        """A shared lock on a file of that name."""
        return FileHold(key)

    def is_held(self, key: str) -> bool:
        """Whether a living process holds it."""
        return is_held(key)

    def building(self, key: str) -> AbstractContextManager[None]:
        """Wait for others that build the same, with a deadline."""
        return schema_lock(self.url_of(key), wait_seconds=Patience.build)

    def way_in(self, name: str) -> str:
        """The sqlite3 command for it, where it lies once it is kept."""
        return f"sqlite3 {shlex.quote(str(self._kept / f'{name}.db'))}"

    def close(self) -> None:
        """Nothing is open."""

    def _is_used(self, path: Path) -> bool:
        return path.parent != self._templates and _is_busy(path)

    def _path(self, name: str) -> Path:
        if name.startswith(f"{PREFIX}_t_"):
            return self._templates / f"{name}.db"
        kept = self._kept / f"{name}.db"
        elsewhere = workspace() / "clones" / f"{name}.db"
        return next((path for path in (kept, elsewhere) if path.exists()), self.folder / f"{name}.db")


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _sibling(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _noted(path: Path, note: Note) -> None:
    _sibling(path, ".json").write_text(str(note), encoding="utf-8")


def _note_of(path: Path) -> Note | None:
    beside = _sibling(path, ".json")
    return Note.parse(beside.read_text("utf-8")) if beside.exists() else None


def _copied_through_sqlite(source: Path, target: Path) -> None:
    until = time.monotonic() + BUSY_SECONDS

    def progress(_status: int, _remaining: int, _total: int) -> None:
        if time.monotonic() > until:  # the copy would try for ever
            msg = f"{source} stayed locked for {BUSY_SECONDS:.0f} s"
            raise sqlite3.OperationalError(msg)

    with (
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=1)) as reading,
        closing(sqlite3.connect(target)) as writing,
    ):
        reading.backup(writing, progress=progress)


def _is_busy(path: Path) -> bool:
    """Whether somebody reads or writes it right now; one that is merely connected does not show."""
    there = f"{path.resolve().as_uri()}?mode=rw"  # a file that has gone meanwhile is not made again
    try:
        with closing(sqlite3.connect(there, uri=True, timeout=0, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        return True
    except sqlite3.DatabaseError:
        return False
    return False
