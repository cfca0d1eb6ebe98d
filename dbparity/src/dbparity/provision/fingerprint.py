"""What a schema is built from, in a few characters: another fingerprint, another template."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_mock_engine
from sqlalchemy.exc import SQLAlchemyError

from dbparity.config import Schema
from dbparity.schema import graph as revisions

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from sqlalchemy import MetaData

LENGTH = 16
_NOT_SOURCE = frozenset({".pyc", ".pyo"})


def fingerprint(
    metadata: MetaData,
    migrations: str | os.PathLike[str],
    how: Schema,
    *,
    dialect: str = "postgresql",
) -> str:
    """Sixteen hexadecimal digits that change with the models, the migrations, and the way of building."""
    digest = hashlib.sha256(f"{how}\0{dialect}".encode())
    for statement in sorted(_statements(metadata, dialect)):
        digest.update(statement.encode() + b"\0")
    if how is Schema.MIGRATE and migrations:
        for name, content in _files(migrations):
            digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()[:LENGTH]


def _statements(metadata: MetaData, dialect: str) -> Iterator[str]:
    """Every statement of `create_all`, enum types, indexes and DDL of listeners included."""
    said: list[str] = []

    def hear(statement: Any, *_: object, **__: object) -> None:  # noqa: ANN401 - DDL, or what a listener executes
        try:
            said.append(str(statement.compile(dialect=engine.dialect)))
        except SQLAlchemyError:  # a type that this dialect does not have
            said.append(repr(getattr(statement, "element", statement)))

    engine = create_mock_engine(f"{dialect}://", hear)
    metadata.create_all(engine, checkfirst=False)
    yield from said


def _files(migrations: str | os.PathLike[str]) -> Iterator[tuple[str, bytes]]:
    """What Alembic reads or may read: its configuration, env.py, the revisions, and data files beside them."""
    graph = revisions.read(migrations)
    if graph.ini is not None:
        yield "ini", graph.ini.read_bytes()
    for folder in dict.fromkeys(each.resolve() for each in (graph.location, *graph.folders)):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.suffix not in _NOT_SOURCE and "__pycache__" not in path.parts:
                yield path.relative_to(folder).as_posix(), path.read_bytes()
